"""Ways that adapt encoders or read tokens: trained and evaluated from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import build_training_view
from clinical_symile.missingness.patterns import every_pattern
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights
from clinical_symile.training.train import train
from tests.helpers.synthetic import TINY, mlp_task
from tests.training.test_train import TWO_PROCESSES

OBJECTIVES = {
    "symile": "pretraining/symile",
    "gated_symile": "pretraining/objectives/gated_symile",
    "clip": "pretraining/clip",
    "outcome": "pretraining/objectives/outcome_gated",
}
WAYS = {
    "adapted": True,
    "adapted_lora": True,
    "disentangled": False,
    "projected": False,
    "proxies": True,
    "translated": False,
}
# A fusion that reads tokens, with labs as a set.
TOKENS = ("sets", 'objective.fusion={name="sets"}', 'encoders.labs={name="sets", width=8, heads=2}')
SMALL = [part for override in (*TINY, "epochs=1") for part in ("--set", override)]
TASKS = ("retrieval/cxr_given_ecg_labs", "classification/deterioration")


def command(*arguments: str) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as end:
        sys.exit(main([*arguments]))
    assert not end.value.code, arguments


def trained(store: CohortStore, out: Path, name: str, task: str, *overrides: str) -> Run:
    also = [part for override in overrides for part in ("--set", override)]
    where = ["--store", str(store.path), "--out", str(out), "--name", name]
    command("train", task, *where, *SMALL, *also)
    return Run(out / name)


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples", "no_mlflow_copies")
@pytest.mark.parametrize(
    ("way", "objective"),
    [
        ("adapted", "symile"),
        ("adapted", "outcome"),
        ("adapted_lora", "clip"),
        ("projected", "gated_symile"),
        ("proxies", "outcome"),
    ],
)
def test_a_way_is_trained_and_evaluated_under_every_subset(
    way: str,
    objective: str,
    synthetic_store: CohortStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    task, overrides = OBJECTIVES[objective], [f"missing_modality={way}"]
    if WAYS[way]:
        first = trained(synthetic_store, tmp_path, "first", task)
        overrides.append(f"start={first.path}")
    run = trained(synthetic_store, tmp_path, way, task, *overrides)
    subsets = every_pattern(("cxr", "ecg", "labs"))
    store = ["--store", str(synthetic_store.path)]
    capsys.readouterr()
    for name in TASKS:
        patterns = subsets if "classification" in name else every_pattern(("ecg", "labs"))
        asked = ["--tasks", name, "--missingness", ",".join(patterns)]
        command("evaluate", str(run.path), *store, *asked)
    said = capsys.readouterr().err
    assert ("encoded once more for each set" in said) == way.startswith("adapted")
    found = {(row.task, row.missingness) for row in run.results}
    refused = {(row.task, row.missingness): row.code for row in run.unscored}
    expected = {("classification/deterioration", pattern) for pattern in subsets}
    # Two modalities make a pair: a contrastive objective trains no adapter of a set of one.
    alone = {(TASKS[1], f"only-{name}") for name in ("cxr", "ecg", "labs")}
    unmet = alone if way.startswith("adapted") and objective != "outcome" else set[Any]()
    assert expected - found == unmet
    assert {key for key, code in refused.items() if code == "CS-S019"} == unmet
    retrieval = {(TASKS[0], pattern) for pattern in every_pattern(("ecg", "labs"))}
    if objective == "outcome":
        assert {refused[key] for key in retrieval} == {"CS-S006"}
    else:
        assert retrieval <= found


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", ["adapted", "adapted_lora", "disentangled", "projected", "proxies", "sets", "translated"]
)
def test_two_processes_learn_what_one_does(
    way: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    """In float64 and with one batch of an odd number, so that shares differ."""

    def learn(task: Pretraining, name: str) -> Run:
        run = Run(tmp_path / name)
        return train(task, store=synthetic_store, run=run, seed=0, accelerator="cpu")

    named, overrides = _definition(way)
    overrides += ["precision=64-true", "missingness=mcar-30"]
    if WAYS.get(way):
        first = learn(mlp_task(catalog, "precision=64-true", "epochs=1"), "first")
        overrides.append(f"start={first.path}")
    task = mlp_task(catalog, *overrides, "epochs=2", task=named)
    rows = len(build_training_view(task, synthetic_store, seed=0, min_modalities=2).rows)
    task = task.model_copy(update={"batch_size": rows - 1 + rows % 2})
    script, folder = tmp_path / "two.py", tmp_path / "two"
    script.write_text(TWO_PROCESSES)
    folder.mkdir()
    definitions = json.dumps({way: task.model_dump(mode="json", exclude={"name"})})
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    subprocess.run(
        [sys.executable, script, folder, synthetic_store.path, definitions],
        check=True,
        timeout=300,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )
    one, two = learn(task, "one"), Run(folder / way)
    for alone, together in zip(one.history, two.history, strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-6)
    alone, together = load_weights(one), load_weights(two)
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=1e-5, atol=1e-7)


def _definition(way: str) -> tuple[str, list[str]]:
    """The task and the overrides of a way, or of the fusion that reads tokens."""
    if way == TOKENS[0]:
        return "pretraining/objectives/outcome", list(TOKENS[1:])
    return "pretraining/symile", [f"missing_modality={way}"]


class _StoppedError(Exception):
    """The training was stopped."""


def _stop(run: Run) -> None:
    if len(run.history) == 1:
        raise _StoppedError


@pytest.mark.slow
@pytest.mark.parametrize("way", [*WAYS, "sets"])
def test_a_stopped_training_ends_with_the_weights_of_a_whole_one(
    way: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    def learn(task: Pretraining, name: str, on_epoch: Callable[[Run], object] = id) -> Run:
        run = Run(tmp_path / name)
        return train(
            task, store=synthetic_store, run=run, seed=0, accelerator="cpu", on_epoch=on_epoch
        )

    named, overrides = _definition(way)
    overrides += ["missingness=mcar-30", "epochs=2"]
    if WAYS.get(way):
        overrides.append(f"start={learn(mlp_task(catalog, 'epochs=1'), 'first').path}")
    task = mlp_task(catalog, *overrides, task=named)
    whole = load_weights(learn(task, "whole"))
    with pytest.raises(_StoppedError):
        learn(task, "stopped", _stop)
    resumed = load_weights(learn(task, "stopped"))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
