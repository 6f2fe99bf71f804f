"""Train and evaluate the runs of a benchmark as jobs of a launcher."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from clinical_symile.benchmarking.comparisons import current_rows
from clinical_symile.benchmarking.estimate import TaskNeeds
from clinical_symile.benchmarking.launchers.base import OWN_VARIABLES, Launcher, LaunchOptions
from clinical_symile.benchmarking.launchers.job import Job, JobKind
from clinical_symile.benchmarking.launchers.schedule import run_jobs
from clinical_symile.benchmarking.settings import (
    choose_setting,
    refuse_another_run,
    run_of_setting,
)
from clinical_symile.benchmarking.spec import BenchmarkPlan
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.evaluation.task_selection import EvaluationTask, run_name
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import ORACLE, PAIR_SUMS, baseline_run_name
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.progress import ProgressBar
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import sqlite_path
from clinical_symile.tracking.tracking_uri import server_without_login, tracking_uri


def run_grid(
    plan: BenchmarkPlan,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    out: Path,
    options: LaunchOptions,
    launcher: Launcher,
    needs: Mapping[str, TaskNeeds] = MappingProxyType({}),
    bar: ProgressBar,
    notify: Callable[[str], object] = lambda sentence: None,
) -> None:
    """Train and evaluate what is missing of a benchmark, several runs at once.

    The folders are those that `train_and_evaluate` leaves, which then only reads them.

    Args:
        plan: what to train.
        tasks: what to evaluate each run on.
        store: the prepared cohort.
        out: the benchmark's folder.
        options: where and how many at once.
        launcher: starts the jobs; it is closed at the end.
        needs: for a task, by name, what its training needs.
        bar: makes a progress bar for a label.
        notify: called with a sentence for each run that begins or ends.

    Raises:
        ClinicalSymileError: a run failed; the others were finished before.
        DataError: a folder holds a run for which no setting was chosen.
    """
    grid = _Grid(plan, tuple(tasks), store, out, options, needs)
    jobs = grid.first_jobs()
    if not jobs:
        return
    with bar(f"Train and evaluate {grid.n_runs} runs") as progress:
        failed = run_jobs(
            jobs,
            launcher,
            retries=options.retries,
            steps=sum(job.steps for job in jobs) + grid.waiting_steps(),
            follow=grid.jobs_after,
            progress=progress,
            notify=notify,
        )
    if failed:
        waiting = grid.n_waiting
        summary = (
            f"{out}: {len(failed)} runs failed"
            + (f", and {waiting} more wait for the choice of a setting" if waiting else "")
            + "; expected none. All others are done and stay as they are. Correct what is named "
            "above and run the same command again: it continues."
        )
        problems = [problem for several in failed.values() for problem in several]
        raise ClinicalSymileError(*problems, summary, code="CS-R030")


def _workers_can_sync(launcher: str, out: Path) -> bool:
    """Return True if each job copies its run to MLflow; else this process does, run by run.

    A database on a disk that machines share is written by this process alone. The login of a server
    is handed to no engine that would keep it.
    """
    if launcher == OWN_VARIABLES:
        return server_without_login(out) is not None
    return launcher == "local" or sqlite_path(tracking_uri(out)) is None


class _Grid:
    """The jobs of a plan; what was done before is left out."""

    def __init__(
        self,
        plan: BenchmarkPlan,
        tasks: tuple[EvaluationTask, ...],
        store: CohortStore,
        out: Path,
        options: LaunchOptions,
        needs: Mapping[str, TaskNeeds],
    ):
        self._plan, self._tasks, self._store, self._out = plan, tasks, store, out
        self._options, self._needs = options, needs
        self._chosen: dict[str, Pretraining] = {}
        self._workers_sync = _workers_can_sync(options.launcher, out)

    @property
    def n_runs(self) -> int:
        """The number of runs of the plan, with those that try a setting and the references."""
        references = len(self._plan.baselines) + self._plan.pair_sums + self._has_oracle
        return self._plan.n_trainings + references

    @property
    def n_waiting(self) -> int:
        """The number of runs whose task has no best setting yet."""
        tasks = [name for name in self._plan.settings if name not in self._chosen]
        return len(tasks) * len(self._plan.seeds)

    def waiting_steps(self) -> int:
        """Return the epochs and evaluations of runs whose task has no best setting yet."""
        waiting = [
            task
            for task in self._plan.pretraining
            if task.name in self._plan.settings and task.name not in self._chosen
        ]
        return sum(job.steps for task in waiting for job in self._runs(task, due_alone=False))

    def first_jobs(self) -> list[Job]:
        """Return the jobs that can begin: settings to try, tasks without any, references.

        Raises:
            DataError: a folder holds a run for which no setting was chosen.
        """
        jobs: list[Job] = []
        for task in self._plan.pretraining:
            if task.name not in self._plan.settings:
                jobs += self._runs(task)
                continue
            target, settings = self._target(task), self._plan.settings[task.name]
            refuse_another_run(target, settings, out=self._out)
            due = [job for job in self._trials(task) if not self._is_done(job)]
            jobs += due or self._runs_in_best_setting(task.name)
        # Seed by seed, as runs are trained one after another.
        seeds = self._plan.seeds
        jobs.sort(key=lambda job: seeds.index(job.seed))
        return [*jobs, *(job for job in self._references() if not self._is_done(job))]

    def jobs_after(self, job: Job) -> list[Job]:
        """Return the jobs that can begin now that one is done.

        The run is copied to MLflow first, if its own process did not do that.
        """
        if job.kind != "setting":
            if not self._workers_sync:
                sync_run(job.run, uri=tracking_uri(self._out), folder=self._out)
            return []
        task = next(one for one in self._plan.pretraining if self._target(one).name == job.run.name)
        is_chosen = task.name in self._chosen  # two settings may end at the same moment
        if is_chosen or not all(self._is_done(trial) for trial in self._trials(task)):
            return []
        return self._runs_in_best_setting(task.name)

    def _target(self, task: Pretraining) -> Run:
        """Return the run of a task with the first seed."""
        return Run(path_in(self._out / "runs", run_name(task.name, self._plan.seeds[0])))

    def _trials(self, task: Pretraining) -> list[Job]:
        """Return the jobs that train a task in each of its settings."""
        name, jobs = self._target(task).name, []
        for number, setting in enumerate(self._plan.settings[task.name], start=1):
            run = run_of_setting(self._out, number, name)
            where = run.path.relative_to(self._out).as_posix()
            jobs.append(self._training("setting", where, setting, self._plan.seeds[0], sync=False))
        return jobs

    def _runs_in_best_setting(self, name: str) -> list[Job]:
        """Choose the best setting of a task whose settings are trained; return its runs' jobs."""
        self._chosen[name], _ = choose_setting(
            self._plan.settings[name],
            out=self._out,
            run_name=run_name(name, self._plan.seeds[0]),
            seed=self._plan.seeds[0],
            train=lambda task, run: None,
        )
        return self._runs(self._chosen[name])

    def _runs(self, task: Pretraining, *, due_alone: bool = True) -> list[Job]:
        """Return a task's job for each seed, without those that are done."""
        jobs = [
            self._training("run", run_name(task.name, seed), task, seed, sync=self._workers_sync)
            for seed in self._plan.seeds
        ]
        return [job for job in jobs if not (due_alone and self._is_done(job))]

    def _training(
        self, kind: JobKind, name: str, task: Pretraining, seed: int, *, sync: bool
    ) -> Job:
        spec, needs = self._plan.spec, self._needs.get(task.name)
        return Job(
            kind=kind,
            name=name,
            out=self._out,
            store=self._store.path,
            pretraining=(task,),
            tasks=self._tasks if kind == "run" else (),
            seed=seed,
            accelerator=spec.accelerator,
            devices=spec.devices,
            nodes=spec.nodes,
            deterministic=spec.deterministic,
            threads=self._options.threads_per_job,
            sync=sync,
            time_s=None if needs is None else needs.time_s,
            memory_bytes=None if needs is None else needs.memory_bytes,
        )

    @property
    def _has_oracle(self) -> bool:
        generator = self._store.manifest["generator"]
        return generator is not None and generator["oracle"] is not None

    def _references(self) -> list[Job]:
        """Return the jobs of baselines, of the ceiling of pairs and of the oracle."""
        kinds: list[tuple[JobKind, str, str | None]] = [
            ("baseline", baseline_run_name(name), name) for name in self._plan.baselines
        ]
        if self._plan.pair_sums:
            kinds.append(("pair-sums", PAIR_SUMS, None))
        if self._has_oracle:
            kinds.append(("oracle", ORACLE, None))
        memory = max((one.memory_bytes for one in self._needs.values()), default=None)
        return [
            Job(
                kind=kind,
                name=name,
                out=self._out,
                store=self._store.path,
                pretraining=self._plan.pretraining if kind == "baseline" else (),
                tasks=self._tasks,
                threads=self._options.threads_per_job,
                baseline=baseline,
                memory_bytes=memory,
            )
            for kind, name, baseline in kinds
        ]

    def _is_done(self, job: Job) -> bool:
        """Return True if a job's run is trained, and has a row of each task and pattern.

        A reference that has any row is left to the end of the benchmark, which adds the others.
        """
        run = job.run
        if job.kind not in ("run", "setting"):
            return bool(run.results)
        if not run.is_finished:
            return False
        results = current_rows(run.results, job.tasks, store=self._store)
        unscored = current_rows(run.unscored, job.tasks, store=self._store)
        known = {(row.task, row.missingness) for row in (*results, *unscored)}
        return {(task.name, one) for task in job.tasks for one in task.missingness} <= known
