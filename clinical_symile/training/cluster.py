"""Find the processes of one training on several devices or machines.

Lightning Fabric starts those of one machine. For several machines `torchrun` or `srun` does.
"""

import os

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from clinical_symile.errors import ClinicalSymileError

PROCESS_VARIABLES = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "TORCHELASTIC_RUN_ID",
)
"""The variables by which the processes of a training find each other."""
_FIRST_PORT, _PORTS = 15_000, 10_000


def join_processes(processes: int, nodes: int) -> None:
    """Let a task that `srun` has started know its place among the processes of a training.

    Args:
        processes: the number of processes of the training.
        nodes: the number of machines.

    Raises:
        ClinicalSymileError: the training has several machines, and nothing has started processes
            there.
    """
    if "WORLD_SIZE" not in os.environ and processes > 1:
        _join_slurm_tasks(processes)
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if nodes > 1 and started != processes:
        raise ClinicalSymileError(
            f"--nodes {nodes}: {started} processes were started; expected {processes}, one for "
            "each device. Start the command on every machine by torchrun or srun.",
            code="CS-R034",
        )


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
