"""Silent failure: with less to go by, a model is wrong more often and as sure as before.

A sample is called positive from 0.5 on. Confidence is the probability of the class that is called;
of a model that knows what it does not know, confidence falls with accuracy. The *silence* of a loss
is how much further accuracy falls than confidence: 0 where the model tells all of it, the whole
fall where it tells nothing.

Source: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution
examples", 2017, https://arxiv.org/abs/1610.02136, for the probability of the called class as
confidence.
"""

import numpy as np
from jaxtyping import Float, Int


def is_correct(
    label: Int[np.ndarray, " sample"], probability: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """1 where the called class is the true one, 0 where it is not, half at exactly 0.5."""
    called = np.where(probability == 0.5, 0.5, probability > 0.5)
    return 1 - np.abs(label - called)


def confidence(probability: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """The probability of the called class: 0.5 where it is a guess."""
    return np.maximum(probability, 1 - probability)


def high_confidence_error_gap(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    whole: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "sample 3"]:
    """For each sample the fall of accuracy, the fall of confidence, and the first minus the second.

    Their means over samples are what is told: a loss is silent if the first and the last are above
    0 by more than chance.

    Args:
        label: 0 or 1.
        probability: with something hidden.
        whole: of the same samples with nothing hidden.
    """
    wrong = is_correct(label, whole) - is_correct(label, probability)
    unsure = confidence(whole) - confidence(probability)
    return np.stack([wrong, unsure, wrong - unsure], axis=1)
