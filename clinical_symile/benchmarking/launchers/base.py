"""The contract of launchers: start jobs somewhere, and say which of them have ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from clinical_symile.benchmarking.launchers.job import Job
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import load_object
from clinical_symile.training.processors import available_processors

LAUNCHERS: Mapping[str, str] = {
    "local": "clinical_symile.benchmarking.launchers.local:LocalLauncher",
    "ray": "clinical_symile.benchmarking.launchers.ray:RayLauncher",
    "slurm": "clinical_symile.benchmarking.launchers.slurm:SlurmLauncher",
}

SEVERAL_MACHINES = "slurm"
"""The launcher that starts one training on several machines."""
OWN_VARIABLES = "ray"
"""The launcher whose jobs may run with the variables of their own machine, not of this process."""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """The place where runs of a benchmark are trained; numbers depend on `threads` alone.

    Attributes:
        launcher: a name of `LAUNCHERS`.
        jobs: how many runs are trained at once; None for one on this machine, and for as many as
            an engine takes elsewhere.
        threads: processor threads of each run. None shares the processors of this machine among
            the runs that are trained at once; launchers for other machines need a number.
        retries: how often a run is started again whose process was killed.
        engine: options of the engine, such as the partition of a cluster.
    """

    launcher: str = "local"
    jobs: int | None = None
    threads: int | None = None
    retries: int = 2
    engine: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_in_process(self) -> bool:
        """True if runs are trained in this process, one after another."""
        return self.launcher == "local" and self.jobs in (None, 1) and self.threads is None

    @property
    def threads_per_job(self) -> int:
        """The processor threads of each run."""
        return self.threads or max(1, available_processors() // (self.jobs or 1))


@dataclass(frozen=True)
class EndedJob:
    """A job whose process has ended.

    Attributes:
        job: the job; its outcome says whether it was done.
        cause: how the process ended, such as `was killed by signal 9`.
    """

    job: Job
    cause: str


@runtime_checkable
class Launcher(Protocol):
    """Starts jobs and finds those that have ended."""

    @property
    def most_jobs(self) -> int | None:
        """The number of jobs that may be started at once; None for any number."""
        ...

    def start(self, job: Job) -> None:
        """Start a job; it is started again if its process was killed."""
        ...

    def ended(self) -> list[EndedJob]:
        """Return the jobs that have ended since the last call; do not wait for one."""
        ...

    def close(self) -> None:
        """Stop whatever still runs."""
        ...


def open_launcher(options: LaunchOptions, *, nodes: int = 1) -> Launcher:
    """Return the launcher that options name, before anything is prepared or trained.

    Args:
        options: name the launcher.
        nodes: number of machines of one training.

    Raises:
        ClinicalSymileError: its engine is not installed or cannot be reached.
        DefinitionError: an option of the engine is wrong, it starts no training on several
            machines, or the threads of a run elsewhere are not known.
    """
    if options.launcher != "local" and options.threads is None:
        raise DefinitionError(
            f"--launcher {options.launcher}: the number of threads of each run is missing; "
            "expected one, because the processors of this machine say nothing of others, and last "
            "digits depend on it. Give it with --threads.",
            code="CS-F029",
        )
    if nodes > 1 and options.launcher != SEVERAL_MACHINES:
        raise DefinitionError(
            f"--nodes {nodes}: the launcher '{options.launcher}' starts a training on one machine; "
            f"expected --launcher {SEVERAL_MACHINES}. Choose it, or start `clinical-symile train` "
            "by torchrun.",
            code="CS-F028",
        )
    path = LAUNCHERS[options.launcher]
    return load_object(path, what=f"--launcher {options.launcher}")(options)


def requested_memory_bytes(job: Job) -> int | None:
    """Return the memory to ask an engine for: half as much again as was measured, and 1 GiB."""
    return None if job.memory_bytes is None else int(1.5 * job.memory_bytes) + 2**30
