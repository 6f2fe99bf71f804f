"""Steps of a training: its progress, and what a batch that cannot be trained on is told."""

import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.objectives.isogclr import ISogClr
from clinical_symile.objectives.mixed import M3Co
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task


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
