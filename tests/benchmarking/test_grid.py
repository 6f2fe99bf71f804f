"""Which jobs a plan needs, in which order, and what is left after failures; nothing is trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking import grid
from clinical_symile.benchmarking.estimate import TaskNeeds
from clinical_symile.benchmarking.grid import run_grid
from clinical_symile.benchmarking.launchers.base import EndedJob, LaunchOptions
from clinical_symile.benchmarking.launchers.job import Job, JobOutcome, read_job, write_outcome
from clinical_symile.benchmarking.spec import BenchmarkPlan, BenchmarkSpec, plan_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import ClinicalSymileError, DataError, Problem
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.run import Run
from clinical_symile.training.model_selection import selection_metric
from tests.helpers.launched import InProcessLauncher
from tests.helpers.synthetic import quiet

SPEC = BenchmarkSpec(
    cohort="synthetic",
    pretraining=("pretraining/symile", "pretraining/clip"),
    seeds=(0, 1),
    baselines=("prevalence",),
    accelerator="cpu",
)
TWO = LaunchOptions(jobs=2)
Start = Callable[..., InProcessLauncher]


@pytest.fixture
def plan(catalog: Catalog) -> BenchmarkPlan:
    return replace(plan_benchmark(SPEC, catalog=catalog), pair_sums=True)


def finish(job: Job) -> None:
    """Write what a job leaves that is done: a run, or a result of a reference."""
    if job.kind in ("run", "setting"):
        value = 0.5 if "settings/2" in job.name else 0.1
        metric = selection_metric(job.pretraining[0])
        job.run.write_history([{"epoch": 1, metric: value}])
        digest = task_digest(job.pretraining[0])
        finished = "2026-03-01T10:05:00+00:00"
        job.run.write_metadata({"task": "x", "task_digest": digest, "finished": finished})
    write_outcome(job.file, JobOutcome())


@pytest.fixture
def run(
    plan: BenchmarkPlan,
    synthetic_store: CohortStore,
    tmp_path: Path,
) -> Start:
    """A function that runs a plan in the test's process."""

    def run(
        do: Callable[[Job], str | None] = finish,
        plan: BenchmarkPlan = plan,
        options: LaunchOptions = TWO,
        most_jobs: int | None = 2,
    ) -> InProcessLauncher:
        launcher = InProcessLauncher(do, most_jobs)
        run_grid(
            plan,
            [],
            store=synthetic_store,
            out=tmp_path,
            options=options,
            launcher=launcher,
            needs={"pretraining/clip": TaskNeeds(seconds=60.0, memory_bytes=2**30)},
            bar=quiet,
        )
        return launcher

    return run


def test_runs_begin_seed_by_seed_and_references_last(run: Start):
    assert run().started == [
        *("symile-0", "clip-0", "symile-1", "clip-1"),
        *("prevalence", "pair-sums", "oracle"),
    ]


def test_what_is_done_is_not_done_again(run: Start):
    run()
    assert run().started == ["prevalence", "pair-sums", "oracle"]  # which wrote no result here


def test_a_stopped_training_is_started_again(run: Start, tmp_path: Path):
    run()
    record = Run(tmp_path / "runs" / "clip-1")
    record.write_metadata({"task": "x"})
    assert "clip-1" in run().started


def test_a_job_has_what_the_benchmark_was_given(run: Start, tmp_path: Path):
    spec = replace(SPEC, deterministic=True, seeds=(7,))
    jobs: list[Job] = []

    def keep(job: Job) -> None:
        jobs.append(read_job(job.file)[0])
        finish(job)

    run(keep, options=LaunchOptions(jobs=2, threads=3))
    first, *_, oracle = jobs
    assert (first.kind, first.accelerator, first.threads, first.sync) == ("run", "cpu", 3, True)
    assert first.out == tmp_path
    assert spec.deterministic != first.deterministic
    assert (oracle.kind, oracle.threads) == ("oracle", 3)
    baseline = next(job for job in jobs if job.kind == "baseline")
    assert baseline.baseline == "prevalence"
    assert [task.name for task in baseline.pretraining] == list(SPEC.pretraining or ())


def test_time_and_memory_are_those_of_a_dry_run(run: Start):
    jobs: dict[str, Job] = {}

    def keep(job: Job) -> None:
        jobs[job.name] = job
        finish(job)

    launcher = run(keep)
    assert launcher.is_closed
    assert (jobs["clip-1"].time_s, jobs["clip-1"].memory_bytes) == (3 * 60 + 1800, 2**30)
    assert (jobs["symile-0"].time_s, jobs["symile-0"].memory_bytes) == (None, None)
    assert jobs["oracle"].memory_bytes == 2**30


@pytest.fixture
def tuned(catalog: Catalog) -> BenchmarkPlan:
    spec = replace(SPEC, tune=True, pretraining=("pretraining/clip",), baselines=())
    return plan_benchmark(spec, catalog=catalog)


def test_all_seeds_follow_the_best_setting_of_the_first(
    run: Start, tuned: BenchmarkPlan, tmp_path: Path
):
    launcher = run(plan=tuned)
    trials = [f"settings/{number}/clip-0" for number in (1, 2, 3)]
    assert launcher.started == [*trials, "oracle", "clip-1"]
    best = task_digest(tuned.settings["pretraining/clip"][1])
    for name in ("clip-0", "clip-1"):
        assert Run(tmp_path / "runs" / name).metadata["task_digest"] == best


def test_settings_that_end_at_the_same_moment_are_followed_once(
    run: Start, tuned: BenchmarkPlan, monkeypatch: pytest.MonkeyPatch
):
    one_by_one = InProcessLauncher.ended

    def ended(launcher: InProcessLauncher) -> list[EndedJob]:
        return [one for _ in range(launcher.n_running) for one in one_by_one(launcher)]

    monkeypatch.setattr(InProcessLauncher, "ended", ended)
    started = run(plan=tuned, most_jobs=None).started
    assert sorted(started) == sorted({*started})
    assert {"clip-1", "settings/3/clip-0"} <= {*started}


def test_a_task_waits_if_one_of_its_settings_failed(run: Start, tuned: BenchmarkPlan):
    def fail(job: Job) -> None:
        if job.name.startswith("settings/3"):
            write_outcome(job.file, JobOutcome(problems=(Problem("diverged.", "CS-R008"),)))
        else:
            finish(job)

    with pytest.raises(ClinicalSymileError) as raised:
        run(fail, plan=tuned)
    first, last = raised.value.problems
    assert first.with_code() == "run 'settings/3/clip-0': diverged. [CS-R008]"
    assert "1 runs failed, and 2 more wait for the choice of a setting" in last
    assert last.code == "CS-R030"
    assert run(plan=tuned).started == ["settings/3/clip-0", "oracle", "clip-1"]


def test_a_run_that_no_setting_was_chosen_for_is_refused_before_anything_begins(
    run: Start, tuned: BenchmarkPlan, tmp_path: Path
):
    Run(tmp_path / "runs" / "clip-0").write_metadata({"task": "x", "task_digest": "another"})
    with pytest.raises(DataError, match="trained without the choice of a setting"):
        run(plan=tuned)
    assert not (tmp_path / "settings").exists()


def test_failures_are_named_and_all_else_is_done(run: Start, tmp_path: Path):
    def fail(job: Job) -> str | None:
        if job.name == "symile-1":
            write_outcome(job.file, JobOutcome(problems=(Problem("too few samples.", "CS-D027"),)))
        elif job.name == "clip-0":
            return "was killed by SIGKILL"
        else:
            finish(job)
        return None

    with pytest.raises(ClinicalSymileError) as raised:
        run(fail, options=LaunchOptions(jobs=2, retries=0))
    codes = [problem.code for problem in raised.value.problems]
    assert codes == ["CS-R031", "CS-D027", "CS-R030"]
    assert "2 runs failed; expected none" in raised.value.problems[-1]
    assert "symile-0" not in str(raised.value)
    assert run().started[:2] == ["clip-0", "symile-1"]


def test_a_database_beside_the_benchmark_is_written_by_one_process_on_a_cluster(
    run: Start, monkeypatch: pytest.MonkeyPatch
):
    sent: list[str] = []
    monkeypatch.setattr(grid, "sync_run", lambda run, **_: sent.append(run.name) or SyncResult())
    syncs: list[bool] = []

    def keep(job: Job) -> None:
        syncs.append(job.sync)
        finish(job)

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run(keep, options=LaunchOptions(launcher="elsewhere"))
    assert not any(syncs)
    assert sent[:2] == ["symile-0", "clip-0"]


@pytest.mark.parametrize("password", [None, "secret"])
def test_tasks_of_ray_copy_to_a_server_unless_it_needs_a_login(
    password: str | None, run: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(grid, "sync_run", lambda run, **_: SyncResult())
    syncs: dict[str, bool] = {}

    def keep(job: Job) -> None:
        syncs[job.name] = job.sync
        finish(job)

    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    run(keep, options=LaunchOptions(launcher="ray", threads=1))
    assert syncs["symile-0"] == (password is None)
