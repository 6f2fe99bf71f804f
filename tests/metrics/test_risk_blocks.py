"""Statistics of blocks equal those of single samples, whatever the weights are."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from sklearn.metrics import average_precision_score, roc_auc_score

from clinical_symile.metrics.calibration import weighted_decomposition
from clinical_symile.metrics.classification import AUPRC, AUROC
from clinical_symile.metrics.risk_blocks import RiskBlocks

SEEDS = range(6)


def cases(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities with ties (or none) and weights with zeros."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 80))
    label = np.append(rng.integers(0, 2, n), [0, 1])
    probability = rng.random(n + 2).round([1, 2, 9][seed % 3])
    weights = rng.integers(0, 3, (4, n + 2))
    weights[:, -2:] += 1
    return label, probability, weights


@pytest.mark.parametrize("seed", SEEDS)
def test_areas_of_blocks_are_those_of_single_samples(seed: int) -> None:
    label, probability, weights = cases(seed)
    assert AUROC.weighted is not None
    assert AUPRC.weighted is not None
    for metric, known in (
        (AUROC.weighted, roc_auc_score),
        (AUPRC.weighted, average_precision_score),
    ):
        values = [known(label, probability, sample_weight=row) for row in weights]
        np.testing.assert_allclose(metric(weights, label, probability), values, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_isotonic_fit_of_blocks_is_that_of_single_samples(seed: int) -> None:
    label, probability, weights = cases(seed)
    for row, parts in zip(
        weights, weighted_decomposition(weights, label, probability), strict=True
    ):
        distinct = np.unique(probability[row > 0])
        held = np.array([row[probability == one].sum() for one in distinct])
        events = np.array([(row * label)[probability == one].sum() for one in distinct])
        fit = isotonic_regression(events / held, weights=held).x
        fitted = fit[np.searchsorted(distinct, probability[row > 0])]
        row_held, row_label = row[row > 0], label[row > 0]
        mended = row_held @ (fitted - row_label) ** 2 / row.sum()
        score = row @ (probability - label) ** 2 / row.sum()
        base = events.sum() / row.sum() * (1 - events.sum() / row.sum())
        np.testing.assert_allclose(parts, [score - mended, base - mended, base], atol=1e-12)


def test_runs_become_one_block_and_ties_are_never_split() -> None:
    label = np.array([0, 0, 1, 1, 0, 1, 0])
    value = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6])
    blocks = RiskBlocks.of(label, value, lambda negative, positive: negative[1:] & negative[:-1])
    positive, negative = blocks.held(np.ones((1, 7)))
    assert positive.tolist() == [[0, 1, 1, 0, 1]]
    assert negative.tolist() == [[2, 0, 0, 1, 1]]
