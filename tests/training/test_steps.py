"""Steps of a training: its progress, and what a batch that cannot be trained on is told."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import build_training_view
from clinical_symile.errors import DataError
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.objectives.confu import ConFu
from clinical_symile.objectives.isogclr import ISogClr
from clinical_symile.objectives.mixed import M3Co
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.tracking.run import Run
from clinical_symile.training.steps import training_order
from clinical_symile.training.timing import time_training
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task, tiny


def test_the_step_size_of_isogclr_falls_to_its_last_value(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[float] = []
    compute = ISogClr.next_state

    def measured(self, pair, rows, inverse, log_u, inputs):
        state = compute(self, pair, rows, inverse, log_u, inputs)
        slopes, moved = state["slopes"], state["temperatures"] - 1 / inverse
        steepest = slopes.abs().argmax()
        sizes.append(float(-moved[steepest] / slopes[steepest]))
        return state

    monkeypatch.setattr(ISogClr, "next_state", measured)
    task = mlp_task(catalog, "epochs=2", task="pretraining/objectives/isogclr")
    run = Run(tmp_path / "run")
    train(task, store=synthetic_store, run=run, seed=0, accelerator="cpu")
    assert sizes[0] == pytest.approx(1e-2, rel=1e-3)
    assert sizes[-1] == pytest.approx(1e-4, rel=2e-2)
    assert torch.tensor(sizes).diff().max() < 1e-5


@pytest.mark.parametrize("epochs", [1, 2])
def test_views_and_losses_are_told_of_one_progress_that_ends_at_1(
    epochs: int,
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views: list[float] = []
    losses: list[float] = []
    make, compute = M3Co.views, M3Co.informed_loss

    def seen_views(self, batch, *, generator, progress):
        views.append(progress)
        return make(self, batch, generator=generator, progress=progress)

    def seen_loss(self, z, available, inputs, *, generator):
        losses.append(inputs.progress)
        return compute(self, z, available, inputs, generator=generator)

    monkeypatch.setattr(M3Co, "views", seen_views)
    monkeypatch.setattr(M3Co, "informed_loss", seen_loss)
    task = mlp_task(
        catalog, f"epochs={epochs}", "batch_size=64", task="pretraining/objectives/m3co"
    )
    run = Run(tmp_path / "run")
    train(task, store=synthetic_store, run=run, seed=0, accelerator="cpu")
    steps = run.history[-1]["step"]
    expected = [step / max(steps - 1, 1) for step in range(steps)]
    assert views == losses == pytest.approx(expected)


def _refusing(error: ValueError):
    def batch_loss(self, z, available, *, generator):
        raise error

    return batch_loss


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            ValueError("distilled needs values in side.values."),
            r"distilled needs values in side\.values\.",
        ),
        (
            ValueError("size is 8, shorter than 9. Raise objective.size, or lower batch_size."),
            r"size is 8, shorter than 9\. Raise objective\.size, or lower batch_size\.",
        ),
        (
            FewSamplesError("no pair of 4.", "Raise batch_size."),
            r"no pair of 4\. Its samples are all of one site, .* or leave such sites out of the "
            r"cohort\.",
        ),
    ],
)
def test_only_a_batch_with_too_few_samples_is_advised_about_its_site(
    error: ValueError,
    advice: str,
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = synthetic_store.samples.assign(group_site="north")
    store = replace(synthetic_store, samples=samples)
    monkeypatch.setattr(ConFu, "batch_loss", _refusing(error))
    task = mlp_task(catalog, "batches=one-site", task="pretraining/objectives/confu")
    with pytest.raises(DataError) as caught:
        train(task, store=store, run=Run(tmp_path / "run"), seed=0, accelerator="cpu")
    (problem,) = caught.value.problems
    assert re.fullmatch(rf"task '.*', epoch 1: {advice}", problem)


def test_a_modality_of_one_sample_in_a_batch_of_one_site_is_not_told_to_grow(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path
) -> None:
    present = synthetic_store.present.copy()
    present[synthetic_store.rows("train")[1:], 0] = False
    samples = synthetic_store.samples.assign(group_site="north")
    store = replace(synthetic_store, samples=samples, present=present)
    # All samples in one batch: another one would be trained on.
    changes = ("batches=one-site", "missing_modality=learned", "batch_size=1000")
    task = tiny(catalog, "pretraining/symile", *changes)
    with pytest.raises(DataError, match=r"only one sample has it, .* Set batches to 'sh") as caught:
        train(task, store=store, run=Run(tmp_path / "run"), seed=0, accelerator="cpu")
    assert "Raise batch_size" not in str(caught.value)


def test_a_batch_of_a_site_without_a_pair_is_left_over_and_counted(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path
) -> None:
    rows = synthetic_store.rows("train")
    complete = rows[synthetic_store.present[rows].all(axis=1)]
    south, present = complete[:14], synthetic_store.present.copy()
    present[south[::2], 0], present[south[1::2], 1] = False, False
    sites = np.full(len(present), "north")
    sites[south] = "south"
    samples = synthetic_store.samples.assign(group_site=sites)
    store = replace(synthetic_store, samples=samples, present=present)
    task = mlp_task(catalog, "batches=one-site", "epochs=2")
    run = train(task, store=store, run=Run(tmp_path / "run"), seed=0, accelerator="cpu")
    method = missing_modality_method(task.missing_modality)
    view = build_training_view(task, store, seed=0, min_modalities=method.min_modalities)
    order = training_order(task, view, processes=1)
    assert (order.left_over, order.steps) == (0, run.history[0]["step"])
    assert [epoch["left_over"] for epoch in run.history] == [14, 14]
    assert all(np.isfinite(epoch["loss"]) for epoch in run.history)
    assert time_training(task, store=store, seed=0, accelerator="cpu", n_steps=order.steps) > 0


def test_every_step_has_complete_samples_where_few_stay_whole_and_steps_are_as_many(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    for pairs, is_spread in (("paired-10", True), ("paired-100", False), ("mismatched-50", False)):
        task = mlp_task(catalog, f"pairs={pairs}", "batch_size=32")
        view = build_training_view(task, synthetic_store, seed=0, min_modalities=2)
        complete = np.asarray(view.available.all(axis=1))
        order = training_order(task, view, processes=1)
        counts = [complete[batch].sum() for batch in order.batches(np.random.default_rng(0))]
        assert (max(counts) - min(counts) <= 1) == is_spread
        assert order.steps == len(np.unique(view.rows)) // 32
