"""Training with deterministic algorithms alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import ClinicalSymileError, DataError
from clinical_symile.tracking.run import Run
from clinical_symile.training.determinism import deterministic_algorithms
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def test_settings_hold_inside_the_block_and_are_restored_after_it(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv(WORKSPACE, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)

    with deterministic_algorithms():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ[WORKSPACE] == ":4096:8"

    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert WORKSPACE not in os.environ


def test_without_it_nothing_changes():
    with deterministic_algorithms(wanted=False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_workspace_that_lets_cublas_choose_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(WORKSPACE, ":0:0")
    refused = pytest.raises(ClinicalSymileError, match="is ':0:0' in the environment; expected")
    with refused, deterministic_algorithms():
        pass


def test_an_operation_without_such_an_algorithm_is_named():
    said = "put_ does not have a deterministic implementation, but you set ..."
    refused = pytest.raises(ClinicalSymileError, match=r"^put_ has no deterministic algorithm")
    with refused, deterministic_algorithms():
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="another"), deterministic_algorithms():
        raise RuntimeError("another fault")


def test_a_process_that_used_cublas_before_is_told_what_to_do():
    said = f"... uses CuBLAS and you have CUDA >= 10.2. To enable ... set {WORKSPACE}=:4096:8"
    refused = pytest.raises(ClinicalSymileError, match="Start a new process, or set CUBLAS")
    with refused, deterministic_algorithms():
        raise RuntimeError(said)


def test_training_is_deterministic_where_it_is_asked_for_with_the_same_weights(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = mlp_task(catalog)
    modes: dict[str, set[bool]] = {"plain": set(), "fixed": set()}

    def note(name: str) -> Callable[[int, int], None]:
        return lambda done, total: modes[name].add(torch.are_deterministic_algorithms_enabled())

    plain, fixed = (
        train(
            task,
            store=synthetic_store,
            run=Run(tmp_path / name),
            seed=0,
            accelerator="cpu",
            deterministic=name == "fixed",
            progress=note(name),
        )
        for name in ("plain", "fixed")
    )
    weights, others = load_file(plain.weights), load_file(fixed.weights)

    assert modes == {"plain": {False}, "fixed": {True}}
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert fixed.metadata["deterministic"] is True
    assert "deterministic" not in plain.metadata
    with pytest.raises(DataError, match="was begun with --deterministic"):
        train(task, store=synthetic_store, run=fixed, seed=0, accelerator="cpu")
