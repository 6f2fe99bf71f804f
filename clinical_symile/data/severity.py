"""How severe a measurement is, as a number that only the measurement itself decides.

It is the place of a measurement along the first principal direction of its modality's train
measurements: the direction in which people differ most. The sign is the one in which the largest
loading is positive. Nothing but the measurement goes in, so that what is hidden by it is missing
not at random in the strictest sense.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import prod

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.missingness.mechanisms import normal_scores, uniforms

FITTED_ON = 256
# Numbers that are held at a time: few enough to stay in a processor's cache.
AT_ONCE = 2**20
LONG = 64
WINDOWS = 8


@lru_cache(maxsize=64)
def severity(store: CohortStore, modality: str, split: str) -> Float[np.ndarray, " sample"]:
    """How severe a modality is in each sample of a split, as normal scores; 0 where it is absent.

    The direction is fitted on at most 256 train samples, drawn by their names.
    """
    mean, direction = _direction(store, modality)
    rows = store.rows(split)
    there = store.present[rows, store.modalities.index(modality)]
    along = np.full(len(rows), np.nan)
    found = [
        np.array([(mean_free * direction).sum() for mean_free in features - mean])
        for features in _chunks(store, modality, rows[there])
    ]
    along[there] = np.concatenate([np.zeros(0), *found]).round(9)
    return normal_scores(along)


@lru_cache(maxsize=16)
def _direction(
    store: CohortStore, modality: str
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """The mean and the first principal direction of train measurements."""
    rows = store.rows("train")
    rows = rows[store.present[rows, store.modalities.index(modality)]]
    draws = uniforms(0, store.samples["sample"].iloc[rows].astype(str).tolist(), [modality])
    chosen = np.sort(rows[np.argsort(draws[:, 0])[:FITTED_ON]])
    features = np.concatenate(list(_chunks(store, modality, chosen)))
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
    at_once = max(1, AT_ONCE // max(1, prod(store.array(modality).shape[1:])))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        yield _features(store.inputs(modality, part))


def _features(inputs: Float[np.ndarray, "row ..."]) -> Float[np.ndarray, "row feature"]:
    """Inputs side by side; a long last axis as mean and spread of eight windows of one length."""
    inputs = inputs.astype(np.float64)
    if inputs.shape[-1] > LONG:
        width = inputs.shape[-1] // WINDOWS
        windows = inputs[..., : width * WINDOWS].reshape(*inputs.shape[:-1], WINDOWS, width)
        mean = windows.sum(axis=-1) / width
        square = np.einsum("...i,...i->...", windows, windows) / width
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        inputs = np.stack([mean, spread], axis=-1)
    return inputs.reshape(len(inputs), -1)
