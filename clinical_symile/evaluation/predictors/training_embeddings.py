"""Embed what a run learned from: its own train samples, with what its task left visible."""

from dataclasses import replace

import numpy as np
import torch

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import draw_training_view
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.row_embeddings import reencode_modality


def training_embeddings(
    task: Pretraining,
    model: MultimodalEncoder,
    embeddings: Embeddings,
    store: CohortStore,
    *,
    seed: int,
) -> Embeddings:
    """Return the embeddings of a run's train samples under its own training mask.

    What is fitted or drawn for its evaluation learns from no more than the run did: the task's
    `missingness`, `undersample` and `pairs` apply, and so does the number of modalities that its
    method needs. Modality dropout, which differs from epoch to epoch, does not.

    Args:
        task: the run's task.
        model: the run's encoders.
        embeddings: one row for each row of the store, in its order.
        store: the store that the run was trained on.
        seed: seed of the run.

    Raises:
        DataError: the training's samples cannot be drawn from this store.
    """
    least = missing_modality_method(task.missing_modality).min_modalities
    view = draw_training_view(task, store, seed=seed, min_modalities=least)
    within = parse_pattern(task.missingness).within
    position = np.arange(len(store.samples))
    if within:  # training read this modality without the parts that the pattern hides
        rows = np.unique(view.partners)
        position[rows] = np.arange(len(rows))
        taken = embeddings.take(torch.from_numpy(rows))
        embeddings = reencode_modality(model, view.store, taken, within)
    available = torch.from_numpy(view.available.copy())
    partners = torch.from_numpy(position[view.partners])
    columns = torch.arange(partners.shape[1])
    summary = embeddings.summary
    whole = replace(
        embeddings,
        z=embeddings.z[partners, columns],
        summary=None if summary is None else summary[partners, columns],
        available=embeddings.available[partners, columns] & available,
        rows=torch.from_numpy(view.rows.copy()),
        sets=None,
    )
    return whole.with_visible(available)
