"""The costs of a training: sizes by hand, sessions that add up, and no effect on the weights."""

from contextlib import nullcontext
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run
from clinical_symile.training.costs import TrainingCosts, count_step_alone
from clinical_symile.training.steps import launch
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task, tiny


def _sizes(store: CohortStore) -> list[int]:
    """The numbers of one sample that each encoder reads."""
    nothing = np.zeros(0, dtype=np.int64)
    return [prod(store.inputs(name, nothing).shape[1:]) for name in ("cxr", "ecg", "labs")]


def _small(catalog: Catalog, *overrides: str) -> Pretraining:
    """CLIP of complete samples with MLPs from the inputs to 8 hidden units and to a width of 8."""
    small = ("epochs=1", "batch_size=8", "missing_modality=complete")
    return mlp_task(catalog, *small, *overrides, task="pretraining/clip")


@pytest.fixture(scope="module")
def trained(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    run = Run(tmp_path_factory.mktemp("costs") / "clip-0")
    return train(_small(catalog), store=synthetic_store, run=run, seed=0, accelerator="cpu")


def test_parameters_and_flops_of_a_tiny_encoder_are_those_by_hand(
    trained: Run, synthetic_store: CohortStore
) -> None:
    costs, sizes = trained.metadata["costs"], _sizes(synthetic_store)
    # Two layers with their biases.
    encoders = sum(size * 8 + 8 + 8 * 8 + 8 for size in sizes)
    assert costs["parameters_used"] == encoders
    assert costs["parameters"] == encoders + 1  # the temperature of CLIP
    assert costs["parameters_trained"] == encoders + 1
    # A multiplication and an addition for each weight.
    assert costs["flops_per_sample"] == sum(2 * (size * 8 + 8 * 8) for size in sizes)


def test_flops_of_a_step_are_those_of_its_layers_and_of_its_pairs(
    trained: Run, synthetic_store: CohortStore
) -> None:
    step, batch, dim = trained.metadata["costs"]["flops_per_step"], 8, 8
    # Forward, and the gradients of the weights, are one product each; inputs need no gradient.
    of_encoders = sum(2 * batch * (2 * size * 8 + 3 * 8 * 8) for size in _sizes(synthetic_store))
    # Three pairs of modalities: their scores, and the gradients of both sides.
    of_pairs = 3 * 3 * 2 * batch * batch * dim
    assert step == of_encoders + of_pairs


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("pretraining/symile", "missing_modality=learned"),
        ("pretraining/clip", "precision=bf16-mixed"),
        ("pretraining/objectives/comm", "epochs=1"),
    ],
)
def test_counting_changes_no_bit_of_the_weights(
    name: str,
    override: str,
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = tiny(catalog, name, "epochs=1", override)

    def learn(folder: str) -> Run:
        run = Run(tmp_path / folder)
        return train(task, store=synthetic_store, run=run, seed=0, accelerator="cpu")

    counted = learn("counted")
    monkeypatch.setattr(TrainingCosts, "count_step", lambda self: nullcontext())
    plain = learn("plain")
    assert counted.metadata["costs"]["flops_per_step"] > 0
    assert "flops_per_step" not in plain.metadata["costs"]
    assert counted.weights.read_bytes() == plain.weights.read_bytes()


class _StoppedError(Exception):
    pass


def test_a_resumed_training_adds_its_sessions_up(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task, run = mlp_task(catalog, "epochs=2"), Run(tmp_path / "symile-0")

    def stop(run: Run) -> None:
        raise _StoppedError

    with pytest.raises(_StoppedError):
        train(task, store=synthetic_store, run=run, seed=0, accelerator="cpu", on_epoch=stop)
    first = run.metadata["costs"]
    train(task, store=synthetic_store, run=run, seed=0, accelerator="cpu")
    both = run.metadata["costs"]
    assert (first["training"]["sessions"], both["training"]["sessions"]) == (1, 2)
    for key in ("wall_s", "processor_s"):
        assert both["training"][key] > first["training"][key] > 0
    seconds = sum(epoch["seconds"] for epoch in run.history)
    assert both["training"]["wall_s"] >= seconds
    assert both["flops_per_step"] == first["flops_per_step"]
    epochs = both["epochs"]
    assert epochs["wall_s"][:1] == first["epochs"]["wall_s"]
    for key in ("wall_s", "processor_s", "peak_memory_bytes"):
        assert len(epochs[key]) == len(run.history) == 2
    assert sum(epochs["wall_s"]) == pytest.approx(both["training"]["wall_s"], abs=5.0)


def test_a_training_on_a_processor_says_why_it_has_no_energy(trained: Run) -> None:
    spent = trained.metadata["costs"]["training"]
    assert "energy_j" not in spent
    assert spent["energy_missing"] == "the energy of processors is not read"


def test_a_step_that_is_counted_alone_has_the_flops_of_the_training(
    catalog: Catalog, synthetic_store: CohortStore, trained: Run
) -> None:
    task = _small(catalog, "compile=true")
    state = torch.get_rng_state()
    found = count_step_alone(task, synthetic_store, seed=0, accelerator="cpu")
    assert found == trained.metadata["costs"]["flops_per_step"]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_step_of_compiled_encoders_is_not_counted_while_it_trains() -> None:
    fabric = launch("32-true", "cpu", 1)
    for counts_step, expected in ((True, True), (False, False)):
        costs = TrainingCosts(fabric, {}, counts_step=counts_step)
        with costs.count_step():
            _ = torch.ones(2, 3) @ torch.ones(3, 4)
        assert (costs._of_all_processes().get("flops_per_step") == 48) is expected
