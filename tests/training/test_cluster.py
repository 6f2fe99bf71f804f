"""The places of processes of one training, which `torchrun`, `srun` or Fabric has started."""

import os
from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.tracking.lock_holder import is_further_process
from clinical_symile.training.cluster import (
    PROCESS_VARIABLES,
    cluster_environment,
    join_processes,
)
from clinical_symile.training.steps import launch
from tests.helpers.synthetic import tiny

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


def test_a_task_of_srun_knows_its_place(monkeypatch: pytest.MonkeyPatch):
    for name, value in TASK_OF_SRUN.items():
        monkeypatch.setenv(name, value)
    join_processes(8, nodes=2)
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
    join_processes(2, nodes=1)
    assert "RANK" not in os.environ


def test_processes_of_torchrun_stay_as_they_are(monkeypatch: pytest.MonkeyPatch):
    there = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "x"}
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    join_processes(4, nodes=2)
    assert cluster_environment().global_rank() == 3


def test_other_machines_without_processes_are_told():
    with pytest.raises(ClinicalSymileError, match=r"1 processes were started; expected 4, .*R034"):
        join_processes(4, nodes=2)


def test_a_machine_with_slurm_trains_without_a_warning(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert launch(tiny(catalog, "pretraining/clip"), "cpu", devices=1).world_size == 1
