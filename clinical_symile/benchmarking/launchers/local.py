"""Run jobs in child processes of this machine, several at once."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from clinical_symile.benchmarking.launchers.base import EndedJob, LaunchOptions
from clinical_symile.benchmarking.launchers.command import worker_command, worker_environment
from clinical_symile.benchmarking.launchers.job import Job, open_log, read_outcome
from clinical_symile.errors import DefinitionError
from clinical_symile.training.processors import GPU_VARIABLE, visible_gpus

# How long a process may take to end by itself, before it is killed.
_GRACE_S = 5.0


def devices_of_place(place: int, devices: int, gpus: list[str]) -> Mapping[str, str]:
    """Return the variable that shows a process its own GPUs; empty where there are none.

    Args:
        place: number of the process among those that run at once, from 0.
        devices: GPUs of each.
        gpus: names of all GPUs that this process sees.
    """
    if not gpus:
        return {}
    chosen = [gpus[(place * devices + number) % len(gpus)] for number in range(devices)]
    return {GPU_VARIABLE: ",".join(dict.fromkeys(chosen))}


@dataclass
class _Worker:
    """A child process, and the job that it runs now."""

    process: "subprocess.Popen[bytes]"
    job: Job | None = None

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


class LocalLauncher:
    """Runs jobs side by side in child processes, each with its own threads and GPUs.

    A child process runs one job after another, so that libraries are loaded once. It ends with this
    process, even if that is killed.

    Args:
        options: the number of jobs at once and the threads of each.

    Raises:
        DefinitionError: there are options of an engine.
    """

    def __init__(self, options: LaunchOptions):
        if options.engine:
            raise DefinitionError(
                f"--engine: this machine has no option '{next(iter(options.engine))}'; expected "
                "none without --launcher. Remove it, or choose a launcher.",
                code="CS-F028",
            )
        self.most_jobs: int | None = options.jobs or 1
        self._workers: list[_Worker | None] = [None] * (options.jobs or 1)
        self._gpus = visible_gpus()

    def start(self, job: Job) -> None:
        """Start a job in a child process that has none."""
        place = next(n for n, one in enumerate(self._workers) if one is None or one.job is None)
        worker = self._workers[place]
        if worker is None or not worker.is_alive or job.devices > 1:
            if worker is not None:
                _end(worker.process)
            worker = _Worker(self._new_process(place, job))
            self._workers[place] = worker
        worker.job = job
        if job.devices == 1:
            assert worker.process.stdin is not None
            with suppress(BrokenPipeError):  # its end is found like any other
                worker.process.stdin.write(os.fsencode(job.file.absolute()) + b"\n")
                worker.process.stdin.flush()

    def ended(self) -> list[EndedJob]:
        """Return the jobs that were done or failed, or whose process has ended."""
        found = []
        for place, worker in enumerate(self._workers):
            if worker is None or worker.job is None:
                continue
            is_alive = worker.is_alive  # asked first: an outcome is written before the end
            if read_outcome(worker.job) is not None:
                found.append(EndedJob(worker.job, "ended"))
                worker.job = None
            elif not is_alive:
                found.append(EndedJob(worker.job, _cause(worker.process.returncode)))
                _end(worker.process)
                self._workers[place] = None
        return found

    def close(self) -> None:
        """End the child processes, and what they have started."""
        for worker in self._workers:
            if worker is not None:
                _end(worker.process)
        self._workers = [None] * len(self._workers)

    def _new_process(self, place: int, job: Job) -> "subprocess.Popen[bytes]":
        """Start a child process; with several devices it runs one job, which starts others."""
        named = [] if job.devices == 1 else [str(job.file.absolute())]
        environment = {
            **os.environ,
            **worker_environment(job.threads),
            **devices_of_place(place, job.devices, self._gpus),
        }
        log = open_log(job.file)
        try:
            return subprocess.Popen(
                [*worker_command(), *named],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # an interruption from the keyboard is for this process
            )
        finally:
            os.close(log)


def _cause(status: int) -> str:
    """Return how a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it has started; its group has no others."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # also of a group whose first process has ended
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
