"""Measure high-confidence errors: a fall of accuracy that confidence does not follow.

A sample is predicted positive from 0.5 on. Confidence is the probability of the predicted class.
With less information, the confidence of a reliable model falls as far as its accuracy. The *gap*
is how much further accuracy falls: 0 for a reliable model, the whole fall if confidence stays.

Source: Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution
examples", 2017, https://arxiv.org/abs/1610.02136, for the probability of the predicted class
as confidence.
"""

import numpy as np
from jaxtyping import Float, Int


def is_correct(
    label: Int[np.ndarray, " sample"], probability: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """Return 1 where the predicted class is true, 0 where it is not, half at 0.5."""
    predicted = np.where(probability == 0.5, 0.5, probability > 0.5)
    return 1 - np.abs(label - predicted)


def confidence(probability: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """Return the probability of the predicted class, at least 0.5."""
    return np.maximum(probability, 1 - probability)


def high_confidence_error_gap(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    complete: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "sample 3"]:
    """Return each sample's fall of accuracy, fall of confidence, and the first minus the second.

    Their means over samples are reported: errors have high confidence if the first and the last
    are significantly above 0.

    Args:
        label: 0 or 1.
        probability: the prediction with some modalities hidden.
        complete: the prediction for the same samples with nothing hidden.
    """
    wrong = is_correct(label, complete) - is_correct(label, probability)
    unsure = confidence(complete) - confidence(probability)
    return np.stack([wrong, unsure, wrong - unsure], axis=1)
