"""Score the severity of a measurement from the measurement alone.

The score is the position of a measurement along the first principal direction of its modality's
train measurements: the direction in which samples differ most. Its sign makes the largest loading
positive, and is arbitrary in clinical terms: a high score is not necessarily worse. Since nothing
else enters, what is hidden by this score is missing not at random in the strictest sense.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import prod

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.missingness.mechanisms import normal_scores, uniforms

_N_FITTED = 256
# Numbers in a chunk: few enough to stay in a processor's cache.
_CHUNK_NUMBERS = 2**20
_LONG_AXIS = 64
_WINDOWS = 8


@lru_cache(maxsize=64)
def severity(store: CohortStore, modality: str, split: str) -> Float[np.ndarray, " sample"]:
    """Score the severity of a modality in each sample of a split; 0 where it is not present.

    Scores are normal scores. The direction is fitted on at most 256 train samples, drawn by name.
    """
    mean, direction = _direction(store, modality)
    rows = store.rows(split)
    present = store.present[rows, store.modalities.index(modality)]
    along = np.full(len(rows), np.nan)
    found = [
        np.array([(mean_free * direction).sum() for mean_free in features - mean])
        for features in _chunks(store, modality, rows[present])
    ]
    along[present] = np.concatenate([np.zeros(0), *found]).round(9)
    return normal_scores(along)


@lru_cache(maxsize=16)
def _direction(
    store: CohortStore, modality: str
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """Return the mean and the first principal direction of train measurements."""
    rows = store.rows("train")
    rows = rows[store.present[rows, store.modalities.index(modality)]]
    draws = uniforms(0, store.samples["sample"].iloc[rows].astype(str).tolist(), [modality])
    fitted = np.sort(rows[np.argsort(draws[:, 0])[:_N_FITTED]])
    features = np.concatenate(list(_chunks(store, modality, fitted)))
    mean = features.mean(axis=0)
    _, vectors = np.linalg.eigh((features - mean) @ (features - mean).T)
    direction = vectors[:, -1] @ (features - mean)
    length = np.linalg.norm(direction)
    if not length:
        return mean, direction
    return mean, direction / length * np.sign(direction[np.abs(direction).argmax()])


def _chunks(
    store: CohortStore, modality: str, rows: Int[np.ndarray, " row"]
) -> Iterator[Float[np.ndarray, "_ feature"]]:
    """Yield the features of some rows, chunk by chunk."""
    chunk_rows = max(1, _CHUNK_NUMBERS // max(1, prod(store.array(modality).shape[1:])))
    for start in range(0, len(rows), chunk_rows):
        part = rows[start : start + chunk_rows]
        yield _features(store.inputs(modality, part))


def _features(inputs: Float[np.ndarray, "row ..."]) -> Float[np.ndarray, "row feature"]:
    """Flatten inputs; reduce a long last axis to means and deviations of eight equal windows."""
    inputs = inputs.astype(np.float64)
    if inputs.shape[-1] > _LONG_AXIS:
        width = inputs.shape[-1] // _WINDOWS
        windows = inputs[..., : width * _WINDOWS].reshape(*inputs.shape[:-1], _WINDOWS, width)
        mean = windows.sum(axis=-1) / width
        square = np.einsum("...i,...i->...", windows, windows) / width
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        inputs = np.stack([mean, spread], axis=-1)
    return inputs.reshape(len(inputs), -1)
