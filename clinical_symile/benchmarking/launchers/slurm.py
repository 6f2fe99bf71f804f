"""Submit jobs to a SLURM cluster by submitit."""

import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_symile.benchmarking.launchers.base import (
    EndedJob,
    LaunchOptions,
    requested_memory_bytes,
)
from clinical_symile.benchmarking.launchers.command import job_command
from clinical_symile.benchmarking.launchers.job import Job, read_outcome
from clinical_symile.errors import ClinicalSymileError, DefinitionError
from clinical_symile.registry.extras import missing_extra

if TYPE_CHECKING:
    from submitit import Job as Submission
else:  # an optional extra, which takes a moment to load
    Submission = Any

# Where submitit runs jobs: on SLURM, or in processes of this machine, to try a grid.
_CLUSTERS = ("slurm", "local")
_LONGEST_MIN = 12 * 60  # asked for where nothing was measured
# Pause between two questions to SLURM, and how long a file of another machine may take to appear.
_PAUSE_S, _LATE_S, _SHORT_PAUSE_S = 5.0, 10.0, 0.1


@dataclass
class _Submitted:
    """A job that was submitted.

    Attributes:
        job: the job.
        submission: the same as submitit knows it.
        gone: when it was found to have left the queue; None as long as it is there.
    """

    job: Job
    submission: Submission
    gone: float | None = None


class SlurmLauncher:
    """Submits each job to SLURM; time and memory are those of the job's estimate.

    Args:
        options: `engine` has parameters of submitit's SLURM executor, such as `partition`,
            `account`, `time` in minutes or `mem`; `cluster` is `local` to run without SLURM.

    Raises:
        ClinicalSymileError: submitit is not installed, or there is no SLURM here.
        DefinitionError: SLURM has no such parameter.
    """

    def __init__(self, options: LaunchOptions):
        parameters: dict[str, Any] = dict(options.engine)
        self._cluster = str(parameters.pop("cluster", _CLUSTERS[0]))
        self._parameters = {key: _number(value) for key, value in parameters.items()}
        self.most_jobs = options.jobs
        self._submitted: list[_Submitted] = []
        self._asked = float("-inf")
        self._check()

    def _check(self) -> None:
        """Refuse parameters that SLURM does not have, before anything is trained.

        Raises:
            ClinicalSymileError: submitit is not installed, or there is no SLURM here.
            DefinitionError: a parameter is wrong.
        """
        try:
            from submitit import SlurmExecutor
        except ModuleNotFoundError as error:
            raise missing_extra(error, what="--launcher slurm") from error
        if self._cluster not in _CLUSTERS:
            raise DefinitionError(
                f"--engine: cluster is '{self._cluster}'; expected {' or '.join(_CLUSTERS)}. "
                "Correct it.",
                code="CS-F028",
            )
        known = sorted(SlurmExecutor._valid_parameters())
        if wrong := [key for key in self._parameters if key not in known]:
            raise DefinitionError(
                f"--engine: SLURM has no parameter '{wrong[0]}'; expected cluster, "
                f"{', '.join(known)}. Correct it.",
                code="CS-F028",
            )
        if self._cluster == "slurm" and SlurmExecutor.affinity() < 0:
            raise ClinicalSymileError(
                "--launcher slurm: found no command srun; expected a machine from which jobs are "
                "submitted to SLURM. Run the benchmark there, or choose another launcher.",
                code="CS-R033",
            )

    def start(self, job: Job) -> None:
        """Submit a job."""
        from submitit import AutoExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.helpers import CommandFunction

        executor = AutoExecutor(folder=job.folder / "submitit", cluster=self._cluster)
        executor.update_parameters(**self._asked_for(job))
        command = CommandFunction(job_command(job), verbose=False)
        try:
            submission = executor.submit(command)
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            raise ClinicalSymileError(
                f"run '{job.name}': SLURM did not take the job: {error}; expected a number. "
                "Correct the parameters after --engine.",
                code="CS-R033",
            ) from error
        self._submitted.append(_Submitted(job, submission))

    def _asked_for(self, job: Job) -> dict[str, Any]:
        """Return what a job asks submitit's executors for."""
        gpus = job.devices if job.accelerator == "cuda" else 0
        asked: dict[str, Any] = {
            "name": job.name.replace("/", "-"),
            "timeout_min": _LONGEST_MIN if job.time_s is None else 1 + int(job.time_s // 60),
            "cpus_per_task": job.threads,
            "nodes": job.nodes,
            **({"tasks_per_node": job.devices} if job.nodes > 1 else {}),
            **({"gpus_per_node": gpus} if gpus else {}),
        }
        if (memory := requested_memory_bytes(job)) is not None:
            asked["mem_gb"] = round(memory / 2**30, 1)
        if self._cluster == "slurm":
            asked |= {f"slurm_{key}": value for key, value in self._parameters.items()}
        return asked

    def ended(self) -> list[EndedJob]:
        """Return the jobs with an outcome, and those that left the queue without one."""
        found, queued = [], None
        if time.monotonic() >= self._asked + _PAUSE_S and self._cluster == "slurm":
            self._asked, queued = time.monotonic(), _queued_jobs()
        for one in [*self._submitted]:
            is_left = self._cluster == "slurm" or one.submission.done()
            if is_left and read_outcome(one.job) is not None:
                found.append(EndedJob(one.job, "ended"))
                self._submitted.remove(one)
            elif self._is_gone(one, queued):
                number = one.submission.job_id
                found.append(
                    EndedJob(one.job, f"left the queue as job {number} without an outcome")
                )
                self._submitted.remove(one)
        return found

    def _is_gone(self, one: _Submitted, queued: set[str] | None) -> bool:
        """Return True if a job ended so long ago that its outcome would be seen here."""
        if self._cluster == "local":
            is_there = not one.submission.done()
        elif queued is None:
            return False
        else:
            is_there = one.submission.job_id in queued
        if is_there:
            one.gone = None
            return False
        one.gone = time.monotonic() if one.gone is None else one.gone
        late = _LATE_S if self._cluster == "slurm" else 0.0
        return time.monotonic() >= one.gone + late

    def close(self) -> None:
        """Cancel the jobs that have not ended."""
        for one in self._submitted:
            with suppress(subprocess.CalledProcessError, ProcessLookupError):
                one.submission.cancel()
        end = time.monotonic() + _LATE_S
        while any(self._is_running(one) for one in self._submitted) and time.monotonic() < end:
            time.sleep(_SHORT_PAUSE_S)
        self._submitted.clear()

    def _is_running(self, one: _Submitted) -> bool:
        """Return True for a job that still runs on this machine; SLURM ends its own."""
        return self._cluster == "local" and not one.submission.done()


def _queued_jobs() -> set[str] | None:
    """Return the numbers of this user's jobs that wait or run; None if SLURM does not answer."""
    command = ["squeue", "--me", "--noheader", "--format=%i"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return {*asked.stdout.split()} if asked.returncode == 0 else None


def _number(text: str) -> str | int:
    return int(text) if text.isdecimal() else text
