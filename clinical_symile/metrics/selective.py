"""Measure selective prediction: the risk of a model that abstains where it is least confident.

Confidence is the probability of the predicted class. The *coverage* is the share of samples that
the model answers, the most confident first, and the *risk* is the share of wrong answers among
them. Samples of equal confidence are answered in random order, and the risk is the expected one.

AURC is the mean risk over the coverages 1/n, 2/n, …, 1. A model with the same number of errors
cannot do better than to place all of them last. The excess (E-AURC) is AURC minus that minimum.

Sources: Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017,
https://arxiv.org/abs/1705.08500; Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation
for deep neural classifiers", 2019, https://arxiv.org/abs/1805.08206, there with an approximation of
the minimum and here with its exact value.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import digamma  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.metrics.base import Metric, check_predictions
from clinical_symile.metrics.high_confidence_errors import confidence, is_correct

_Labels = Int[np.ndarray, " sample"]
_Probabilities = Float[np.ndarray, " sample"]
_Weights = Real[np.ndarray, "resample sample"]
_Values = Float[np.ndarray, " resample"]


@dataclass(frozen=True, eq=False, repr=False)
class RiskCoverage:
    """Risk against coverage, for each row of weights.

    The expected number of errors is linear in the number of answers between the points below.

    Attributes:
        answers: weight of the samples that are answered at each point, from 0 to all of them.
        errors: weight of the wrong answers among them.
    """

    answers: Float[np.ndarray, "resample point"]
    errors: Float[np.ndarray, "resample point"]

    @property
    def area(self) -> _Values:
        """AURC: the mean risk over the coverages 1/n, 2/n, …, 1."""
        before, after = self.answers[:, :-1], self.answers[:, 1:]
        added, wrong = after - before, np.diff(self.errors, axis=1)
        rate = np.divide(wrong, added, out=np.zeros_like(added), where=added > 0)
        # Σ (e₀ + j rate) / (k₀ + j) over j = 1 … m, with 1 / (k₀ + 1) + … as harmonic numbers.
        steps = wrong + (self.errors[:, :-1] - rate * before) * (
            _harmonic(after) - _harmonic(before)
        )
        return steps.sum(axis=1) / self.answers[:, -1]

    @property
    def least_area(self) -> _Values:
        """The smallest AURC with this number of errors, which all come last."""
        total, wrong = self.answers[:, -1], self.errors[:, -1]
        right = total - wrong
        return (wrong - right * (_harmonic(total) - _harmonic(right))) / total

    def risk(self, coverage: float) -> _Values:
        """Return the share of wrong answers among the most confident `coverage` of the samples."""
        answers = coverage * self.answers[:, -1]
        errors = np.empty(len(answers))
        for row, wanted in enumerate(answers):
            errors[row] = np.interp(wanted, self.answers[row], self.errors[row])
        return errors / answers


def prepare_risk_coverage(
    label: _Labels, probability: _Probabilities
) -> Callable[[_Weights], RiskCoverage]:
    """Return risk against coverage of these samples by weights; they are sorted once."""
    sure, wrong = confidence(probability), 1 - is_correct(label, probability)
    order = np.argsort(-sure, kind="stable")
    starts = np.flatnonzero(np.diff(sure[order], prepend=np.inf))
    rate = np.add.reduceat(wrong[order], starts) / np.diff(starts, append=len(order))
    # Neighbours that are all right, or all wrong, are one line.
    joined = (rate[1:] == rate[:-1]) & ((rate[1:] == 0) | (rate[1:] == 1))
    starts = starts[np.concatenate([[True], ~joined])]

    def of_weights(weights: _Weights) -> RiskCoverage:
        drawn = weights[:, order].astype(float)
        both = [np.add.reduceat(each, starts, axis=1) for each in (drawn, drawn * wrong[order])]
        answers, errors = (np.pad(np.cumsum(each, axis=1), ((0, 0), (1, 0))) for each in both)
        return RiskCoverage(answers, errors)

    return of_weights


def aurc(label: _Labels, probability: _Probabilities) -> float:
    """Compute the area under risk against coverage: the mean risk over all coverages."""
    check_predictions(label, probability)
    return float(prepare_risk_coverage(label, probability)(np.ones((1, len(label)))).area[0])


class _WeightedAurc:
    """AURC of many resamples at once."""

    def __call__(self, weights: _Weights, label: _Labels, probability: _Probabilities) -> _Values:
        return self.prepare(label, probability)(weights)

    @staticmethod
    def prepare(label: _Labels, probability: _Probabilities) -> Callable[[_Weights], _Values]:
        """Return the AURC of these samples by weights; they are sorted once."""
        of_weights = prepare_risk_coverage(label, probability)
        return lambda weights: of_weights(weights).area


def _harmonic(n: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return 1 + 1/2 + … + 1/n, up to a constant."""
    return np.asarray(digamma(n + 1))  # pyright: ignore[reportUnknownArgumentType]


def _rarer_class(label: _Labels) -> float:
    return float(min(label.mean(), 1 - label.mean()))


AURC = Metric(
    name="aurc",
    compute=aurc,
    columns=("label", "probability"),
    higher_is_better=False,
    low=0.0,
    high=1.0,
    interval="percentile",
    chance=_rarer_class,
    weighted=_WeightedAurc(),
    display_name="AURC",
    description=(
        "AURC is the share of wrong answers where a model answers only its most confident samples, "
        "averaged over all coverages: lower is better."
    ),
    source=(
        'Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017, '
        "https://arxiv.org/abs/1705.08500"
    ),
)
"""Area under risk against coverage; lower is better."""
