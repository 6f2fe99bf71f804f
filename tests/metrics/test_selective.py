from itertools import pairwise, permutations

import numpy as np
import pytest

from clinical_symile.metrics.high_confidence_errors import confidence, is_correct
from clinical_symile.metrics.selective import AURC, RiskCoverage, aurc, prepare_risk_coverage

# Confidence 0.9, 0.8, 0.7 and 0.6; the second and the last are wrong.
LABEL, PROBABILITY = np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.3, 0.6])


def curve(label: np.ndarray, probability: np.ndarray) -> RiskCoverage:
    return prepare_risk_coverage(label, probability)(np.ones((1, len(label))))


def areas_in_loops(label: np.ndarray, probability: np.ndarray) -> float:
    """The mean AURC over all orders of samples that confidence allows."""
    wrong, sure = 1 - is_correct(label, probability), confidence(probability)
    found = []
    for order in permutations(range(len(label))):
        if all(sure[a] >= sure[b] for a, b in pairwise(order)):
            risks = [wrong[list(order[:n])].mean() for n in range(1, len(label) + 1)]
            found.append(np.mean(risks))
    return float(np.mean(found))


def test_risk_and_areas_by_hand():
    found = curve(LABEL, PROBABILITY)
    assert [found.risk(n / 4)[0] for n in (1, 2, 3, 4)] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert found.area[0] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    # At best both errors come last.
    assert found.least_area[0] == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert aurc(LABEL, PROBABILITY) == pytest.approx(1 / 3)


def test_half_a_tie_counts_half():
    # The two most confident tie, and one of them is wrong: the risk of the first is 1/2.
    found = curve(np.array([1, 1, 0]), np.array([0.75, 0.25, 0.375]))
    assert found.risk(1 / 3)[0] == pytest.approx(1 / 2)
    assert found.area[0] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)


def test_the_area_is_the_mean_over_all_orders_of_ties(rng: np.random.Generator):
    for _ in range(60):
        n = int(rng.integers(1, 6))
        label, probability = rng.integers(2, size=n), rng.integers(5, size=n) / 4
        assert aurc(label, probability) == pytest.approx(areas_in_loops(label, probability))


def test_no_order_of_as_many_errors_has_a_smaller_area(rng: np.random.Generator):
    for _ in range(60):
        n = int(rng.integers(1, 30))
        label, probability = rng.integers(2, size=n), rng.random(n)
        found = curve(label, probability)
        assert found.area[0] >= found.least_area[0] - 1e-12
        wrong = np.sort(1 - is_correct(label, probability))
        best = np.mean(np.cumsum(wrong) / np.arange(1, n + 1))
        assert found.least_area[0] == pytest.approx(best, abs=1e-12)


def test_confidence_that_knows_the_errors_has_no_excess():
    label = np.array([1, 0, 1, 0, 1])
    probability = np.array([0.9, 0.1, 0.8, 0.55, 0.45])
    found = curve(label, probability)
    assert found.area[0] == pytest.approx(found.least_area[0])


def test_confidence_that_says_nothing_has_the_share_of_errors_as_area():
    label = np.array([1, 0, 0, 0, 1, 0])
    assert aurc(label, np.full(6, 0.25)) == pytest.approx(2 / 6)
    assert AURC.chance is not None
    assert AURC.chance(label) == pytest.approx(2 / 6)
