from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights, resume, save_epoch, save_weights
from clinical_symile.training.learner import build_learner, load_learner
from tests.helpers.synthetic import mlp_task


def _trained(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        module(torch.ones(4, 3)).square().sum().backward()
        optimiser.step()
    return module, optimiser


def test_a_resumed_epoch_has_the_weights_the_moments_and_the_history_that_were_saved(
    tmp_path: Path,
):
    run = Run(tmp_path / "run")
    run.path.mkdir()
    module, optimiser = _trained(3)
    save_epoch(run, module, optimiser, [{"epoch": 1, "loss": 2.0}], best=True)
    other, fresh = _trained(0)
    assert resume(run, other, fresh) == [{"epoch": 1, "loss": 2.0}]
    for trained, resumed in ((module, other),):
        for expected, found in zip(trained.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(expected, found)
    expected, found = optimiser.state_dict()["state"], fresh.state_dict()["state"]
    assert expected.keys() == found.keys()
    for index in expected:
        for key, value in expected[index].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(found[index][key])), key


def test_a_new_run_resumes_from_nothing(tmp_path: Path):
    module, optimiser = _trained(0)
    assert resume(Run(tmp_path / "run"), module, optimiser) == []


def test_only_a_best_epoch_becomes_the_runs_weights_and_only_the_last_state_is_kept(tmp_path: Path):
    run = Run(tmp_path / "run")
    run.path.mkdir()
    module, optimiser = _trained(1)
    save_epoch(run, module, optimiser, [{"epoch": 1}], best=True)
    before = {name: tensor.clone() for name, tensor in load_weights(run).items()}
    later, optimiser = _trained(2)
    save_epoch(run, later, optimiser, [{"epoch": 1}, {"epoch": 2}], best=False)
    assert all(torch.equal(load_weights(run)[name], tensor) for name, tensor in before.items())
    assert [path.name for path in (run.path / "last").iterdir()] == ["2.safetensors"]


def test_weights_of_version_0_1_are_loaded_under_todays_names(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    run, task = Run(tmp_path / "run"), mlp_task(catalog, "missing_modality=learned")
    run.path.mkdir()
    learner = build_learner(task, synthetic_store, seed=3)
    save_weights(learner, run)
    old = {
        name.replace("model.missing_modality.", "model.slots."): tensor
        for name, tensor in load_file(run.weights).items()
    }
    assert "model.slots.substitute" in old
    save_file(old, run.weights)
    loaded = load_learner(run, task, synthetic_store).state_dict()
    for name, tensor in learner.state_dict().items():
        assert torch.equal(tensor, loaded[name]), name


@pytest.mark.parametrize("task", ["pretraining/clip", "pretraining/objectives/outcome_sets"])
def test_weights_of_a_set_of_analytes_of_version_0_2_6_are_read_as_they_were_trained(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, task: str
):
    """They read percentiles as they are, and what reads their tokens has positions."""
    labs = 'encoders.labs={name="sets", width=8, heads=2}'
    run, made = Run(tmp_path / "run"), mlp_task(catalog, labs, task=task)
    run.path.mkdir()
    learner = build_learner(made, synthetic_store, seed=3)
    save_weights(learner, run)
    old = load_file(run.weights)
    now = old.pop("model.encoders.labs.read_as")
    assert now.tolist() == pytest.approx([0.5, 12**-0.5])
    reader, kept = "model.missing_modality.readers.2", torch.arange(1.0, 27.0)
    if f"{reader}.keys.weight" in old:
        width = old[f"{reader}.keys.weight"].shape[0]
        old[f"{reader}.positions"] = kept[:, None].expand(-1, width).contiguous()
    save_file(old, run.weights)
    loaded = load_learner(run, made, synthetic_store).state_dict()
    assert loaded["model.encoders.labs.read_as"].tolist() == [0, 1]
    for name, tensor in old.items():
        assert torch.equal(tensor, loaded[name]), name
    assert (f"{reader}.positions" in loaded) == task.endswith("outcome_sets")
