"""The command that runs a job in a process of its own, on this machine or another one."""

import os
import sys
from collections.abc import Mapping

from clinical_symile.benchmarking.launchers.job import Job
from clinical_symile.tracking.offline import OFFLINE_VARIABLES
from clinical_symile.tracking.tracking_uri import server_without_login

_WORKER = "clinical_symile.benchmarking.launchers.worker"
# The libraries that compute in threads read these when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def worker_command() -> list[str]:
    """Return the command that runs jobs; a job's file may follow it."""
    return [sys.executable, "-P", "-m", _WORKER]


def worker_environment(threads: int) -> dict[str, str]:
    """Return the variables that a worker needs beside those of this process.

    It finds the modules that this process finds, plug-ins among them.

    Args:
        threads: number of processor threads.
    """
    path = os.pathsep.join(os.path.abspath(one) for one in sys.path)  # noqa: PTH100, '' is here
    return {"PYTHONPATH": path, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}


def job_command(job: Job, variables: Mapping[str, str] | None = None) -> list[str]:
    """Return the command that runs one job with its variables, wherever it is started.

    Args:
        job: the job, whose file was written.
        variables: further variables of its environment.
    """
    named = {**worker_environment(job.threads), **(variables or {})}
    settings = [f"{name}={value}" for name, value in named.items()]
    return ["env", *settings, *worker_command(), str(job.file.absolute())]


def engine_variables(job: Job) -> dict[str, str]:
    """Return the variables that a job needs on a machine that does not have those of this process.

    They may be shown and kept by an engine, so that none of them holds a secret. With a tracking
    server that needs a login, the job copies nothing, and its address is left out.

    Args:
        job: the job.
    """
    offline = {name: os.environ[name] for name in OFFLINE_VARIABLES if name in os.environ}
    server = server_without_login(job.out)
    return offline if server is None else {**offline, "MLFLOW_TRACKING_URI": server}
