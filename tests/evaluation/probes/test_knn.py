import numpy as np
import pytest

from clinical_symile.evaluation.probes.base import LabelledSamples
from clinical_symile.evaluation.probes.knn import NearestNeighbours, _probabilities, _vote


def test_neighbours_by_hand_with_ties_that_share():
    similarity = np.array([[0.9, 0.5, 0.5, 0.1], [0.2, 0.2, 0.2, 0.2]])
    label = np.array([1, 1, 0, 0])
    two, nine = _vote(similarity, label, [2, 9])
    # Of two neighbours the first is the first; the second and third share a place.
    np.testing.assert_allclose(two, [(1.5 + 1) / 4, (1 + 1) / 4])
    # More than there are is all four.
    np.testing.assert_allclose(nine, [3 / 6, 3 / 6])


def test_neighbours_are_those_of_a_loop(rng: np.random.Generator):
    def samples(n: int) -> LabelledSamples:
        available = rng.random((n, 2)) < 0.7
        available[:, 0] |= ~available.any(axis=1)
        z = np.where(available[:, :, None], rng.normal(size=(n, 2, 3)), 0)
        return LabelledSamples(np.arange(n), z, available, ("ecg", "labs"), rng.integers(2, size=n))

    train, asked = samples(30), samples(7)
    found = _probabilities(train, asked, [4])[0]
    for place in range(7):
        alike = []
        for other in range(30):
            common = np.flatnonzero(asked.available[place] & train.available[other])
            products = [float(asked.z[place, m] @ train.z[other, m]) for m in common]
            alike.append(np.mean(products) if products else -np.inf)
        nearest = np.argsort(alike)[::-1][:4]
        assert found[place] == pytest.approx((train.label[nearest].sum() + 1) / 6)


def test_no_neighbours_are_refused():
    with pytest.raises(ValueError, match=r"k is \[0\]; expected whole numbers from 1"):
        NearestNeighbours(k=[0])
