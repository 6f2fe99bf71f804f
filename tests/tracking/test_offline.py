"""A command that stays offline: variables of libraries, and servers on other machines."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clinical_symile.cli.parser import parse_arguments
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.tracking.offline import OFFLINE_VARIABLES, go_offline, is_remote
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import MlflowCopy
from tests.helpers.synthetic import TINY
from tests.helpers.tiny_encoders import pinned, transformers_arguments

REMOTE = ("http://mlflow.example:5000", "https://me:word@10.0.0.7/a", "databricks", "s3://bucket")
REMOTE += ("databricks://profile", "postgresql+pg8000://me:word@db.example:5432/mlflow")
LOCAL = (
    *("sqlite:////data/mlflow.db", "file:///data", "/data/mlruns", "runs"),
    *("http://localhost:5000", "http://127.0.0.1:5000/", "http://[::1]:5000", "http://localhost"),
    *("postgresql://localhost/mlflow", "mysql+pymysql://me:word@127.0.0.1:3306/mlflow"),
    *("http://me:word@localhost:5000", "databricks_runs/mlruns", "postgresql:///mlflow"),
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(os.environ)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    for name in OFFLINE_VARIABLES:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]


def test_servers_elsewhere_are_told_from_those_here():
    assert [is_remote(uri) for uri in REMOTE] == [True] * len(REMOTE)
    assert [is_remote(uri) for uri in LOCAL] == [False] * len(LOCAL)
    assert is_remote("http://localhost.example.com")


def test_libraries_are_told_and_a_server_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch):
    go_offline()
    assert {name: os.environ[name] for name in OFFLINE_VARIABLES} == dict(OFFLINE_VARIABLES)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:word@mlflow.example")
    with pytest.raises(ClinicalSymileError, match=r"server https://mlflow\.example is on another"):
        go_offline()


def test_a_run_whose_copy_is_elsewhere_is_refused(tmp_path: Path):
    run = Run(tmp_path / "run")
    run.write_metadata({"name": "run"})
    go_offline(run.path)
    copy = MlflowCopy(tracking_uri="https://mlflow.example", run_id="1", experiment="2")
    run.write_mlflow_copy(copy)
    with pytest.raises(ClinicalSymileError) as caught:
        go_offline(run.path)
    assert caught.value.problems[0].code == "CS-L005"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "a", "--store", "s", "--out", "o"],
        ["evaluate", "run", "--store", "s"],
        ["benchmark", "benchmark", "--cohort", "synthetic", "--out", "o"],
    ],
)
def test_three_verbs_have_the_option(words: list[str]):
    assert parse_arguments([*words, "--offline"]).offline
    assert not parse_arguments(words).offline


NO_NETWORK = """
import socket

def refuse(self, address, *more):
    if self.family != socket.AF_UNIX:
        raise SystemExit(f"a connection to {address!r}")

def no_name(host, *more, **named):
    if host not in (None, "localhost", "127.0.0.1", socket.gethostname()):
        raise SystemExit(f"a look-up of {host!r}")
    return usual(host, *more, **named)

usual, socket.getaddrinfo = socket.getaddrinfo, no_name
socket.socket.connect = socket.socket.connect_ex = refuse
"""


@pytest.mark.slow
def test_training_and_evaluation_reach_for_no_network(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    """In a child whose sockets end the program and, where the system allows, without a network."""
    with torch.random.fork_rng(devices=[]):
        encoder = pinned(transformers_arguments(tmp_path))
    (tmp_path / "patched").mkdir()
    (tmp_path / "patched/sitecustomize.py").write_text(NO_NETWORK)
    cut_off = ["unshare", "-rn"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*cut_off, "true"], capture_output=True).returncode
    ):
        cut_off = []
    places = [str(tmp_path / "patched"), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    shutil.copytree(synthetic_store.path, tmp_path / "store")
    table = (
        f'encoders.cxr={{name="transformers", weights="{encoder["weights"]}", frozen=true, '
        f'sha256="{encoder["sha256"]}", licence="MIT", training_data=["x"]}}'
    )
    small = [word for word in TINY if not word.startswith("encoders.cxr")]
    settings = [word for setting in (*small, table) for word in ("--set", setting)]
    ours = [*cut_off, sys.executable, "-m", "clinical_symile"]
    for words in (
        ["train", "pretraining/symile", "--store", "store", "--out", "runs", *settings],
        [
            "evaluate",
            "runs/symile-0",
            "--store",
            "store",
            "--tasks",
            "retrieval/cxr_given_ecg_labs",
        ],
    ):
        done = subprocess.run(
            [*ours, *words, "--offline"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    probe = subprocess.run(
        [*ours[:-2], "-c", "import urllib.request as r; r.urlopen('http://192.0.2.1')"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "192.0.2.1" in probe.stderr  # the patch does what it says
