"""The modality gap, and what is left when train means are removed."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import train_means
from clinical_symile.evaluation.diagnostics.gap import Gap
from tests.helpers.examined import examined, fixture_f, values

GAP = Gap(candidates=2, noise=0.1, shifts=(0.0, 1.0))


@pytest.fixture
def many(rng: np.random.Generator) -> np.ndarray:
    """Forty samples of three modalities that lie around far centres, with a shared part."""
    shared = rng.normal(size=(40, 1, 6))
    centres = 4 * np.eye(6)[[0, 1, 2]]
    z = shared + 0.3 * rng.normal(size=(40, 3, 6)) + centres
    return z / np.linalg.norm(z, axis=2, keepdims=True)


def test_the_gap_has_its_known_values() -> None:
    found = values(GAP, examined(fixture_f()))
    known = {"a-b": 0.551416190424, "b-c": 0.378538811345, "a-c": 0.528096815716}
    for pair, value in known.items():
        assert found[f"gap/{pair}"] == pytest.approx(value, abs=1e-10)
        assert found[f"paired_gap/{pair}"] == pytest.approx(value, abs=1e-10)
    assert found["gap"] == pytest.approx(np.mean([*known.values()]), abs=1e-10)


def test_the_gap_is_0_after_removal_and_has_its_known_values_after_scaling() -> None:
    found = values(GAP, examined(fixture_f()))
    known = {"a-b": 0.119493486578, "b-c": 0.102217513440, "a-c": 0.029823537065}
    for pair, value in known.items():
        assert found[f"gap_removed/{pair}"] == pytest.approx(0, abs=1e-12)
        assert found[f"gap_rescaled/{pair}"] == pytest.approx(value, abs=1e-10)


def test_equal_modalities_have_no_gap() -> None:
    z = np.repeat(fixture_f()[:, :1], 3, axis=1)
    found = values(GAP, examined(z))
    assert found["gap"] == pytest.approx(0, abs=1e-12)
    assert found["relative_gap"] == pytest.approx(0, abs=1e-12)


def test_the_relative_gap_divides_by_the_spread() -> None:
    z = np.array([[[1.0, 0], [0, 1]], [[0, 1], [-1, 0]]])
    found = values(GAP, examined(z))
    # Means (½, ½) and (-½, ½) are 1 apart; each modality's vectors are √½ from its mean.
    assert found["gap/a-b"] == pytest.approx(1)
    assert found["relative_gap/a-b"] == pytest.approx(np.sqrt(2))


def test_a_gap_of_unpaired_samples_uses_all_that_have_a_modality() -> None:
    has = np.ones((4, 3), dtype=bool)
    has[3, 2] = False
    z = fixture_f()
    found = values(GAP, examined(z, available=has))
    own = np.linalg.norm(z[:, 1].mean(axis=0) - z[:3, 2].mean(axis=0))
    paired = np.linalg.norm(z[:3, 1].mean(axis=0) - z[:3, 2].mean(axis=0))
    assert found["gap/b-c"] == pytest.approx(own, abs=1e-12)
    assert found["paired_gap/b-c"] == pytest.approx(paired, abs=1e-12)


def test_nothing_of_examined_samples_enters_the_means(many: np.ndarray) -> None:
    inputs, others = examined(many[:20], train=many[20:]), examined(many[:5], train=many[20:])
    np.testing.assert_array_equal(train_means(inputs), train_means(others))
    np.testing.assert_allclose(train_means(inputs), many[20:].mean(axis=0), atol=1e-12)


def test_recall_of_a_sample_does_not_change_with_other_queries(many: np.ndarray) -> None:
    def hits(available: np.ndarray | None) -> dict[str, np.ndarray]:
        inputs = examined(many[:20], train=many[20:])
        if available is not None:
            inputs.request.available[~available] = False
        made = Gap(candidates=5, noise=0.1, shifts=(1.0,)).measure(inputs)
        return {
            one.metric.name: one.columns[one.metric.name]
            for one in made
            if "given" in one.metric.name
        }

    hidden = np.ones((20, 3), dtype=bool)
    hidden[10:] = False
    whole, half = hits(None), hits(hidden)
    assert any("c3" in name for name in whole)
    for name, values_of in whole.items():
        np.testing.assert_array_equal(half[name][:10], values_of[:10])
        assert np.isnan(half[name][10:]).all()


def test_without_noise_c3_is_mean_removal_and_a_shift_by_0_changes_nothing(
    many: np.ndarray,
) -> None:
    found = values(
        Gap(candidates=10, noise=0.0, shifts=(0.0, 1.0)), examined(many[:20], train=many[20:])
    )
    assert found["recall_at_1_removed"] > 0.5
    assert found["recall_at_1_c3"] == found["recall_at_1_removed"]
    for direction in ("b_given_a", "a_given_c"):
        plain = found[f"recall_at_1/{direction}"]
        assert found[f"recall_at_1_shifted/{direction} by 0"] == plain


def test_recall_is_that_of_a_loop(many: np.ndarray) -> None:
    z, means = many[:6], many[20:].mean(axis=0)
    inputs = examined(z, train=many[20:])
    found = values(Gap(candidates=6, noise=0.0, shifts=(1.0,)), inputs)
    a, b = z[:, 0] - means[0], z[:, 1] - means[1]
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    hits = [np.argmax([a[i] @ b[j] for j in range(6)]) == i for i in range(6)]
    assert found["recall_at_1_removed/b_given_a"] == pytest.approx(np.mean(hits))
    moved = [z[:, 0] - (means[0] - means[1]) / 2, z[:, 1] + (means[0] - means[1]) / 2]
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in moved)
    hits = [np.argmax([a[i] @ b[j] for j in range(6)]) == i for i in range(6)]
    assert found["recall_at_1_shifted/b_given_a by 1"] == pytest.approx(np.mean(hits))


def test_noise_is_that_of_the_seed_and_changes_recall(many: np.ndarray) -> None:
    def recall(noise: float, seed: int) -> list[float]:
        inputs = examined(many[:20], train=many[20:], table={"seed": seed})
        found = values(Gap(candidates=10, noise=noise, shifts=(1.0,)), inputs)
        return [value for name, value in found.items() if name.startswith("recall_at_1_c3/")]

    assert recall(1.0, 0) == recall(1.0, 0)
    assert recall(1.0, 0) != recall(0.0, 0)


def test_too_few_candidates_are_a_reason_and_no_crash() -> None:
    with pytest.raises(CannotScore, match="samples of other subjects"):
        Gap(candidates=10, noise=0.1, shifts=(1.0,)).measure(examined(fixture_f()))


def test_without_a_train_sample_of_a_modality_there_is_no_mean_to_remove() -> None:
    has = np.array([[True, True, False]] * 4)
    with pytest.raises(CannotScore, match="no train sample has c under this pattern"):
        GAP.measure(examined(fixture_f(), train_available=has))
