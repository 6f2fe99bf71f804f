"""Sets of outcomes that hold the true one as often as promised, by split conformal prediction.

A set is {0}, {1}, {0, 1} ("cannot tell") or empty ("like nothing seen in tuning"). It is made from
tuning samples: y belongs to the set of a sample if 1 - p(y) is at most the k-th smallest of these
values of the true classes of n tuning samples, k = ⌈(n + 1)(1 - e)⌉. If tuning and scored samples
are exchangeable, the set holds the truth in at least 1 - e of cases on average, whatever the model;
for a group of patients, another time or another hospital nothing is promised. Samples of one
person are not exchangeable with those of others: with few samples a person the promise holds
nearly.

Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Angelopoulos and
Bates, "A gentle introduction to conformal prediction", 2021. https://arxiv.org/abs/2107.07511
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

MISCOVERAGE = 0.1


def conformal_threshold(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    *,
    miscoverage: float = MISCOVERAGE,
) -> float:
    """The largest 1 - p(y) at which y belongs to a set; infinite where samples are too few.

    Args:
        label: of tuning samples.
        probability: of class 1, predicted for them.
        miscoverage: e, how often a set may miss the truth.
    """
    if not 0 < miscoverage < 1:
        raise ValueError(f"a miscoverage of {miscoverage:g}; expected one between 0 and 1.")
    strangeness = np.sort(np.where(label == 1, 1 - probability, probability))
    place = math.ceil(round((len(label) + 1) * (1 - miscoverage), 9))
    return float(strangeness[place - 1]) if 1 <= place <= len(label) else math.inf


def prediction_sets(
    probability: Float[np.ndarray, " sample"], *, threshold: float
) -> Bool[np.ndarray, "sample outcome"]:
    """Whether 0 and 1 belong to the set of each sample."""
    strangeness = np.stack([probability, 1 - probability], axis=1)
    return strangeness <= threshold


def covered(
    sets: Bool[np.ndarray, "sample outcome"], label: Int[np.ndarray, " sample"]
) -> Bool[np.ndarray, " sample"]:
    """Whether each set holds the true outcome."""
    return np.take_along_axis(sets, label[:, None], axis=1)[:, 0]
