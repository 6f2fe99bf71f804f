"""k nearest neighbours among the training embeddings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.probes._logistic_regression import log_loss
from clinical_symile.evaluation.probes.base import Encoders, Labelled, Shown

ASKED_AT_A_TIME = 512


class NearestNeighbours:
    """How common the outcome is among the training samples that are most alike.

    Likeness is the mean product of embeddings over the modalities that both samples show; samples
    that show none in common are the least alike. Of k neighbours with p positive ones the
    probability is (p + 1) / (k + 2). Neighbours that tie for the last places share them.

    Args:
        k: numbers of neighbours; the one with the lowest log loss on tuning samples is taken. More
            than there are training samples are all of them.
    """

    def __init__(self, *, k: Sequence[int]):
        if not k or min(k) < 1:
            raise ValueError(f"k is {list(k)}; expected whole numbers from 1.")
        self._k = k

    def predict(
        self,
        train: Labelled,
        tuning: Labelled,
        asked: Shown,
        *,
        encoders: Encoders | None,
        seed: int,
    ) -> Float[np.ndarray, " sample"]:
        """See `Probe`."""
        losses = [log_loss(tuning.label, p) for p in _predicted(train, tuning, self._k)]
        return _predicted(train, asked, [self._k[int(np.argmin(losses))]])[0]


def _predicted(
    train: Labelled, asked: Shown, numbers: Sequence[int]
) -> Float[np.ndarray, "number sample"]:
    parts = [
        _of_likeness(_likeness(train, asked, part), train.label, numbers)
        for part in (
            slice(start, start + ASKED_AT_A_TIME)
            for start in range(0, max(len(asked.rows), 1), ASKED_AT_A_TIME)
        )
    ]
    return np.concatenate(parts, axis=1)


def _likeness(train: Labelled, asked: Shown, part: slice) -> Float[np.ndarray, "asked train"]:
    z = np.where(asked.available[part, :, None], asked.z[part], 0)
    known = np.where(train.available[:, :, None], train.z, 0)
    products = np.einsum("amd,tmd->at", z, known, optimize=True).astype(np.float64)
    common = asked.available[part].astype(np.int64) @ train.available.T.astype(np.int64)
    return np.where(common > 0, products / np.maximum(common, 1), -np.inf)


def _of_likeness(
    likeness: Float[np.ndarray, "asked train"],
    label: np.ndarray,
    numbers: Sequence[int],
) -> Float[np.ndarray, "number asked"]:
    ordered = -np.sort(-likeness, axis=1)
    probabilities = []
    for number in numbers:
        k = min(number, len(label))
        last = ordered[:, k - 1 : k]
        closer, level = likeness > last, likeness == last
        share = (k - closer.sum(axis=1)) / level.sum(axis=1)
        positive = closer @ label + share * (level @ label)
        probabilities.append((positive + 1) / (k + 2))
    return np.array(probabilities)
