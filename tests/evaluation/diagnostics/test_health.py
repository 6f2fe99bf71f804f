"""The geometry of embeddings: known values, loops, and what must not change it."""

import numpy as np
import pytest

from clinical_symile.evaluation.diagnostics.health import Health, participation_ratio
from clinical_symile.metrics.representation import uniformity
from tests.helpers.examined import examined, fixture_f, value_of, values

PAIRS = {"a-b": (0, 1), "b-c": (1, 2), "a-c": (0, 2)}


@pytest.fixture
def found() -> dict[str, float]:
    return values(Health(), examined(fixture_f()))


def _participation(z: np.ndarray, *, centred: bool = False) -> float:
    return float(participation_ratio(z, centred=centred)(np.ones((1, len(z))))[0])


def test_cross_uniformity_has_its_known_values(found: dict[str, float]) -> None:
    known = {"a-b": -1.813189160384, "b-c": -1.468907930766, "a-c": -2.302205265206}
    for pair, value in known.items():
        assert found[f"cross_uniformity/{pair}"] == pytest.approx(value, abs=1e-10)
    assert found["cross_uniformity"] == pytest.approx(np.mean([*known.values()]), abs=1e-10)


def test_alignment_and_uniformity_are_those_of_training(found: dict[str, float]) -> None:
    known = {"a-b": 2.912471099160, "b-c": 2.917467663255, "a-c": 2.226926461345}
    for pair, value in known.items():
        assert found[f"alignment/{pair}"] == pytest.approx(value, abs=1e-10)
    for place, name in enumerate("abc"):
        expected = uniformity(fixture_f()[:, place])
        assert found[f"uniformity/{name}"] == pytest.approx(expected, abs=1e-10)


def test_uniformity_of_a_sample_without_a_modality_leaves_it_out() -> None:
    has = np.ones((4, 3), dtype=bool)
    has[3, 2] = False
    found = values(Health(), examined(fixture_f(), available=has))
    assert found["uniformity/c"] == pytest.approx(-3.019075259428, abs=1e-10)
    assert found["alignment/b-c"] == pytest.approx(3.041721957872, abs=1e-10)
    assert found["alignment/a-c"] == pytest.approx(2.229829318382, abs=1e-10)


def test_cosines_are_those_of_loops_and_wrong_pairs_are_of_other_subjects() -> None:
    z, subjects = fixture_f(), ["p", "p", "q", "r"]
    found = values(Health(), examined(z, subjects=subjects))
    for pair, (a, b) in PAIRS.items():
        right = [z[i, a] @ z[i, b] for i in range(4)]
        wrong = [
            z[i, a] @ z[j, b] for i in range(4) for j in range(4) if subjects[i] != subjects[j]
        ]
        assert found[f"cosine_right/{pair}"] == pytest.approx(np.mean(right), abs=1e-12)
        assert found[f"cosine_wrong/{pair}"] == pytest.approx(np.mean(wrong), abs=1e-12)


def test_participation_counts_directions() -> None:
    assert _participation(np.eye(3)) == pytest.approx(3, abs=1e-12)
    assert _participation(np.eye(3), centred=True) == pytest.approx(2, abs=1e-12)
    assert _participation(np.outer([1, 1, 1, 1], [3.0, 4.0])) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("centred", [False, True])
def test_participation_is_that_of_eigenvalues_and_does_not_change_by_rotation_or_scale(
    centred: bool, rng: np.random.Generator
) -> None:
    z = rng.normal(size=(20, 4)) * [4, 3, 2, 1] + [1, 0, 0, 0]
    around = z - z.mean(axis=0) * centred
    eigenvalues = np.linalg.eigvalsh(around.T @ around / len(z))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    for same in (z, 5 * z, z @ rotation):
        assert _participation(same, centred=centred) == pytest.approx(expected, rel=1e-10)


def test_participation_of_weights_is_that_of_repeated_samples(rng: np.random.Generator) -> None:
    z, times = rng.normal(size=(6, 3)), np.array([2, 0, 1, 3, 1, 1])
    for centred in (False, True):
        weighted = participation_ratio(z, centred=centred)(times[None])[0]
        assert weighted == pytest.approx(_participation(z.repeat(times, axis=0), centred=centred))


def test_separate_modalities_are_told_apart_and_equal_ones_are_not(
    rng: np.random.Generator,
) -> None:
    z = rng.normal(size=(40, 2, 4))
    apart = z + 8 * np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    same = np.repeat(z[:, :1], 2, axis=1)
    assert values(Health(), examined(apart))["separability/a-b"] == 1
    # A classifier that says the same of two equal vectors is right about one of them.
    assert values(Health(), examined(same))["separability/a-b"] == 0.5


def test_the_classifier_of_modalities_learns_from_train_samples_alone(
    rng: np.random.Generator,
) -> None:
    train = rng.normal(size=(40, 2, 4)) + 8 * np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    swapped = train[:, ::-1].copy()
    assert values(Health(), examined(swapped, train=train))["separability/a-b"] == 0


def test_of_many_samples_as_many_as_allowed_make_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinical_symile.evaluation.diagnostics.measures.MOST_PAIRED", 3)
    made = {one.metric.name: one for one in Health().measure(examined(fixture_f()))}
    assert np.isnan(made["uniformity/a"].columns["uniformity/a"]).sum() == 1
    assert np.isfinite(value_of(made["uniformity/a"]))
    assert not np.isnan(made["alignment/a-b"].columns["alignment/a-b"]).any()
