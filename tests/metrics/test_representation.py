import numpy as np
import pytest

from clinical_symile.metrics.representation import (
    alignment,
    effective_rank,
    modality_gap,
    representation_metrics,
    uniformity,
)


def fixture() -> np.ndarray:
    """z[i, m, k] = ((7i + 3k + 5m + ik) mod 11) - 5, as unit vectors: four samples of three."""
    raw = [
        [[(7 * i + 3 * k + 5 * m + i * k) % 11 - 5 for k in range(3)] for m in range(3)]
        for i in range(4)
    ]
    z = np.array(raw, dtype=np.float64)
    return z / np.linalg.norm(z, axis=2, keepdims=True)


def test_the_reference_values():
    """Computed in float64 by the public reference implementations on the same vectors."""
    found = representation_metrics(fixture(), ["a", "b", "c"])
    expected = {
        "health/alignment/a-b": 2.912471099160,
        "health/alignment/b-c": 2.917467663255,
        "health/alignment/a-c": 2.226926461345,
        "health/uniformity/a": -3.627645099396,
        "health/uniformity/b": -3.487994912851,
        "health/uniformity/c": -2.810045731684,
        "health/effective_rank/a": 2.905031755269,
        "health/effective_rank/b": 2.772266664927,
        "health/effective_rank/c": 2.785627159381,
        "health/modality_gap/a-b": 0.551416190424,
        "health/modality_gap/b-c": 0.378538811345,
        "health/modality_gap/a-c": 0.528096815716,
    }
    assert found == pytest.approx(expected, abs=1e-11)


def test_uniformity_is_its_definition_in_loops(rng):
    z = rng.standard_normal((9, 4))
    pairs = [np.exp(-2 * ((z[i] - z[j]) ** 2).sum()) for i in range(9) for j in range(i)]
    assert uniformity(z) == pytest.approx(np.log(np.mean(pairs)))


def test_a_collapsed_representation_has_rank_1_and_uniformity_0(rng):
    z = np.repeat(rng.standard_normal((1, 8)), 20, axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    assert effective_rank(z) == pytest.approx(1, abs=1e-6)
    assert uniformity(z) == pytest.approx(0, abs=1e-12)


def test_a_rank_is_that_of_the_space_and_the_same_for_any_scale_and_rotation(rng):
    assert effective_rank(np.eye(3)) == pytest.approx(3)
    z = rng.standard_normal((50, 6))
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert effective_rank(7 * z @ rotation) == pytest.approx(effective_rank(z))


def test_the_same_vectors_agree_and_have_no_gap(rng):
    z = rng.standard_normal((10, 4))
    assert alignment(z, z) == modality_gap(z, z) == 0
    assert alignment(np.eye(2), -np.eye(2)) == 4


def test_the_length_of_vectors_does_not_matter(rng):
    z = fixture()
    longer = z * rng.uniform(0.5, 8, (4, 3, 1))
    assert representation_metrics(longer, ["a", "b", "c"]) == pytest.approx(
        representation_metrics(z, ["a", "b", "c"])
    )


def test_one_sample_has_no_uniformity():
    with pytest.raises(ValueError, match="uniformity needs at least 2 samples"):
        uniformity(np.ones((1, 3)))
