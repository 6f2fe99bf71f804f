"""An MLflow database and a real server, made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri
from tests.helpers.mlflow_runs import write_run
from tests.helpers.mlflow_servers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tests may stop and start again; each uses a cohort of its own."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("empty")
    found = sync_run(Run(write_run(folder / "any", cohort="other")), uri=tracking_uri(folder))
    assert found.problem is None, found.problem
    return folder / "mlflow.db"


@pytest.fixture
def database(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An MLflow database with another cohort's run in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tracking_uri(tmp_path)
