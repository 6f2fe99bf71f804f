"""Embed what a run learned from: its own train samples, with what its task left visible."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.completed import Complete, complete_panels, panel_values
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, draw_training_view
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
    complete: Mapping[str, Complete] | None = None,
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
        complete: for some panels, a function that fills in what was not measured; see
            `complete_panels`.

    Raises:
        DataError: the training's samples cannot be drawn from this store.
    """
    view = _view(task, store, seed=seed)
    within = parse_pattern(task.missingness).within
    position = np.arange(len(store.samples))
    # Training read a modality without the parts that the pattern hides.
    changed: list[str] = list(
        dict.fromkeys([within, *(complete or {})] if within else complete or {})
    )
    if changed:
        rows = np.unique(view.partners)
        position[rows] = np.arange(len(rows))
        embeddings = embeddings.take(torch.from_numpy(rows))
        read = complete_panels(view.store, complete) if complete else view.store
        for name in changed:
            embeddings = reencode_modality(model, read, embeddings, name)
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


def training_values(
    task: Pretraining, store: CohortStore, modalities: Sequence[str], *, seed: int
) -> dict[str, Float[np.ndarray, "sample analyte"]]:
    """Return the values of panels that a run trained on, NaN where it had none.

    Args:
        task: the run's task.
        store: the store that the run was trained on.
        modalities: the panels.
        seed: seed of the run.

    Raises:
        DataError: the training's samples cannot be drawn from this store.
    """
    view = _view(task, store, seed=seed)
    found = {}
    for name in modalities:
        column = view.modalities.index(name)
        rows = view.partners[view.available[:, column], column]
        found[name] = panel_values(view.store, name, np.unique(rows))
    return found


def _view(task: Pretraining, store: CohortStore, *, seed: int) -> TrainingView:
    least = missing_modality_method(task.missing_modality).min_modalities
    return draw_training_view(task, store, seed=seed, min_modalities=least)
