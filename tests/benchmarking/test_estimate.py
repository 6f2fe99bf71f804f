from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking import estimate
from clinical_symile.benchmarking.estimate import TrainingEstimate, estimate_trainings
from clinical_symile.benchmarking.settings import run_of_setting
from clinical_symile.benchmarking.spec import BenchmarkPlan, BenchmarkSpec, plan_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run

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
    assert found is not None
    assert found == TrainingEstimate(n_trainings=4, n_resumed=0, seconds=40.0, needs=found.needs)
    assert found.needs.keys() == {"pretraining/symile", "pretraining/clip"}
    for needs in found.needs.values():
        assert needs.time_s == 3 * 10 + 1800
        assert needs.memory_bytes > 2**20
    assert "Trainings: 4; about 40 s on this machine" in str(found)
    beside = estimate_trainings(plan, store=synthetic_store, out=tmp_path, at_once=2)
    assert "Trainings: 4, 2 at once; about 20 s on this machine" in str(beside)


def test_settings_count_with_the_first_seed_and_their_best_with_the_others(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    plan = plan_benchmark(replace(SPEC, tune=True), catalog=catalog)
    found = estimate_trainings(plan, store=synthetic_store, out=tmp_path)
    assert found is not None
    assert found.n_trainings == plan.n_trainings == 2 * (3 + 1)
    run_of_setting(tmp_path, 2, "clip-0").write_metadata(
        {"task": "x", "finished": "2026-03-01T10:05:00+00:00"}
    )
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
        run.write_metadata({"task": "x", "finished": "2026-03-01T10:05:00+00:00"})
    assert estimate_trainings(plan, store=synthetic_store, out=tmp_path) is None
    runs[0].write_metadata({"task": "x"})
    found = estimate_trainings(plan, store=synthetic_store, out=tmp_path)
    assert found == TrainingEstimate(n_trainings=0, n_resumed=1, seconds=0.0)
