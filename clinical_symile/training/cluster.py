"""Find the processes of one training on several devices or machines.

Lightning Fabric starts those of one machine. For several machines `torchrun` or `srun` does.
"""

import os

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from clinical_symile.errors import ClinicalSymileError
from clinical_symile.tracking.lock_holder import is_further_process

PROCESS_VARIABLES = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "TORCHELASTIC_RUN_ID",
)
"""The variables by which the processes of a training find each other."""
_FIRST_PORT, _PORTS = 15_000, 10_000


def join_processes(processes: int) -> None:
    """Let a task that `srun` has started know its place among the processes of a training.

    Args:
        processes: the number of processes of the training.
    """
    if "WORLD_SIZE" not in os.environ and processes > 1:
        _join_slurm_tasks(processes)


def require_processes(processes: int, nodes: int) -> None:
    """Refuse a training on several machines whose processes nothing has started there.

    Args:
        processes: the number of processes of the training.
        nodes: the number of machines.

    Raises:
        ClinicalSymileError: another number of processes was started.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if nodes > 1 and started != processes:
        raise ClinicalSymileError(
            f"--nodes {nodes}: {started} processes were started; expected {processes}, one for "
            "each device. Start the command on every machine by torchrun or srun.",
            code="CS-R034",
        )


def leave_processes(*, is_first: bool) -> None:
    """End a process that was started for a training; the first one goes on alone.

    Args:
        is_first: True in the first process of the training.

    Raises:
        SystemExit: this is another one.
    """
    if not is_first:
        raise SystemExit(0)
    for name in PROCESS_VARIABLES:
        os.environ.pop(name, None)


def leave_finished_training() -> None:
    """Do as `leave_processes` where `torchrun` or `srun` has started processes for nothing.

    Those that Fabric has started have no `RANK`, and go on: they run the program from its start to
    a later training, which waits for them.

    Raises:
        SystemExit: this is not the first process.
    """
    if "RANK" in os.environ:
        leave_processes(is_first=not is_further_process())


def _join_slurm_tasks(processes: int) -> None:
    tasks, rank = os.environ.get("SLURM_NTASKS"), os.environ.get("SLURM_PROCID")
    if tasks is None or rank is None or int(tasks) != processes:
        return
    machines = os.environ.get("SLURM_NODELIST", "127.0.0.1")
    number = int(os.environ.get("SLURM_JOB_ID", "0"))
    os.environ |= {
        "RANK": rank,
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "NODE_RANK": os.environ["SLURM_NODEID"],
        "WORLD_SIZE": tasks,
        "MASTER_ADDR": SLURMEnvironment.resolve_root_node_address(machines),
        "MASTER_PORT": str(_FIRST_PORT + number % _PORTS),
    }


def cluster_environment() -> ClusterEnvironment:
    """Return how Fabric finds the processes; SLURM and others are not guessed from variables."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return LightningEnvironment()
