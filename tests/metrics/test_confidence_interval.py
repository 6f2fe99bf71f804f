import numpy as np
import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.metrics.confidence_interval import bootstrap_ci
from clinical_symile.stats.bootstrap import bootstrap

N = 60


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.arange(N) % 2
    return label, np.clip(0.3 * label + rng.random(N) * 0.7, 0, 1), np.arange(N) // 2


def test_a_function_has_the_percentile_interval_of_the_bootstrap(data):
    _, probability, subjects = data
    mean = lambda values: float(values.mean())  # noqa: E731
    found = bootstrap_ci(mean, probability, subjects=subjects, seed=3, resamples=200)
    rng = np.random.default_rng(3)
    assert found == bootstrap(mean, [probability], subjects, rng=rng, resamples=200)


def test_a_named_metric_has_the_interval_of_its_results(data):
    label, probability, subjects = data
    found = bootstrap_ci("auroc", label, probability, subjects=subjects)
    positive, negative = probability[label == 1], probability[label == 0]
    above = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
    assert found.value == pytest.approx(above)
    assert found.kind == "score"
    assert found.low < found.value < found.high


def test_a_mean_of_many_subjects_has_the_interval_of_the_bootstrap(rng):
    label = np.arange(400) % 2
    probability = np.clip(0.3 * label + rng.random(400) * 0.7, 0, 1)
    found = bootstrap_ci("brier", label, probability, subjects=np.arange(400))
    assert found.kind == "percentile"


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(data):
    label, probability, subjects = data
    one, again, other = (
        bootstrap_ci("auprc", label, probability, subjects=subjects, seed=seed)
        for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other


def test_what_is_undefined_is_an_error(data):
    _, probability, subjects = data
    with pytest.raises(ValueError, match="both classes"):
        bootstrap_ci("auroc", np.zeros(N, dtype=int), probability, subjects=subjects)


def test_an_unknown_metric_is_named_with_the_nearest(data):
    label, probability, subjects = data
    with pytest.raises(DefinitionError, match="did you mean 'auroc'"):
        bootstrap_ci("aurok", label, probability, subjects=subjects)
