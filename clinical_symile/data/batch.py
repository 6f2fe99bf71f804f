"""`Batch`: some rows of a store as the tensors that a model reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.store import CohortStore


@dataclass(frozen=True)
class Batch:
    """Some rows of a store as a model reads them.

    Attributes:
        inputs: for each modality the inputs of its encoder: finite, and zero where unavailable.
        available: True where the modality is present in the store and visible to the model.
        modalities: the columns of `available`.
        rows: the samples, as rows of the store.
    """

    inputs: dict[str, Float[Tensor, "sample ..."]]
    available: Bool[Tensor, "sample modality"]
    modalities: tuple[str, ...]
    rows: Int[Tensor, " sample"]


def load_batch(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    modalities: Sequence[str],
    visible: Bool[np.ndarray, "sample modality"] | None = None,
    partners: Int[np.ndarray, "sample modality"] | None = None,
) -> Batch:
    """Read rows of a store.

    Args:
        store: a prepared cohort.
        rows: the rows to read.
        modalities: the modalities to read; the columns of `visible` and `partners`.
        visible: True where the model may use the modality; the others are not read from disk. By
            default all are visible.
        partners: the row that each modality is read from instead, for shuffled controls.
    """
    partners, present, available = available_entries(
        store, rows, modalities=modalities, visible=visible, partners=partners
    )
    inputs = {}
    for column, modality in enumerate(modalities):
        sources, is_available = partners[:, column], available[:, column]
        if (is_available == present[:, column]).all():
            values = store.inputs(modality, sources)
        else:
            read = store.inputs(modality, sources[is_available])
            values = np.zeros((len(rows), *read.shape[1:]), dtype=np.float32)
            values[is_available] = read
        inputs[modality] = torch.from_numpy(values)
    return Batch(
        inputs=inputs,
        available=torch.from_numpy(available),
        modalities=tuple(modalities),
        rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
    )


def available_entries(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    modalities: Sequence[str],
    visible: Bool[np.ndarray, "sample modality"] | None,
    partners: Int[np.ndarray, "sample modality"] | None,
) -> tuple[
    Int[np.ndarray, "sample modality"],
    Bool[np.ndarray, "sample modality"],
    Bool[np.ndarray, "sample modality"],
]:
    """Return the row that each modality is read from, and where it is present and available.

    The arguments are those of `load_batch`.
    """
    if partners is None:
        partners = np.repeat(rows[:, None], len(modalities), axis=1)
    columns = [store.modalities.index(modality) for modality in modalities]
    present = store.present[partners, columns]
    return partners, present, present if visible is None else present & visible


def shuffled_batches(
    count: int, *, batch_size: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, " sample"]]:
    """Yield the positions 0 … count - 1 in random order, in batches of the same size.

    An incomplete last batch is left out; each call leaves out other samples. If there are fewer
    samples than `batch_size`, all of them are one batch.
    """
    order = rng.permutation(count)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]
