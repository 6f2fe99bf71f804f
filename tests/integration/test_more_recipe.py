"""MoRE's recipe: pairwise CLIP, frozen encoders with LoRA, prototypes and probes."""

import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.api.runs import evaluate, train
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.models.adapters.base import AdaptedEncoder
from clinical_symile.objectives.clip import Clip
from clinical_symile.training.learner import build_learner

TASK = "pretraining/adapters/more"


def test_fewer_than_one_in_twenty_weights_are_trained(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = read_task(catalog, TASK)
    assert isinstance(task, Pretraining)
    learner = build_learner(task, synthetic_store, seed=0)
    assert type(learner.objective) is Clip
    sizes = [(p.numel(), p.requires_grad) for p in learner.parameters()]
    trained, every = sum(n for n, is_trained in sizes if is_trained), sum(n for n, _ in sizes)
    assert every > 23_000_000  # of a ResNet-50
    assert 0.01 < trained / every < 0.05
    for name in ("cxr", "ecg"):
        encoder = learner.model.encoders[name]
        assert isinstance(encoder, AdaptedEncoder)
        own = [n for n, p in encoder.named_parameters() if p.requires_grad]
        assert all(".parametrizations.weight.0." in n or ".fc." in n or "final" in n for n in own)


@pytest.mark.slow
def test_the_recipe_trains_from_an_encoder_of_another_run_and_is_probed(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    small = ["encoders.ecg.sampling_rate_hz=20", "encoders.ecg.width=8", "dim=8", "epochs=1"]
    first = train(
        "pretraining/clip", synthetic_store, out=tmp_path / "runs", overrides=small, progress=False
    )
    file = tmp_path / "runs" / first.name / "model.safetensors"
    run = train(
        TASK,
        synthetic_store,
        out=tmp_path / "runs",
        overrides=[*small, "batch_size=32", f"encoders.ecg.weights={file}"],
        progress=False,
    )
    folder = tmp_path / "runs" / run.name
    costs = tomllib.loads((folder / "run.toml").read_text())["costs"]
    assert costs["parameters_trained"] / costs["parameters"] < 0.05
    before, after = load_file(file), load_file(folder / "model.safetensors")
    first_layer = "model.encoders.ecg.encoder.network.conv1.parametrizations.weight"
    kept = before["model.encoders.ecg.network.conv1.weight"]
    assert torch.equal(after[f"{first_layer}.original"], kept)
    assert after[f"{first_layer}.0.b"].any()  # zero at the start
    results = evaluate(
        run,
        synthetic_store,
        tasks=[
            "retrieval/cxr_given_ecg_labs",
            "classification/deterioration",
            "classification/more/deterioration_by_prototype",
        ],
        missingness=["complete"],
        progress=False,
    )
    assert {row.task for row in results.rows} == {
        "retrieval/cxr_given_ecg_labs",
        "classification/deterioration",
        "classification/more/deterioration_by_prototype",
    }
