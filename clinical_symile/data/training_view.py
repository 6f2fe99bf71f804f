"""`TrainingView`: the samples and modalities of a pretraining task, and the batches of an epoch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.batch_orders import BatchOrder
from clinical_symile.data.loader import Batch, BatchLoader
from clinical_symile.data.masks import draw_mask
from clinical_symile.data.pairings import pair_rows
from clinical_symile.data.parts import hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.data.undersampling import draw_undersample
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.missingness.patterns import parse_pattern


@dataclass(frozen=True, repr=False)
class TrainingView:
    """The samples and modalities of a store that a run trains on, the same in every epoch.

    Attributes:
        store: the store, without the parts of a modality that the task's pattern hides.
        modalities: the columns of `partners` and `available`.
        rows: the train samples, as rows of the store, ascending; a sample that `pairs` takes apart
            has a row for each recording.
        partners: the row that each modality of a sample is read from: its own, or that of another
            sample where `pairs` exchanges them.
        available: True where the modality is present in its row and the task's pattern leaves it
            visible.
        is_apart: True for a row of a sample that was taken apart.
        pairing: how many samples `pairs` changed and left as they are; empty where it changes none.
    """

    store: CohortStore
    modalities: tuple[str, ...]
    rows: Int[np.ndarray, " sample"]
    partners: Int[np.ndarray, "sample modality"]
    available: Bool[np.ndarray, "sample modality"]
    is_apart: Bool[np.ndarray, " sample"]
    pairing: Mapping[str, int]


def build_training_view(
    task: Pretraining, store: CohortStore, *, seed: int, min_modalities: int | None
) -> TrainingView:
    """Select the train samples of a task, and refuse a cohort with too few of them.

    Args:
        task: has the modalities, the missingness pattern and the pairing.
        store: a prepared cohort.
        seed: seed of the run.
        min_modalities: see `draw_training_view`.

    Raises:
        DataError: see `draw_training_view`, or fewer than two samples of the train or the tuning
            split can be used.
    """
    view = draw_training_view(task, store, seed=seed, min_modalities=min_modalities)
    _require_samples(store, task, n_train=len(np.unique(view.rows)))
    return view


def draw_training_view(
    task: Pretraining, store: CohortStore, *, seed: int, min_modalities: int | None
) -> TrainingView:
    """Select the train samples of a task and draw what its pattern hides of them.

    Args:
        task: has the modalities, the missingness pattern and the pairing.
        store: a prepared cohort.
        seed: seed of the run.
        min_modalities: the number of modalities that a sample must have available; None for all
            that the pattern leaves visible.

    Raises:
        DataError: the pattern cannot be drawn on this cohort.
    """
    pattern = parse_pattern(task.missingness)
    try:
        visible_store = hide_parts(pattern, store, seed=seed) if pattern.within else store
        mask = draw_mask(
            pattern, visible_store, split="train", modalities=task.modalities, seed=seed
        )
    except CannotScore as verdict:
        raise DataError(verdict.reason.at(f"task '{task.name}'"), code="CS-F015") from verdict
    if min_modalities is None:
        min_modalities = len(pattern.visible_modalities(task.modalities))
    is_used = mask.available.sum(axis=1) >= min_modalities
    if task.undersample is not None:
        about = task.undersample.model_dump()
        is_used &= draw_undersample(mask.rows, store, **about, seed=seed)
    rows, hidden = mask.rows[is_used], (mask.present & ~mask.available)[is_used]
    columns = [store.modalities.index(name) for name in task.modalities]
    present = store.present[:, columns]
    paired = pair_rows(task.pairs, rows, present=present, hidden=hidden, seed=seed)
    return TrainingView(
        visible_store,
        task.modalities,
        paired.rows,
        paired.partners,
        paired.available,
        paired.is_apart,
        paired.counts,
    )


def epoch_batches(
    view: TrainingView,
    loader: BatchLoader,
    *,
    order: BatchOrder,
    dropout_rates: Float[np.ndarray, " modality"],
    augmentations: Mapping[str, Callable[..., Tensor]],
    seed: int,
    epoch: int,
    rank: int = 0,
    processes: int = 1,
) -> Iterator[tuple[Batch, torch.Generator]]:
    """Yield this process's share of each batch, with the generator of its negatives.

    The draws depend on the seed and the epoch alone, so that training can resume after any epoch.

    Args:
        view: the samples and modalities to train on.
        loader: of the view's store, with its modalities.
        order: divides the samples into batches, over all processes.
        dropout_rates: the share of each modality, where it is available, that the epoch hides.
        augmentations: for some modalities, a change of their inputs.
        seed: seed of the run.
        epoch: counted from 1.
        rank: the number of this process.
        processes: the number of processes.
    """
    rng = np.random.default_rng([seed, epoch])
    dropout_rng = np.random.default_rng(int(rng.integers(2**31)))
    visible = view.available & ~_dropped(view.available, dropout_rates, dropout_rng)
    for index in order.batches(rng):
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        share = index[rank::processes]
        batch = loader.batch(
            view.rows[share], visible=visible[share], partners=view.partners[share]
        )
        changes = torch.Generator().manual_seed(generator.initial_seed() + 2**32 + rank)
        for name, augment in augmentations.items():
            batch.inputs[name] = augment(batch.inputs[name], generator=changes)
        yield batch, generator


def _require_samples(store: CohortStore, task: Pretraining, *, n_train: int) -> None:
    """Refuse a cohort with fewer than two usable samples in the train or the tuning split."""
    n_tuning = len(store.complete_rows("tuning", task.modalities))
    problems = [
        f"cohort '{store.cohort}': the {split} split has {count} samples with {what}; expected at "
        "least 2. Prepare a larger cohort, or choose a task of fewer modalities."
        for split, count, what in (
            ("train", n_train, "enough modalities available"),
            ("tuning", n_tuning, "all modalities of the task"),
        )
        if count < 2
    ]
    if problems:
        raise DataError(*problems, code="CS-D027")


def _dropped(
    available: Bool[np.ndarray, "sample modality"],
    rates: Float[np.ndarray, " modality"],
    rng: np.random.Generator,
) -> Bool[np.ndarray, "sample modality"]:
    """Draw the available modalities that an epoch hides.

    A sample that would lose all keeps its highest draw.
    """
    draws = np.where(available, rng.random(available.shape), -1.0)
    hidden = draws < rates
    loses_all = hidden.all(axis=1, keepdims=True)
    return hidden & ~(loses_all & (draws == draws.max(axis=1, keepdims=True)))
