"""Agreement of predictions from single modalities."""

import numpy as np
import pytest

from clinical_symile.evaluation.diagnostics.agreement import Agreement, cohens_kappa
from tests.helpers.examined import values
from tests.helpers.predicted import planted

METRICS = ("kappa", "agreement")


def _kappa(one: list[int], other: list[int], weights: list[int] | None = None) -> float:
    first, second = (np.array(some, dtype=bool) for some in (one, other))
    return float(cohens_kappa(first, second)(np.array([weights or [1] * len(one)]))[0])


def test_kappa_is_that_of_arithmetic_by_hand() -> None:
    # 3 of 4 agree; ½ and ¼ are positive: by chance ½ ¼ + ½ ¾ = ½ agree.
    assert _kappa([1, 1, 0, 0], [1, 0, 0, 0]) == pytest.approx((0.75 - 0.5) / 0.5)
    assert _kappa([1, 0, 1], [1, 0, 1]) == 1
    assert _kappa([1, 0], [0, 1]) == -1
    assert np.isnan(_kappa([1, 1], [1, 1]))


def test_kappa_of_weights_is_that_of_repeated_samples() -> None:
    one, other, times = [1, 0, 1, 0, 1], [1, 1, 0, 0, 1], [3, 0, 1, 2, 1]
    repeated = [np.repeat(some, times).tolist() for some in (one, other)]
    assert _kappa(one, other, times) == pytest.approx(_kappa(*repeated), abs=1e-12)


def test_equal_modalities_agree_and_independent_ones_do_by_chance(
    rng: np.random.Generator,
) -> None:
    inputs = planted("agreement", (3.0, 3.0, 0.0), rng, metrics=METRICS, samples=400)
    z = inputs.model.embeddings.z
    z[:, 1] = z[:, 0]
    found = values(Agreement(), inputs)
    assert found["kappa/a-b"] == 1
    assert found["agreement/a-b"] == 1
    assert abs(found["kappa/a-c"]) < 0.15
    mean = np.mean([found[f"kappa/{pair}"] for pair in ("a-b", "a-c", "b-c")])
    assert found["kappa"] == pytest.approx(mean)
