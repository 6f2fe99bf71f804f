"""Compute the net benefit of acting on predicted risks at each threshold (decision curves).

A decision to treat from a risk of t on means that 1 / t - 1 unnecessary treatments weigh as much
as one missed case. Net benefit counts true positives minus false positives with that weight, per
sample:

NB(t) = TP / n - FP / n · t / (1 - t).

A model is useful at t if it exceeds both treating everyone and treating no one (0).

Source: Vickers and Elkin, "Decision curve analysis: a novel method for evaluating prediction
models", Medical Decision Making 26, 2006. https://doi.org/10.1177/0272989X06295361
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from clinical_symile.stats.estimate import Estimate, smaller, weighted_sum
from clinical_symile.stats.proportions import mean_estimate, paired_difference

LEAST_ABOVE = 5  # samples above a threshold that an interval needs
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def net_benefit(
    weights: Real[np.ndarray, "resample sample"],
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Float[np.ndarray, "resample threshold"]:
    """Compute the net benefit of acting on the probabilities, for each row of weights.

    Raises:
        ValueError: a threshold is not above 0 and below 1.
    """
    t = _checked(thresholds)
    rising = np.argsort(t, kind="stable")
    # How many thresholds a probability reaches; above all of them, an even code is a negative.
    code = 2 * np.searchsorted(t[rising], probability, side="right") + label
    held = np.stack(
        [np.bincount(code, weights=row, minlength=2 * (len(t) + 1)) for row in weights]
    ).reshape(len(weights), len(t) + 1, 2)
    acted = np.cumsum(held[:, ::-1], axis=1)[:, -2::-1]
    benefit = np.empty((len(weights), len(t)))
    benefit[:, rising] = acted[:, :, 1] - acted[:, :, 0] * (t / (1 - t))[rising]
    return benefit / held.sum(axis=(1, 2))[:, None]


def treat_all(
    weights: Real[np.ndarray, "resample sample"],
    label: Int[np.ndarray, " sample"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Float[np.ndarray, "resample threshold"]:
    """Compute the net benefit of acting on everyone."""
    t = _checked(thresholds)
    prevalence = weights @ label.astype(np.float64) / weights.sum(axis=1)
    return prevalence[:, None] - (1 - prevalence[:, None]) * (t / (1 - t))


def net_benefit_estimate(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    threshold: float,
) -> tuple[Estimate, Estimate]:
    """Estimate net benefit and its gain at one threshold, for few subjects or few above it.

    Net benefit is the difference of two proportions: true positives, and false positives weighted
    by t / (1 - t). Its gain over treating everyone is the weighted true negatives minus the false
    negatives. Its gain over treating no one is net benefit itself. The smaller of the two is
    the gain over the better alternative.

    Returns:
        Net benefit, and its gain over the better of treating everyone and treating no one.

    Raises:
        ValueError: there are fewer than two subjects, or fewer than five samples above the
            threshold: the interval would say nothing.
    """
    weight = threshold / (1 - threshold)
    acted = probability >= threshold
    if acted.sum() < LEAST_ABOVE:
        raise ValueError(
            f"fewer than {LEAST_ABOVE} samples are above the threshold, too few for an interval."
        )
    positive = label == 1
    benefit = _contrast(acted & positive, acted & ~positive, (1.0, -weight), subjects)
    spared = _contrast(~acted & ~positive, ~acted & positive, (weight, -1.0), subjects)
    return benefit, smaller(benefit, spared)


def net_benefit_difference(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    threshold: float,
) -> Estimate:
    """Estimate the net benefit of a run minus that of another on the same samples.

    Only samples that one run treats and the other does not count. They count 1 for a positive, and
    minus t / (1 - t) for a negative, in favour of the run that treats.

    Args:
        label: 0 or 1.
        probability: predicted by the run.
        baseline: predicted by the other.
        subjects: the subject of each sample.
        threshold: the risk from which both treat.

    Raises:
        ValueError: there are fewer than two subjects, or the runs decide differently on fewer than
            five samples: the interval would say nothing.
    """
    (t,) = _checked([threshold])
    changed = (probability >= t).astype(float) - (baseline >= t)
    if np.count_nonzero(changed) < LEAST_ABOVE:
        raise ValueError(
            f"the runs decide differently on fewer than {LEAST_ABOVE} samples, too few for an "
            "interval."
        )
    return paired_difference(changed * np.where(label == 1, 1.0, -t / (1 - t)), subjects)


def _contrast(
    one: Bool[np.ndarray, " sample"],
    other: Bool[np.ndarray, " sample"],
    weights: tuple[float, float],
    subjects: Shaped[np.ndarray, " sample"],
) -> Estimate:
    first, second = (mean_estimate(x.astype(float), subjects) for x in (one, other))
    # Of exclusive categories; with clusters the correlation may differ, which matters little.
    odds = first.value * second.value / max((1 - first.value) * (1 - second.value), 1e-12)
    correlation = -float(np.sqrt(min(odds, 1.0)))
    return weighted_sum(first, second, weights=weights, correlation=correlation)


def _checked(thresholds: Sequence[float]) -> Float[np.ndarray, " threshold"]:
    t = np.asarray(thresholds, dtype=float)
    if not ((t > 0) & (t < 1)).all():
        raise ValueError("a threshold is outside 0 … 1; expected risks above 0 and below 1.")
    return t
