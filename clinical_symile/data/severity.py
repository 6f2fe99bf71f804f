"""Score the severity of a measurement from the measurement alone.

The score is the position of a measurement along the first principal direction of its modality's
train measurements: the direction in which samples differ most. Since nothing else enters, what is
hidden by this score is missing not at random in the strictest sense.

Principal components have no sign. Where the cohort's definition says `worse_with`, the end at which
this outcome is more common among train samples is the high end, and counts as worse. Elsewhere the
sign makes the largest loading positive, and a high score is not necessarily worse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.formatting import SMALLEST_COUNT
from clinical_symile.metrics.classification import auroc
from clinical_symile.missingness.mechanisms import normal_scores, uniforms

_N_FITTED, _MOST_DIRECTED = 256, 4096
# Numbers in a chunk: few enough to stay in a processor's cache.
_CHUNK_NUMBERS = 2**20
_LONG_AXIS = 64
_WINDOWS = 8


@dataclass(frozen=True)
class SeverityDirection:
    """The direction that a cohort's definition gives to the severity of a modality.

    Attributes:
        outcome: the outcome that is more common at the high end, among train samples.
        sign: 1, or -1 where the outcome is more common at the low end of the undirected score.
        auroc: how well the directed score tells train samples with the outcome from those without.
            It is at least 0.5, and near 0.5 if the outcome hardly says which end is worse. None
            with fewer than ten samples of a class.
    """

    outcome: str
    sign: int
    auroc: float | None


@lru_cache(maxsize=64)
def severity(store: CohortStore, modality: str, split: str) -> Float[np.ndarray, " sample"]:
    """Score the severity of a modality in each sample of a split; 0 where it is not present.

    Scores are normal scores. The direction is fitted on at most 256 train samples, drawn by name.

    Raises:
        CannotScore: as `severity_direction`.
    """
    directed = severity_direction(store, modality)
    rows = store.rows(split)
    present = store.present[rows, store.modalities.index(modality)]
    along = np.full(len(rows), np.nan)
    along[present] = _positions(store, modality, rows[present])
    return normal_scores(along if directed is None else directed.sign * along)


@lru_cache(maxsize=64)
def severity_direction(store: CohortStore, modality: str) -> SeverityDirection | None:
    """Return which end of a modality's severity is worse; None if the cohort does not say it.

    It is found on at most 4,096 train samples with a known outcome, drawn by name.

    Raises:
        CannotScore: no such sample has the outcome, or all have it.
    """
    outcome = store.manifest.get("worse_with", {}).get(modality)
    if outcome is None:
        return None
    label = store.outcome(outcome)
    rows = _train_rows(store, modality)
    rows = _drawn(store, modality, rows[~np.isnan(label[rows])], _MOST_DIRECTED)
    label = label[rows].astype(np.int64)
    smallest = min(np.count_nonzero(label == kind) for kind in (0, 1))
    if not smallest:
        raise CannotScore(
            f"which end of '{modality}' is worse cannot be found: its train samples do not have "
            f"'{outcome}' with both answers. Name another outcome in worse_with of cohort "
            f"'{store.cohort}', or remove it.",
            code="CS-S013",
        )
    area = auroc(label, rankdata(_positions(store, modality, rows)) / len(rows))
    shown = max(area, 1 - area) if smallest >= SMALLEST_COUNT else None
    return SeverityDirection(outcome, 1 if area >= 0.5 else -1, shown)


def _positions(
    store: CohortStore, modality: str, rows: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Return the positions of measurements along the first principal direction."""
    mean, direction = _direction(store, modality)
    found = [
        np.array([(mean_free * direction).sum() for mean_free in features - mean])
        for features in _chunks(store, modality, rows)
    ]
    return np.concatenate([np.zeros(0), *found]).round(9)


def _train_rows(store: CohortStore, modality: str) -> Int[np.ndarray, " row"]:
    """Return the train samples that have a modality."""
    rows = store.rows("train")
    return rows[store.present[rows, store.modalities.index(modality)]]


def _drawn(
    store: CohortStore, modality: str, rows: Int[np.ndarray, " row"], most: int
) -> Int[np.ndarray, " drawn"]:
    """Draw at most so many rows, by the samples' names."""
    draws = uniforms(0, store.samples["sample"].iloc[rows].astype(str).tolist(), [modality])
    return np.sort(rows[np.argsort(draws[:, 0])[:most]])


@lru_cache(maxsize=16)
def _direction(
    store: CohortStore, modality: str
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """Return the mean and the first principal direction of train measurements."""
    fitted = _drawn(store, modality, _train_rows(store, modality), _N_FITTED)
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
