"""Compute classification metrics from labels (0 or 1) and predicted probabilities.

The two areas follow scikit-learn's definitions without its checks, because the bootstrap calls
them a thousand times. The tests compare them with scikit-learn.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Real

from clinical_symile.metrics.base import Metric, check_predictions, weighted_mean
from clinical_symile.metrics.risk_blocks import RiskBlocks
from clinical_symile.stats.area_intervals import auroc_estimate
from clinical_symile.stats.midranks import mid_ranks

_Labels = Int[np.ndarray, " sample"]
_Probabilities = Float[np.ndarray, " sample"]
_Weights = Real[np.ndarray, "resample sample"]
_Values = Float[np.ndarray, " resample"]

_CALIBRATION_BINS = 10
_COLUMNS = ("label", "probability")


def auroc(label: _Labels, probability: _Probabilities) -> float:
    """Compute the area under the ROC curve: the Mann-Whitney statistic, ties half.

    Raises:
        ValueError: the labels have one class only.
    """
    check_predictions(label, probability)
    _check_both_classes(label, metric="AUROC")
    positives = int(label.sum())
    negatives = len(label) - positives
    rank_sum = float(mid_ranks(probability)[label == 1].sum())
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(label: _Labels, probability: _Probabilities) -> float:
    """Compute average precision: precision at each probability, weighted by the added recall.

    Raises:
        ValueError: the labels have one class only.
    """
    check_predictions(label, probability)
    _check_both_classes(label, metric="AUPRC")
    order = np.argsort(-probability)
    last_of_ties = np.flatnonzero(np.append(np.diff(probability[order]), -1.0))
    true_positives = np.cumsum(label[order])[last_of_ties]
    precision = true_positives / (last_of_ties + 1)
    return float((np.diff(true_positives, prepend=0) * precision).sum() / label.sum())


def brier(label: _Labels, probability: _Probabilities) -> float:
    """Compute the mean squared difference of probability and label."""
    check_predictions(label, probability)
    return float(_squared_errors(label, probability).mean())


def expected_calibration_error(label: _Labels, probability: _Probabilities) -> float:
    """Compute the mean distance of predicted and observed frequency over ten bins of equal width.

    Bin b holds the probabilities in [b/10, (b+1)/10); the last bin includes 1. A bin is weighted
    by its number of samples. With few samples the error is biased upwards: even the true
    probabilities do not reach 0; see `calibration_error_by_chance`.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2, there for the
    predicted class and here for the positive one. https://arxiv.org/abs/1706.04599
    """
    check_predictions(label, probability)
    excess = np.bincount(_bins(probability), weights=probability - label)
    return float(np.abs(excess).sum() / len(label))


def calibration_error_by_chance(
    weights: _Weights, probability: _Probabilities
) -> Float[np.ndarray, " resample"]:
    """Compute the calibration error that true probabilities have on average, for each row.

    It is the bias of `expected_calibration_error` where there is no miscalibration. If the n
    outcomes of a bin are independent with the probabilities p, the mean distance of the bin is
    sqrt(2 Σ p (1 - p) / π) / n, by the normal approximation.

    Args:
        weights: of each sample.
        probability: predicted.
    """
    in_bin, variance = _bins(probability), probability * (1 - probability)
    held = np.stack([np.bincount(in_bin, row * variance, _CALIBRATION_BINS) for row in weights])
    return np.sqrt(2 * held / np.pi).sum(axis=1) / weights.sum(axis=1)


def _squared_errors(label: _Labels, probability: _Probabilities) -> Float[np.ndarray, " sample"]:
    return (probability - label) ** 2


def _bins(probability: _Probabilities) -> Int[np.ndarray, " sample"]:
    return np.minimum((probability * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)


class _WeightedAuroc:
    """AUROC of many resamples at once."""

    def __call__(self, weights: _Weights, label: _Labels, probability: _Probabilities) -> _Values:
        return self.prepare(label, probability)(weights)

    @staticmethod
    def prepare(label: _Labels, probability: _Probabilities) -> Callable[[_Weights], _Values]:
        """Return the AUROC of these samples by weights; they are sorted once."""
        # Between two positives, only the number of negatives matters, and the other way round.
        blocks = RiskBlocks.of(
            label,
            probability,
            lambda negative, positive: (
                (negative[1:] & negative[:-1]) | (positive[1:] & positive[:-1])
            ),
        )

        def of_weights(weights: _Weights) -> _Values:
            positive, negative = blocks.held(weights)
            # Twice the negatives below, and those level: halves would be rounded.
            below = np.cumsum(negative, axis=1)
            below *= 2
            below -= negative
            wins = np.einsum("ij,ij->i", positive, below) / 2
            return _ratio(wins, positive.sum(axis=1) * negative.sum(axis=1))

        return of_weights


class _WeightedAuprc:
    """AUPRC of many resamples at once."""

    def __call__(self, weights: _Weights, label: _Labels, probability: _Probabilities) -> _Values:
        return self.prepare(label, probability)(weights)

    @staticmethod
    def prepare(label: _Labels, probability: _Probabilities) -> Callable[[_Weights], _Values]:
        """Return the AUPRC of these samples by weights; they are sorted once."""
        # The precision is asked for at positives alone, so that negatives join the next of them.
        blocks = RiskBlocks.of(label, -probability, lambda negative, positive: negative[:-1])

        def of_weights(weights: _Weights) -> _Values:
            positive, negative = blocks.held(weights)
            called = np.maximum(np.cumsum(positive + negative, axis=1), 1e-300)
            area = np.einsum("ij,ij->i", positive, np.cumsum(positive, axis=1) / called)
            held = positive.sum(axis=1)
            both = held * negative.sum(axis=1)
            return np.where(both > 0, _ratio(area, held), np.nan)

        return of_weights


def _weighted_calibration_error(
    weights: _Weights, label: _Labels, probability: _Probabilities
) -> _Values:
    in_bin, missed = _bins(probability), probability - label
    excess = np.stack([np.bincount(in_bin, row * missed, _CALIBRATION_BINS) for row in weights])
    return np.abs(excess).sum(axis=1) / weights.sum(axis=1)


def _ratio(numerator: _Values, denominator: _Values) -> _Values:
    undefined = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _check_both_classes(label: _Labels, *, metric: str) -> None:
    if label.min() == label.max():
        raise ValueError(
            f"{metric} needs both classes; all labels are equal. Evaluate on more samples, or use "
            "the Brier score."
        )


def _prevalence(label: _Labels) -> float:
    return float(label.mean())


AUROC = Metric(
    name="auroc",
    compute=auroc,
    columns=_COLUMNS,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="bca",
    chance=lambda label: 0.5,
    weighted=_WeightedAuroc(),
    limits=auroc_estimate,
    display_name="AUROC",
    description=(
        "AUROC is how often a patient with the outcome gets a higher risk than one "
        "without: 0.5 is chance level, 1 is perfect."
    ),
)
"""Area under the receiver operating characteristic."""

AUPRC = Metric(
    name="auprc",
    compute=auprc,
    columns=_COLUMNS,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="percentile",
    chance=_prevalence,
    weighted=_WeightedAuprc(),
    display_name="AUPRC",
    description=(
        "AUPRC is the precision of alarms, averaged as the alarm threshold is lowered; "
        "its chance level is the prevalence of the outcome."
    ),
)
"""Average precision: the area under precision and recall."""

BRIER = Metric(
    name="brier",
    compute=brier,
    columns=_COLUMNS,
    higher_is_better=False,
    low=0.0,
    high=1.0,
    interval="percentile",
    chance=lambda label: _prevalence(label) * (1 - _prevalence(label)),
    each=_squared_errors,
    weighted=weighted_mean(_squared_errors),
    display_name="Brier score",
    description=(
        "The Brier score is the mean squared distance between predicted risk and "
        "outcome: lower is better."
    ),
    source=('Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950'),
)
"""Mean squared difference of probability and label; lower is better."""

EXPECTED_CALIBRATION_ERROR = Metric(
    name="expected_calibration_error",
    compute=expected_calibration_error,
    columns=_COLUMNS,
    higher_is_better=False,
    low=0.0,
    high=1.0,
    interval="percentile",
    chance=None,
    weighted=_weighted_calibration_error,
    display_name="calibration error",
    description=(
        "Calibration error is the distance between predicted risks and observed "
        "frequencies, biased upwards with few samples: lower is better."
    ),
    source=(
        'Guo et al., "On Calibration of Modern Neural Networks", 2017, '
        "https://arxiv.org/abs/1706.04599"
    ),
)
"""Mean distance of predicted and observed frequency, over ten bins; lower is better."""
