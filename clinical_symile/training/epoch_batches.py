"""The batches of an epoch, with everything that is random in them drawn from the run's seed."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Bool

from clinical_symile.data.batch import Batch, shuffled_batches
from clinical_symile.data.loader import BatchLoader
from clinical_symile.data.training_view import TrainingView
from clinical_symile.models.augmentations import Augmentation


def epoch_batches(
    view: TrainingView,
    loader: BatchLoader,
    *,
    batch_size: int,
    dropout_rate: float,
    augmentations: Mapping[str, Augmentation],
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
        batch_size: the samples of a batch, over all processes.
        dropout_rate: the share of available modalities that the epoch hides.
        augmentations: for some modalities, a change of their inputs.
        seed: seed of the run.
        epoch: counted from 1.
        rank: the number of this process.
        processes: the number of processes.
    """
    rng = np.random.default_rng([seed, epoch])
    dropout_rng = np.random.default_rng(int(rng.integers(2**31)))
    visible = view.available & ~_dropped(view.available, dropout_rate, dropout_rng)
    for index in shuffled_batches(len(view.rows), batch_size=batch_size, rng=rng):
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        share = index[rank::processes]
        batch = loader.batch(
            view.rows[share], visible=visible[share], partners=view.partners[share]
        )
        changes = torch.Generator().manual_seed(generator.initial_seed() + 2**32 + rank)
        for name, augment in augmentations.items():
            batch.inputs[name] = augment(batch.inputs[name], generator=changes)
        yield batch, generator


def _dropped(
    available: Bool[np.ndarray, "sample modality"], rate: float, rng: np.random.Generator
) -> Bool[np.ndarray, "sample modality"]:
    """Draw the available modalities that an epoch hides; each sample keeps its highest draw."""
    draws = np.where(available, rng.random(available.shape), -1.0)
    return (draws < rate) & (draws < draws.max(axis=1, keepdims=True))
