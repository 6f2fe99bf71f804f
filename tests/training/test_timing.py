"""The time of a training, and what deterministic algorithms cost, from its first steps."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.tracking.run import Run
from clinical_symile.training import timing
from clinical_symile.training.timing import deterministic_cost, time_training
from clinical_symile.training.train import train
from tests.helpers.synthetic import tiny


def test_the_time_is_that_of_a_step_for_all_steps_of_all_epochs(
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = tiny(catalog, "pretraining/clip", "epochs=2", "batch_size=8")
    run = train(
        task, store=synthetic_store, run=Run(tmp_path / "clip-0"), seed=0, accelerator="cpu"
    )
    clock = count(step=0.5)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    seconds = time_training(task, store=synthetic_store, accelerator="cpu")
    assert seconds == pytest.approx(0.5 * run.history[-1]["step"])


def test_steps_are_timed_without_a_trace_in_a_later_training(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = tiny(catalog, "pretraining/clip", "epochs=1")
    alone, after = Run(tmp_path / "alone" / "clip-0"), Run(tmp_path / "after" / "clip-0")
    train(task, store=synthetic_store, run=alone, seed=0, accelerator="cpu")
    before = sorted(tmp_path.rglob("*"))
    assert time_training(task, store=synthetic_store, accelerator="cpu") > 0
    assert sorted(tmp_path.rglob("*")) == before
    train(task, store=synthetic_store, run=after, seed=0, accelerator="cpu")
    assert after.weights.read_bytes() == alone.weights.read_bytes()


def test_a_training_that_starts_from_no_run_is_refused_as_by_train(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = tiny(catalog, "pretraining/clip", "start='nowhere'")
    with pytest.raises(DataError, match="nowhere: "):
        time_training(task, store=synthetic_store, accelerator="cpu")


def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of `timing` run three times as fast in deterministic steps."""
    now = 0.0

    def read() -> float:
        nonlocal now
        now += 3.0 if torch.are_deterministic_algorithms_enabled() else 1.0
        return now

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=read))


def test_the_cost_of_deterministic_algorithms_is_the_ratio_of_two_kinds_of_steps(
    catalog: Catalog, synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clock(monkeypatch)
    task = tiny(catalog, "pretraining/clip", "batch_size=8")

    assert deterministic_cost(task, store=synthetic_store, accelerator="cpu") == 3.0
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_record_of_a_deterministic_training_has_its_cost(
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _clock(monkeypatch)
    task = tiny(catalog, "pretraining/clip", "epochs=1", "batch_size=8")
    runs = {
        fixed: train(
            task,
            store=synthetic_store,
            run=Run(tmp_path / str(fixed)),
            seed=0,
            accelerator="cpu",
            deterministic=fixed,
        )
        for fixed in (True, False)
    }

    assert runs[True].metadata["deterministic_cost"] == 3.0
    assert "deterministic_cost" not in runs[False].metadata


def test_too_few_steps_have_no_cost(catalog: Catalog, synthetic_store: CohortStore) -> None:
    task = tiny(catalog, "pretraining/clip", "batch_size=1024")
    assert deterministic_cost(task, store=synthetic_store, accelerator="cpu") is None
