import os
import subprocess
import sys
from pathlib import Path

import pytest

from clinical_symile.benchmarking.launchers.command import (
    engine_variables,
    job_command,
    worker_environment,
)
from clinical_symile.tracking.offline import OFFLINE_VARIABLES
from tests.helpers.launched import job_named


def test_a_worker_finds_the_modules_that_this_process_finds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", ["", "/plug/ins"])
    path = worker_environment(2)["PYTHONPATH"]
    assert path == os.pathsep.join([str(Path.cwd()), "/plug/ins"])


def test_a_command_brings_its_variables_and_its_job(tmp_path: Path):
    command = job_command(job_named("a", tmp_path), {"PLACE": "over there"})
    assert command[-1] == str(tmp_path / "jobs" / "a" / "job.json")
    start = command[: command.index(sys.executable)]
    ask = [
        sys.executable,
        "-c",
        "import os; print(os.environ['PLACE'], os.environ['OMP_NUM_THREADS'])",
    ]
    said = subprocess.run([*start, *ask], capture_output=True, text=True, check=True).stdout
    assert said == "over there 1\n"


@pytest.mark.parametrize(
    ("given", "handed"),
    [
        ({}, {}),
        ({"MLFLOW_TRACKING_URI": "sqlite:///here.db"}, {}),
        (
            {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "HF_HUB_OFFLINE": "1"},
            {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "HF_HUB_OFFLINE": "1"},
        ),
        (
            {"MLFLOW_TRACKING_URI": "http://me:secret@mlflow:5000", "HF_HUB_OFFLINE": "1"},
            {"HF_HUB_OFFLINE": "1"},
        ),
        ({"MLFLOW_TRACKING_URI": "http://mlflow:5000", "MLFLOW_TRACKING_PASSWORD": "secret"}, {}),
        ({"MLFLOW_TRACKING_URI": "http://mlflow:5000", "MLFLOW_TRACKING_TOKEN": "secret"}, {}),
    ],
)
def test_another_machine_is_handed_the_server_and_no_secret(
    given: dict[str, str],
    handed: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    secrets = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    for name in (*secrets, *OFFLINE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert engine_variables(job_named("a", tmp_path)) == handed
