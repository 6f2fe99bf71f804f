"""Run jobs as tasks of a Ray cluster."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from clinical_symile.benchmarking.launchers.base import (
    EndedJob,
    LaunchOptions,
    requested_memory_bytes,
)
from clinical_symile.benchmarking.launchers.command import engine_variables, job_command
from clinical_symile.benchmarking.launchers.job import Job
from clinical_symile.errors import ClinicalSymileError, DefinitionError
from clinical_symile.registry.extras import missing_extra

_OPTIONS = ("address", "gpus")
_USAGE = "RAY_USAGE_STATS_ENABLED"


class RayLauncher:
    """Runs each job as a task of Ray, which has as many processors as the job has threads.

    The machines of the cluster must see the benchmark's folder under the same path.

    Args:
        options: `engine` has the `address` of the cluster's head; without it that of
            `RAY_ADDRESS`, else Ray is started on this machine. `gpus` is the number for each job.

    Raises:
        ClinicalSymileError: Ray is not installed, or the cluster does not answer.
        DefinitionError: there is another option.
    """

    def __init__(self, options: LaunchOptions):
        wrong = [key for key in options.engine if key not in _OPTIONS]
        gpus = options.engine.get("gpus", "0")
        if wrong or not gpus.isdecimal():
            what = f"Ray has no option '{wrong[0]}'" if wrong else f"gpus is '{gpus}'"
            raise DefinitionError(
                f"--engine: {what}; expected address or a number of gpus. Correct it.",
                code="CS-F028",
            )
        self.most_jobs = options.jobs
        self._gpus = int(gpus)
        self._running: dict[Any, Job] = {}
        self._ray = _connected_ray(options.engine.get("address"))

    def start(self, job: Job) -> None:
        """Give a job to Ray, which starts it as soon as there is room."""
        gpus = self._gpus or (job.devices if job.accelerator == "cuda" else 0)
        needs: dict[str, Any] = {"num_cpus": job.threads, "num_gpus": gpus, "max_retries": 0}
        if (memory := requested_memory_bytes(job)) is not None:
            needs["memory"] = memory
        if variables := engine_variables(job):
            needs["runtime_env"] = {"env_vars": variables}
        task = self._ray.remote(_command_task()).options(name=job.name, **needs)
        self._running[task.remote(job_command(job))] = job

    def ended(self) -> list[EndedJob]:
        """Return the jobs whose task has ended or was lost."""
        if not self._running:
            return []
        tasks = list(self._running)
        done, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [EndedJob(self._running.pop(task), self._cause(task)) for task in done]

    def _cause(self, task: Any) -> str:
        """Return how a task ended, in words."""
        try:
            return f"ended with status {self._ray.get(task)}"
        except self._ray.exceptions.RayError as error:
            return f"was lost by Ray ({type(error).__name__})"

    def close(self) -> None:
        """Cancel the tasks that have not ended, and leave the cluster."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._running.clear()
        self._ray.shutdown()


def _command_task() -> Any:
    """Return the function of a task; Ray sends it whole, so that no machine must import it."""

    def run(command: list[str]) -> int:
        import subprocess

        return subprocess.run(command, check=False).returncode

    return run


def _connected_ray(address: str | None) -> Any:
    """Connect to a cluster, or start Ray here; return the library.

    Raises:
        ClinicalSymileError: Ray is not installed, or the cluster does not answer.
    """
    usage: Mapping[str, str] = {_USAGE: "0"}  # nothing is sent to the makers of Ray
    os.environ.update({key: os.environ.get(key, value) for key, value in usage.items()})
    try:
        import ray
    except ModuleNotFoundError as error:
        raise missing_extra(error, what="--launcher ray") from error
    begins = address is None and "RAY_ADDRESS" not in os.environ
    local: dict[str, Any] = {"include_dashboard": False} if begins else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, ValueError) as error:
        raise ClinicalSymileError(
            f"--launcher ray: {error}; expected the address of a running head, such as "
            "10.0.0.1:6379. Start it by `ray start --head`, or correct --engine address=…",
            code="CS-R033",
        ) from error
    return ray
