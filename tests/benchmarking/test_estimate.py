from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from clinical_symile.benchmarking import estimate
from clinical_symile.benchmarking.estimate import TrainingEstimate, estimate_trainings
from clinical_symile.benchmarking.settings import run_of_setting
from clinical_symile.benchmarking.spec import BenchmarkPlan, BenchmarkSpec, plan_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run
from clinical_symile.training import train as training_loop
from clinical_symile.training.train import time_training, train
from tests.helpers.synthetic import tiny

SPEC = BenchmarkSpec(
    cohort="synthetic", pretraining=("pretraining/symile", "pretraining/clip"), seeds=(0, 1)
)


@pytest.fixture
def plan(catalog: Catalog) -> BenchmarkPlan:
    return plan_benchmark(SPEC, catalog=catalog)


@pytest.fixture(autouse=True)
def _ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "time_training", lambda *task, **options: 10.0)


def test_each_task_counts_once_for_each_seed(
    plan: BenchmarkPlan, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    found = estimate_trainings(plan, store=synthetic_store, out=tmp_path)
    assert found == TrainingEstimate(n_trainings=4, n_resumed=0, seconds=40.0)
    assert "Trainings: 4; about 40 s on this machine" in str(found)


def test_settings_count_with_the_first_seed_and_their_best_with_the_others(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    plan = plan_benchmark(replace(SPEC, tune=True), catalog=catalog)
    found = estimate_trainings(plan, store=synthetic_store, out=tmp_path)
    assert found is not None
    assert found.n_trainings == plan.n_trainings == 2 * (3 + 1)
    run_of_setting(tmp_path, 2, "clip-0").write_metadata({"task": "x", "finished": "now"})
    run_of_setting(tmp_path, 2, "clip-0").write_history([{"epoch": 1}])
    found = estimate_trainings(plan, store=synthetic_store, out=tmp_path)
    assert found is not None
    assert found.n_trainings == 7


def test_what_is_finished_costs_nothing_and_what_stopped_is_named(
    plan: BenchmarkPlan, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    runs = [
        Run(tmp_path / "runs" / f"{name}-{seed}") for name in ("symile", "clip") for seed in (0, 1)
    ]
    for run in runs:
        run.write_history([{"epoch": 1}])
        run.write_metadata({"task": "x", "finished": "now"})
    assert estimate_trainings(plan, store=synthetic_store, out=tmp_path) is None
    runs[0].write_metadata({"task": "x"})
    found = estimate_trainings(plan, store=synthetic_store, out=tmp_path)
    assert found == TrainingEstimate(n_trainings=0, n_resumed=1, seconds=0.0)


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
    monkeypatch.setattr(training_loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
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
