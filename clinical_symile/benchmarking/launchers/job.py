"""A job of a benchmark's grid: one run to train and evaluate, as a file that any process reads."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clinical_symile import __version__
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import Task, parse_task
from clinical_symile.errors import ClinicalSymileError, DataError, Problem
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import private_files, write_text
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.records import read_json
from clinical_symile.tracking.run import Run

JOBS_FOLDER = "jobs"
"""The folder of a benchmark that holds the jobs, their outcomes and what they printed."""
JobKind = Literal["run", "setting", "baseline", "pair-sums", "oracle"]

_JOB, _OUTCOME, _LOG = "job.json", "outcome.json", "log.txt"
_AGAIN = "Run the benchmark again: it writes the file anew."
_INTEGERS = ("seed", "devices", "nodes", "threads")
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("version", "kind", "name", "out", "store", "folder", "accelerator"), str),
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(("deterministic", "sync"), bool),
    **dict.fromkeys(("pretraining", "tasks"), list[dict[str, Any]]),
    "baseline": str | None,
}
_OUTCOME_TYPES: Mapping[str, Any] = {
    "problems": list[dict[str, str | None]],
    "error": str | None,
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a benchmark.

    Attributes:
        kind: `run` trains, evaluates and analyzes a run; `setting` trains a task in one of its
            settings; `baseline`, `pair-sums` and `oracle` evaluate a reference.
        name: the run's path below `runs/`; `settings/2/symile-0` for a setting.
        out: the benchmark's folder.
        store: the folder of the prepared cohort.
        pretraining: the task to train; for a baseline all tasks of the benchmark.
        tasks: what to evaluate the run on.
        seed: seed of training.
        accelerator: as for `train`.
        devices: as for `train`.
        nodes: as for `train`.
        deterministic: as for `train`.
        threads: number of processor threads.
        sync: True to copy the run to MLflow after each epoch.
        baseline: name of the baseline.
        time_s: seconds to ask an engine for; None where nothing was measured. Not in the file.
        memory_bytes: the highest memory that was measured. Not in the file.
    """

    kind: JobKind
    name: str
    out: Path
    store: Path
    pretraining: tuple[Pretraining, ...] = ()
    tasks: tuple[EvaluationTask, ...] = ()
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    deterministic: bool = False
    threads: int = 1
    sync: bool = False
    baseline: str | None = None
    time_s: float | None = None
    memory_bytes: int | None = None

    @property
    def run(self) -> Run:
        """The run that the job writes."""
        return Run(path_in(self.out if self.kind == "setting" else self.out / "runs", self.name))

    @property
    def folder(self) -> Path:
        """The folder of the job's own files."""
        return path_in(self.out / JOBS_FOLDER, self.name)

    @property
    def file(self) -> Path:
        """The file that describes the job."""
        return self.folder / _JOB

    @property
    def log(self) -> Path:
        """The file of what the job prints, all times that it is started."""
        return self.folder / _LOG

    @property
    def epochs(self) -> int:
        """The number of epochs to train."""
        return self.pretraining[0].epochs if self.kind in ("run", "setting") else 0

    @property
    def steps(self) -> int:
        """The number of epochs to train and of evaluations."""
        return self.epochs + (self.kind != "setting")

    def write(self) -> None:
        """Write the job's file, from which `read_job` makes it again, and drop its outcome."""
        about = {
            "version": __version__,
            "kind": self.kind,
            "name": self.name,
            "out": str(self.out.absolute()),
            "store": str(self.store.absolute()),
            "folder": os.getcwd(),  # noqa: PTH109, tasks may name files from here
            "pretraining": [_task_table(task) for task in self.pretraining],
            "tasks": [_task_table(task) for task in self.tasks],
            "seed": self.seed,
            "accelerator": self.accelerator,
            "devices": self.devices,
            "nodes": self.nodes,
            "deterministic": self.deterministic,
            "threads": self.threads,
            "sync": self.sync,
            "baseline": self.baseline,
        }
        (self.folder / _OUTCOME).unlink(missing_ok=True)
        write_text(self.file, json.dumps(about, indent=1) + "\n")


@dataclass(frozen=True)
class JobOutcome:
    """The end of a job: it was done, or what went wrong.

    Attributes:
        problems: what a user can fix; empty if the job was done.
        error: the type of an unexpected error, whose traceback is in the job's log.
    """

    problems: tuple[Problem, ...] = ()
    error: str | None = None

    @property
    def is_done(self) -> bool:
        """True if the job did all that it was to do."""
        return not self.problems and self.error is None


def open_log(path: Path) -> int:
    """Open the log of a job's file, to be added to; the caller closes the descriptor."""
    with private_files():
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path.with_name(_LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


def read_outcome(job: Job) -> JobOutcome | None:
    """Return how a job came to its end; None if it has not, or its process was killed."""
    path = job.folder / _OUTCOME
    if not path.is_file():
        return None
    found = read_json(path, types=_OUTCOME_TYPES, action=_AGAIN)
    problems = [Problem(str(one["sentence"]), one["code"]) for one in found["problems"]]
    return JobOutcome(tuple(problems), found.get("error"))


def write_outcome(path: Path, outcome: JobOutcome) -> None:
    """Record how the job of a file came to its end."""
    problems = [{"sentence": str(one), "code": one.code} for one in outcome.problems]
    about = {"problems": problems, "error": outcome.error}
    write_text(path.with_name(_OUTCOME), json.dumps(about, indent=1) + "\n")


def read_job(path: Path) -> tuple[Job, Path]:
    """Read a job's file.

    Args:
        path: the file that `Job.write` wrote.

    Returns:
        The job, and the folder from which the relative paths of its tasks start.

    Raises:
        DataError: the file cannot be read, or was written by another version of this package.
        DefinitionError: a task of it is wrong on this machine.
    """
    about = read_json(path, types=_TYPES, action=_AGAIN)
    if about["version"] != __version__:
        raise DataError(
            f"{path}: was written by version {about['version']}; expected {__version__}, which "
            "runs here. Install the same version on every machine.",
            code="CS-R032",
        )
    pretraining = [_task(table, path) for table in about["pretraining"]]
    tasks = [_task(table, path) for table in about["tasks"]]
    job = Job(
        kind=about["kind"],
        name=about["name"],
        out=Path(about["out"]),
        store=Path(about["store"]),
        pretraining=tuple(task for task in pretraining if isinstance(task, Pretraining)),
        tasks=tuple(task for task in tasks if not isinstance(task, Pretraining)),
        **{key: about[key] for key in (*_INTEGERS, "accelerator", "deterministic", "sync")},
        baseline=about.get("baseline"),
    )
    return job, Path(about["folder"])


def failure_problems(job: Job, outcome: JobOutcome) -> Sequence[Problem]:
    """Return what to tell a user of a job that failed by itself."""
    where = f"run '{job.name}'"
    if outcome.error is None:
        return [problem.at(where) for problem in outcome.problems]
    sentence = (
        f"{where}: ended with an unexpected {outcome.error}; expected none. Read the end of "
        f"{job.log}."
    )
    return ClinicalSymileError(sentence, code="CS-R031").problems


def _task_table(task: Task) -> dict[str, Any]:
    # Settings to try are jobs of their own; with other fields set, they need not fit the task.
    table = task.model_dump(mode="json", exclude={"settings"})
    return table if isinstance(task, Pretraining) else {**table, "default": task.default}


def _task(table: Mapping[str, Any], path: Path) -> Task:
    fields = {key: value for key, value in table.items() if key != "name"}
    return parse_task(fields, name=str(table["name"]), where=str(path))
