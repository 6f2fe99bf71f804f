"""Predict by the k nearest neighbours among the training embeddings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.probes._logistic_regression import log_loss
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs

_SAMPLES_PER_BLOCK = 512


class NearestNeighbours:
    """The share of the most similar training samples that have the outcome.

    Similarity is the mean inner product of embeddings over the modalities that both samples have;
    samples without a common modality are the least similar. Of k neighbours with p positive ones
    the probability is (p + 1) / (k + 2). Neighbours that tie for the last places share them.

    Args:
        k: numbers of neighbours; the one with the lowest log loss on tuning samples is used. A
            number above that of the training samples means all of them.

    Raises:
        ValueError: `k` is empty or has a number below 1.
    """

    display_name = "nearest neighbours"
    description = "The share of the most similar training samples that have the outcome."

    def __init__(self, *, k: Sequence[int]):
        if not k or min(k) < 1:
            raise ValueError(f"k is {list(k)}; expected whole numbers from 1.")
        self._k = k

    def predict(self, inputs: ProbeInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Probe`."""
        train, tuning = inputs.train, inputs.tuning
        losses = [log_loss(tuning.label, p) for p in _probabilities(train, tuning, self._k)]
        return _probabilities(train, inputs.samples, [self._k[int(np.argmin(losses))]])[0]


def _probabilities(
    train: LabelledSamples, samples: EmbeddedSamples, numbers: Sequence[int]
) -> Float[np.ndarray, "number sample"]:
    """Return the probability of each sample for each number of neighbours."""
    parts = [
        _vote(_similarity(train, samples, part), train.label, numbers)
        for part in (
            slice(start, start + _SAMPLES_PER_BLOCK)
            for start in range(0, max(len(samples.rows), 1), _SAMPLES_PER_BLOCK)
        )
    ]
    return np.concatenate(parts, axis=1)


def _similarity(
    train: LabelledSamples, samples: EmbeddedSamples, part: slice
) -> Float[np.ndarray, "sample train"]:
    z = np.where(samples.available[part, :, None], samples.z[part], 0)
    known = np.where(train.available[:, :, None], train.z, 0)
    products = np.einsum("amd,tmd->at", z, known, optimize=True).astype(np.float64)
    common = samples.available[part].astype(np.int64) @ train.available.T.astype(np.int64)
    return np.where(common > 0, products / np.maximum(common, 1), -np.inf)


def _vote(
    similarity: Float[np.ndarray, "sample train"],
    label: np.ndarray,
    numbers: Sequence[int],
) -> Float[np.ndarray, "number sample"]:
    ordered = -np.sort(-similarity, axis=1)
    probabilities = []
    for number in numbers:
        k = min(number, len(label))
        last = ordered[:, k - 1 : k]
        closer, level = similarity > last, similarity == last
        share = (k - closer.sum(axis=1)) / level.sum(axis=1)
        positive = closer @ label + share * (level @ label)
        probabilities.append((positive + 1) / (k + 2))
    return np.array(probabilities)
