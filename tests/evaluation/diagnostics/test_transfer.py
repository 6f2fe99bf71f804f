"""A probe of one modality asked with another."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.transfer import Transfer
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.evaluation.probes.logistic import Logistic
from clinical_symile.metrics.classification import auroc
from tests.helpers.examined import examined, values
from tests.helpers.predicted import PROBE

OUTCOME = np.arange(80) % 2


def _inputs(z: np.ndarray, train: np.ndarray, **about):
    table = {
        "outcome": "event",
        "probe": PROBE,
        "diagnostic": {"name": "transfer", "learn_from": ["a"], "noise": 0.0},
        "metrics": ["auroc"],
        "primary": "auroc",
    }
    return examined(z, train=train, outcome=OUTCOME, table=table, **about)


@pytest.fixture
def made(rng: np.random.Generator):
    """Samples whose outcome moves every modality alike, around far centres."""

    def drawn() -> np.ndarray:
        z = 0.3 * rng.normal(size=(80, 3, 4)) + 2 * np.eye(4)[[0, 1, 2]]
        z[:, :, 3] += 0.8 * (OUTCOME[:, None] - 0.5)
        return z / np.linalg.norm(z, axis=2, keepdims=True)

    return _inputs(drawn(), drawn())


def test_noise_of_0_is_plain(made) -> None:
    found = values(Transfer(learn_from=("a", "b"), noise=0.0), made)
    for part in ("", "/b_from_a", "/c_from_a", "/a_from_b", "/c_from_b"):
        assert found[f"auroc_noise{part}"] == found[f"auroc{part}"]
        assert found[f"auroc_c3{part}"] == found[f"auroc_removed{part}"]


def test_noise_changes_what_is_learned_and_is_that_of_the_seed(made) -> None:
    one, again, none = (
        values(Transfer(learn_from=("a",), noise=noise), made) for noise in (1.0, 1.0, 0.0)
    )
    assert one == again
    assert one["auroc_noise/b_from_a"] != none["auroc_noise/b_from_a"]
    assert one["auroc/b_from_a"] == none["auroc/b_from_a"]


def test_auroc_is_that_of_the_probe_by_hand(made) -> None:
    found = values(Transfer(learn_from=("a",), noise=0.0), made)
    train, tuning, asked = made.of_split("train"), made.of_split("tuning"), made.samples
    has = np.ones((80, 1), dtype=bool)
    first, second = (
        LabelledSamples(one.rows, one.z[:, :1], has, ("v",), OUTCOME) for one in (train, tuning)
    )
    samples = EmbeddedSamples(asked.rows, asked.z[:, 1:2], has, ("v",))
    risk = Logistic(strengths=[1.0]).predict(ProbeInputs(first, second, samples, None, seed=0))
    assert found["auroc/b_from_a"] == pytest.approx(auroc(OUTCOME, risk), abs=1e-12)


def test_modalities_with_one_space_are_interchangeable(rng: np.random.Generator) -> None:
    z = rng.normal(size=(80, 1, 4))
    z[:, :, 0] += 3 * (OUTCOME[:, None] - 0.5)
    same = np.repeat(z, 3, axis=1)
    found = values(Transfer(learn_from=("a",), noise=0.0), _inputs(same, same))
    assert found["auroc/b_from_a"] == found["auroc_within/a"]


def test_parts_are_those_of_what_is_learned_from(made) -> None:
    found = values(Transfer(learn_from=("c",), noise=0.1), made)
    parts = {name.partition("/")[2] for name in found if name.startswith("auroc/")}
    assert parts == {"a_from_c", "b_from_c"}
    assert "auroc_within/c" in found


def test_what_cannot_be_learned_from_is_named(made) -> None:
    with pytest.raises(CannotScore, match="learn_from names d, which"):
        Transfer(learn_from=("d",), noise=0.0).measure(made)
    made.store.samples["outcome_event"] = 1.0
    with pytest.raises(CannotScore, match="no probe can be fitted to a"):
        Transfer(learn_from=("a",), noise=0.0).measure(made)
