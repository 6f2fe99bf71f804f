"""`Batch`: tensors in, and how rows of a store become one."""

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
        inputs: for each modality its encoder's input; finite everywhere, zero where absent.
        present: True where the modality was measured and may be used.
        modalities: the columns of `present`.
        rows: rows of the store.
    """

    inputs: dict[str, Float[Tensor, "sample ..."]]
    present: Bool[Tensor, "sample modality"]
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
        store: where they are.
        rows: which.
        modalities: what to read of them; the columns of `visible` and `partners`.
        visible: what may be seen; what may not is not even read. None: all that is present.
        partners: the row that each modality is read from instead, for shuffled controls.
    """
    if partners is None:
        partners = np.repeat(rows[:, None], len(modalities), axis=1)
    columns = [store.modalities.index(modality) for modality in modalities]
    measured = store.present[partners, columns]
    present = measured if visible is None else measured & visible
    inputs = {}
    for column, modality in enumerate(modalities):
        lenders, shown = partners[:, column], present[:, column]
        if (shown == measured[:, column]).all():
            full = store.inputs(modality, lenders)
        else:
            read = store.inputs(modality, lenders[shown])
            full = np.zeros((len(rows), *read.shape[1:]), dtype=np.float32)
            full[shown] = read
        inputs[modality] = torch.from_numpy(full)
    return Batch(
        inputs=inputs,
        present=torch.from_numpy(present),
        modalities=tuple(modalities),
        rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
    )


def shuffled_batches(
    count: int, *, batch_size: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, " sample"]]:
    """Positions 0 … count - 1 in random order, in batches of the same size.

    What does not fill a last batch is left out; which samples these are changes with each call.
    With fewer samples than `batch_size` all of them are one batch.
    """
    order = rng.permutation(count)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]
