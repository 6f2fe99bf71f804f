"""The places of processes of one training, which `torchrun`, `srun` or Fabric has started."""

import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.tracking.lock_holder import is_further_process
from clinical_symile.tracking.run import Run
from clinical_symile.training.cluster import (
    PROCESS_VARIABLES,
    cluster_environment,
    join_processes,
    leave_finished_training,
    require_processes,
)
from clinical_symile.training.steps import launch
from clinical_symile.training.train import train
from tests.helpers.synthetic import TINY

ROOT = Path(__file__).resolve().parents[2]
TASK_OF_SRUN = {
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "123456",
}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROCESS_VARIABLES, *TASK_OF_SRUN):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


@pytest.fixture
def one_epoch(tiny_task: Pretraining) -> Pretraining:
    """A task that is trained in a moment."""
    return tiny_task.model_copy(update={"epochs": 1})


@pytest.fixture
def finished(one_epoch: Pretraining, synthetic_store: CohortStore, tmp_path: Path) -> Run:
    """A run that was trained to its end."""
    return train(one_epoch, store=synthetic_store, run=Run(tmp_path / "run"), seed=0)


def test_a_task_of_srun_knows_its_place(monkeypatch: pytest.MonkeyPatch):
    for name, value in TASK_OF_SRUN.items():
        monkeypatch.setenv(name, value)
    join_processes(8)
    found = {name: os.environ.get(name) for name in PROCESS_VARIABLES}
    assert found == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "NODE_RANK": "1",
        "WORLD_SIZE": "8",
        "MASTER_ADDR": "gpu07",
        "MASTER_PORT": "18456",
        "TORCHELASTIC_RUN_ID": None,
    }
    assert is_further_process()
    assert cluster_environment().creates_processes_externally


def test_a_job_of_another_number_of_tasks_is_no_part_of_the_training(
    monkeypatch: pytest.MonkeyPatch,
):
    for name, value in {**TASK_OF_SRUN, "SLURM_NTASKS": "1"}.items():
        monkeypatch.setenv(name, value)
    join_processes(2)
    assert "RANK" not in os.environ


def test_processes_of_torchrun_stay_as_they_are(monkeypatch: pytest.MonkeyPatch):
    there = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "x"}
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    join_processes(4)
    require_processes(4, nodes=2)
    assert cluster_environment().global_rank() == 3


def test_other_machines_without_processes_are_told():
    with pytest.raises(ClinicalSymileError, match=r"1 processes were started; expected 4, .*R034"):
        require_processes(4, nodes=2)


AMONG_FOUR = {"MASTER_ADDR": "gpu07", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_processes_with_nothing_to_train_the_first_goes_on_alone(
    rank: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {**AMONG_FOUR, "LOCAL_RANK": "0", "RANK": rank}.items():
        monkeypatch.setenv(name, value)
    if rank == "1":
        with pytest.raises(SystemExit) as ended:
            leave_finished_training()
        assert ended.value.code == 0
    else:
        leave_finished_training()
        assert not {*PROCESS_VARIABLES} & {*os.environ}


def test_a_process_of_fabric_goes_on_to_the_training_that_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
):
    for name, value in AMONG_FOUR.items():
        monkeypatch.setenv(name, value)
    leave_finished_training()
    assert is_further_process()


def test_a_finished_run_on_two_machines_is_returned_where_nothing_was_started(
    finished: Run, one_epoch: Pretraining, synthetic_store: CohortStore
):
    found = train(one_epoch, store=synthetic_store, run=finished, seed=0, nodes=2)
    assert found is finished
    another = Run(finished.path.with_name("another"))
    with pytest.raises(ClinicalSymileError, match="CS-R034"):
        train(one_epoch, store=synthetic_store, run=another, seed=0, nodes=2)


@pytest.mark.parametrize("rank", [0, 1])
def test_of_the_processes_that_find_a_finished_run_the_first_alone_goes_on(
    rank: int,
    finished: Run,
    one_epoch: Pretraining,
    synthetic_store: CohortStore,
    monkeypatch: pytest.MonkeyPatch,
):
    for name, value in {**AMONG_FOUR, "WORLD_SIZE": "2", "RANK": str(rank)}.items():
        monkeypatch.setenv(name, "0" if name == "LOCAL_RANK" else value)
    ends = pytest.raises(SystemExit) if rank else nullcontext()
    with ends:
        assert train(one_epoch, store=synthetic_store, run=finished, seed=0, nodes=2) is finished
    assert is_further_process() == bool(rank)


def test_a_machine_with_slurm_trains_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert launch("32-true", "cpu", devices=1).world_size == 1


def _command(store: CohortStore, out: Path, *devices: str) -> list[str]:
    settings = [word for setting in (*TINY, "epochs=2") for word in ("--set", setting)]
    what = ["clinical_symile", "train", "pretraining/symile", "--store", str(store.path)]
    return [*what, "--out", str(out), "--accelerator", "cpu", *devices, *settings]


@pytest.mark.slow
def test_two_machines_by_torchrun_learn_what_two_processes_of_one_do(
    synthetic_store: CohortStore, tmp_path: Path
):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    alone = _command(synthetic_store, tmp_path / "one", "--devices", "2")
    subprocess.run([sys.executable, "-m", *alone], check=True, env=environment)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = _command(synthetic_store, tmp_path / "two", "--devices", "1", "--nodes", "2")
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2"),
                *("--nproc-per-node=1", f"--node-rank={node}", "--master-addr=127.0.0.1"),
                *(f"--master-port={port}", "-m", *both),
            ],
            env=environment,
        )
        for node in (0, 1)
    ]
    assert [one.wait(timeout=300) for one in started] == [0, 0]
    one, two = Run(tmp_path / "one" / "symile-0"), Run(tmp_path / "two" / "symile-0")
    assert two.is_finished
    assert two.weights.read_bytes() == one.weights.read_bytes()
    assert two.metadata["costs"]["devices"] == 2
