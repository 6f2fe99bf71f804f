"""Compute prediction sets with a guaranteed coverage, by split conformal prediction.

A set is {0}, {1}, {0, 1} ("cannot tell") or empty ("unlike all tuning samples"). y belongs to the
set of a sample if 1 - p(y) is at most the k-th smallest of these values of the true classes of n
tuning samples, k = ⌈(n + 1)(1 - e)⌉. If tuning and evaluated samples are exchangeable, sets hold
the true outcome in at least 1 - e of cases on average, for any model. There is no guarantee for a
group of patients, another time or another hospital.

Samples of one subject are not exchangeable with others, but subjects are. Each of N subjects with
m tuning samples counts 1 / (N + 1), and each of its samples 1 / ((N + 1) m). The threshold is the
smallest at which the counts reach 1 - e. The guarantee is then for a sample of a new subject. With
one sample per subject this is the k-th smallest value.

Sources: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Angelopoulos
and Bates, "A gentle introduction to conformal prediction", 2021, https://arxiv.org/abs/2107.07511;
for several samples of a subject, Lee, Barber and Willett, "Distribution-free inference with
hierarchical data", 2023, https://arxiv.org/abs/2306.06342
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

MISCOVERAGE = 0.1
_ROUNDING = 1e-9  # of sums of shares


def conformal_threshold(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    miscoverage: float = MISCOVERAGE,
) -> float:
    """Compute the largest 1 - p(y) at which y belongs to a set; infinite with too few subjects.

    Args:
        label: the labels of tuning samples.
        probability: the predicted probability of class 1 for each.
        subjects: the subject of each sample.
        miscoverage: e, how often a set may miss the true outcome.
    """
    if not 0 < miscoverage < 1:
        raise ValueError(f"the miscoverage is {miscoverage:g}; expected a number between 0 and 1.")
    strangeness = np.where(label == 1, 1 - probability, probability)
    _, codes, sizes = np.unique(subjects, return_inverse=True, return_counts=True)
    order = np.argsort(strangeness, kind="stable")
    counted = np.cumsum(1 / sizes[codes[order]])
    needed = (len(sizes) + 1) * (1 - miscoverage)
    reached = counted >= needed - _ROUNDING
    return float(strangeness[order][reached.argmax()]) if reached.any() else math.inf


def prediction_sets(
    probability: Float[np.ndarray, " sample"], *, threshold: float
) -> Bool[np.ndarray, "sample outcome"]:
    """Return whether 0 and 1 belong to the prediction set of each sample."""
    strangeness = np.stack([probability, 1 - probability], axis=1)
    return strangeness <= threshold


def covered(
    sets: Bool[np.ndarray, "sample outcome"], label: Int[np.ndarray, " sample"]
) -> Bool[np.ndarray, " sample"]:
    """Return whether each set holds the true outcome."""
    return np.take_along_axis(sets, label[:, None], axis=1)[:, 0]
