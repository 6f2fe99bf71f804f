"""Classification metrics, from labels (0 or 1) and predicted probabilities.

The two areas are computed from scikit-learn's definitions, without its checks of every call: the
bootstrap asks a thousand times. The tests hold them to scikit-learn's own.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from clinical_symile.metrics.metric import Metric

Labels = Int[np.ndarray, " sample"]
Probabilities = Float[np.ndarray, " sample"]

CALIBRATION_BINS = 10


def auroc(label: Labels, probability: Probabilities) -> float:
    """Area under the receiver operating characteristic: the Mann-Whitney statistic, ties half.

    Raises:
        ValueError: only one class among the labels.
    """
    _check(label, probability)
    _check_both_classes(label, metric="AUROC")
    positives = int(label.sum())
    negatives = len(label) - positives
    rank_sum = rankdata(probability)[label == 1].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(label: Labels, probability: Probabilities) -> float:
    """Average precision: precision at each distinct probability, weighted by the recall it adds.

    Raises:
        ValueError: only one class among the labels.
    """
    _check(label, probability)
    _check_both_classes(label, metric="AUPRC")
    order = np.argsort(-probability)
    last_of_ties = np.flatnonzero(np.append(np.diff(probability[order]), -1.0))
    true_positives = np.cumsum(label[order])[last_of_ties]
    precision = true_positives / (last_of_ties + 1)
    return float((np.diff(true_positives, prepend=0) * precision).sum() / label.sum())


def brier(label: Labels, probability: Probabilities) -> float:
    """Mean squared difference of probability and label."""
    _check(label, probability)
    return float(((probability - label) ** 2).mean())


def expected_calibration_error(label: Labels, probability: Probabilities) -> float:
    """Mean distance of predicted and observed frequency, over ten bins of equal width.

    Bin b holds the probabilities in [b/10, (b+1)/10), the last one 1 as well; a bin weighs as many
    samples as it holds. With few samples it is biased upwards: even the true probabilities do not
    score 0.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2, there for the
    predicted class and here for the positive one. https://arxiv.org/abs/1706.04599
    """
    _check(label, probability)
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    excess = np.bincount(bins, weights=probability - label, minlength=CALIBRATION_BINS)
    return float(np.abs(excess).sum() / len(label))


def _check(label: Labels, probability: Probabilities) -> None:
    if len(label) == 0:
        raise ValueError("no samples to score; expected at least one.")
    if not ((label == 0) | (label == 1)).all():
        raise ValueError("labels other than 0 and 1; leave samples with an unknown outcome out.")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities outside 0 … 1 or NaN; expected predicted probabilities.")


def _check_both_classes(label: Labels, *, metric: str) -> None:
    if label.min() == label.max():
        raise ValueError(
            f"{metric} needs both classes; all labels are of one. Score on more samples, or use "
            "the Brier score."
        )


def _prevalence(label: Labels) -> float:
    return float(label.mean())


AUROC = Metric(
    name="auroc",
    compute=auroc,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    chance=lambda label: 0.5,
)
AUPRC = Metric(
    name="auprc",
    compute=auprc,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    chance=_prevalence,
)
BRIER = Metric(
    name="brier",
    compute=brier,
    higher_is_better=False,
    low=0.0,
    high=1.0,
    chance=lambda label: _prevalence(label) * (1 - _prevalence(label)),
)
EXPECTED_CALIBRATION_ERROR = Metric(
    name="expected_calibration_error",
    compute=expected_calibration_error,
    higher_is_better=False,
    low=0.0,
    high=1.0,
    chance=None,
)
