"""Pretrained encoders of three libraries on the synthetic cohort: trained and evaluated.

The files are tiny and made here.
"""

import shlex
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.hashing import file_sha256
from clinical_symile.registry.base import resolve
from clinical_symile.registry.extras import MissingExtraError
from clinical_symile.registry.families import ENCODERS
from clinical_symile.reporting.cards.card_caveats import caveat_sentences
from clinical_symile.reporting.cards.model_facts import Method, weight_facts
from clinical_symile.tracking.offline import OFFLINE_VARIABLES
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner
from clinical_symile.training.served_model import write_served_model
from clinical_symile.training.train import train
from tests.helpers.report_data import made_data
from tests.helpers.synthetic import tiny
from tests.helpers.tiny_encoders import (
    onnx_image_arguments,
    pinned,
    timm_arguments,
    transformers_arguments,
)
from tests.integration.test_readme import ROOT, commands

MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "timm": lambda folder: {**timm_arguments(folder), "size_px": 32},
    "transformers": transformers_arguments,
    "onnx": onnx_image_arguments,
}


def with_encoder(catalog: Catalog, name: str, folder: Path, **fields: Any) -> Pretraining:
    """`pretraining/symile`, made small, with a pretrained encoder of X-rays."""
    table = tiny(catalog, "pretraining/symile").model_dump(mode="json", exclude={"name"})
    with torch.random.fork_rng(devices=[]):
        encoder = {"name": name, **pinned(MAKERS[name](folder)), **fields}
    table["encoders"]["cxr"] = encoder
    made = parse_task(table, name="symile", where="the test")
    assert isinstance(made, Pretraining)
    return made


def retrieval(catalog: Catalog) -> Retrieval:
    task = read_task(
        catalog, "retrieval/cxr_given_ecg_labs", overrides=['missingness=["complete"]']
    )
    assert isinstance(task, Retrieval)
    return task


def of_cxr(run: Run) -> dict[str, torch.Tensor]:
    prefix = "model.encoders.cxr."
    weights = load_file(run.weights)
    return {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}


@pytest.mark.parametrize("name", MAKERS)
def test_a_frozen_encoder_is_trained_on_and_evaluated_without_its_file(
    name: str,
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    few_resamples_everywhere: None,
):
    task = with_encoder(catalog, name, tmp_path, frozen=True)
    run = train(task, store=synthetic_store, run=Run(tmp_path / "run"), seed=0)
    record = run.metadata
    about = record["encoders"]["cxr"]
    assert about["licence"] == "CC0-1.0"
    assert about["training_data"] == ["a made-up set"]
    assert about["sha256"] == task.encoders["cxr"].sha256
    assert about["sha256"] == record["files_sha256"]["encoders.cxr.weights"]
    assert str(tmp_path) not in (run.path / "run.toml").read_text()
    for file in tmp_path.glob("*.*"):
        if file.is_file():
            file.unlink()  # the run has all that it needs
    evaluate_run(run, [retrieval(catalog)], store=synthetic_store)
    assert {row.metric for row in run.results} >= {"recall_at_1"}


@pytest.mark.parametrize("name", ["timm", "transformers"])
def test_what_is_trained_is_what_the_task_says(
    name: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    found = {}
    for kind, fields in {
        "frozen": {"frozen": True},
        "adapted": {"adapter": {"name": "lora", "rank": 2}},
        "tuned": {},
    }.items():
        task = with_encoder(catalog, name, tmp_path, **fields)
        run = train(task, store=synthetic_store, run=Run(tmp_path / kind), seed=0)
        own = of_cxr(run)
        found[kind] = {n.removeprefix("encoder."): t for n, t in own.items()}
    frozen, tuned = found["frozen"], found["tuned"]
    assert frozen.keys() == tuned.keys()
    moved = {key for key in frozen if not torch.equal(frozen[key], tuned[key])}
    assert len(moved) > len(frozen) / 2
    of_adapter = {key for key in found["adapted"] if ".parametrizations.weight.0." in key}
    assert of_adapter
    for key, tensor in frozen.items():
        if key.startswith("head."):
            continue
        kept = key.replace(".weight", ".parametrizations.weight.original")
        adapted = found["adapted"].get(key, found["adapted"].get(kept))
        assert adapted is not None
        assert torch.equal(adapted, tensor), key


def test_what_the_weights_and_the_cohort_share_is_recorded_and_said(
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    shared = {"training_data": ["Synthetic hospital", "CheXpert"]}
    task = with_encoder(catalog, "onnx", tmp_path, frozen=True, **shared)
    run = train(task, store=synthetic_store, run=Run(tmp_path / "run"), seed=0)
    assert run.metadata["encoders"]["cxr"]["overlap"] == ["Synthetic hospital"]
    assert "cxr: its encoder was trained on Synthetic hospital" in capsys.readouterr().err
    method = Method("symile", [], [run.metadata])
    (caveat,) = (s for s in caveat_sentences(method, made_data()) if "encoder of" in s)
    assert "X-ray were trained on Synthetic hospital" in caveat
    (words,) = dict(weight_facts(method)).values()
    assert "licence: CC0-1.0; trained on: Synthetic hospital and CheXpert" in words


def test_another_file_than_the_one_of_the_digest_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = with_encoder(catalog, "onnx", tmp_path, frozen=True)
    file = Path(str(task.encoders["cxr"].arguments["weights"]))
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(DefinitionError, match="have the SHA-256") as caught:
        train(task, store=synthetic_store, run=Run(tmp_path / "run"), seed=0)
    assert caught.value.problems[0].code == "CS-M028"


def test_weights_of_another_run_begin_a_training(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    first = train(
        tiny(catalog, "pretraining/symile"),
        store=synthetic_store,
        run=Run(tmp_path / "first"),
        seed=0,
    )
    task = tiny(
        catalog,
        "pretraining/symile",
        f'encoders.ecg.weights="{first.weights}"',
        f'encoders.ecg.sha256="{file_sha256(first.weights)}"',
        'encoders.ecg.licence="MIT"',
        'encoders.ecg.training_data=["synthetic"]',
        "encoders.ecg.frozen=true",
    )
    second = train(task, store=synthetic_store, run=Run(tmp_path / "second"), seed=1)
    before, after = load_file(first.weights), load_file(second.weights)
    kept = [k for k in before if k.startswith("model.encoders.ecg.") and ".fc." not in k]
    assert kept
    for key in kept:
        assert torch.equal(before[key], after[key.replace(".ecg.", ".ecg.encoder.")]), key


@pytest.mark.slow
def test_the_commands_of_the_example_find_features_that_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for name, value in OFFLINE_VARIABLES.items():
        monkeypatch.setenv(name, value)  # so that they are as before when the test ends
    made, *others = commands("examples/pretrained_encoder/README.md")
    with torch.random.fork_rng(devices=[]):
        run_path(made.split()[1], init_globals={})["write_task"](tmp_path / made.split()[2])
    kept = []
    for command in others:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        # 2: the audit warns of what it finds in so few subjects
        assert ended.value.code in ((0, 2) if " audit " in command else (0,)), command
        kept.append("were kept before" in capsys.readouterr().err)
    assert kept == [False, False, False, True, True]


@pytest.mark.parametrize("name", ["transformers", "onnx"])
def test_a_model_that_is_logged_is_loaded_without_the_file(
    name: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = with_encoder(catalog, name, tmp_path, frozen=True)
    run = train(task, store=synthetic_store, run=Run(tmp_path / "run"), seed=0)
    made = write_served_model(run, tmp_path / "served")
    loaded = import_module(made.loader)._load_pyfunc(str(made.folder))
    inputs = {k: np.ones((2, *shape), dtype=np.float32) for k, shape in made.inputs.items()}
    expected = load_learner(run, task, synthetic_store).model
    rows = torch.from_numpy(inputs["cxr"])
    with torch.inference_mode():
        z = expected.norms["cxr"](expected.encoders["cxr"](rows)).numpy()
    np.testing.assert_array_equal(loaded.predict(inputs)["cxr"], z)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("timm", "timm", "timm"),
        ("xrayvision", "torchxrayvision", "xrv"),
        ("transformers", "transformers", "transformers"),
        ("onnx", "onnxruntime", "onnx"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = extras["optional-dependencies"]
    lines = [f"{one}; extra == '{key}'" for key, all_of in extras.items() for one in all_of]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: lines)
    module = ENCODERS[name].partition(":")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"clinical-symile\[{extra}\]"):
        resolve(name, ENCODERS)
    assert any(one.startswith(package) for one in extras["test"])
