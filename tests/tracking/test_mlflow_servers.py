"""Runs arrive at real servers and databases, though they are killed, refuse or are crowded."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri
from tests.helpers.mlflow_runs import BY_HAND, check_copy, parent_of, runs_of, write_run
from tests.helpers.mlflow_servers import PostgreSQL, Server

pytestmark = [pytest.mark.slow, BY_HAND]
FORK = multiprocessing.get_context("fork")
PASSWORD = "c4n4ry/pa@ss"


@pytest.fixture(autouse=True)
def _no_server_is_named_and_a_slow_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # On a loaded machine a server that works may take longer to answer than a sync waits.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")


@pytest.mark.parametrize("moment", [2, 5, 9])
def test_a_server_that_is_killed_during_a_sync_gets_the_rest_later(
    moment: int, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.store.tracking.rest_store import RestStore

    server.start()
    count, call = 0, RestStore._call_endpoint

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == moment:
            server.kill()
        return call(self, *arguments, **named)

    folder = write_run(tmp_path / "symile-0", cohort=f"killed {moment}")
    with monkeypatch.context() as patch:
        patch.setattr(RestStore, "_call_endpoint", counted)
        found = sync_run(Run(folder), uri=server.uri)
    assert "Nothing is lost" in str(found.problem)
    # Once run.toml says where the copy is, the command needs no address.
    is_recorded = Run(folder).mlflow_copy is not None
    assert is_recorded == (moment == 9)
    address = "" if is_recorded else f" --uri {server.uri}"
    assert f"then run `clinical-symile sync {folder}{address}`" in str(found.problem)
    server.start()
    again = sync_run(Run(folder), uri=None if is_recorded else server.uri)
    assert again.problem is None
    check_copy(server.uri, cohort=f"killed {moment}", epochs=3, tables=2)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("flask_wtf", reason="the app basic-auth of MLflow needs flask-wtf")
    folder = tmp_path_factory.mktemp("guarded")
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = admin\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    server = Server(
        folder,
        arguments=["--app-name", "basic-auth"],
        environment={
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "any",
        },
    )
    try:
        server.start()
    except TimeoutError as error:
        pytest.skip(f"the app basic-auth of MLflow cannot start here: {error}")
    yield server
    server.stop()


def test_a_server_with_passwords_takes_the_right_one_and_nothing_shows_it(
    tmp_path: Path, guarded: Server, monkeypatch: pytest.MonkeyPatch
):
    folder = write_run(tmp_path / "symile-0", cohort="guarded")
    refused = sync_run(Run(folder), uri=guarded.uri)
    assert "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in str(refused.problem)
    wrong = guarded.uri.replace("://", "://admin:c4n4ry-wrong@")
    refused = sync_run(Run(folder), uri=wrong)
    assert refused.problem is not None
    assert "c4n4ry" not in str(refused)
    right = guarded.uri.replace("://", "://admin:c4n4ry%2Fpa%40ss@")
    found = sync_run(Run(folder), uri=right)
    assert found.problem is None
    assert "c4n4ry" not in str(found) + (folder / "run.toml").read_text()
    # The record has the address without the password; the variables of MLflow give it.
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    found = sync_run(Run(folder))
    assert (found.problem, found.sent) == (None, ())
    check_copy(guarded.uri, cohort="guarded", epochs=3, tables=2)
    copy = parent_of(guarded.uri, "guarded")
    assert "c4n4ry" not in str(copy.data.tags) + str(copy.data.params)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"c4n4ry" not in path.read_bytes()


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    pytest.importorskip("pg8000", reason="the driver of PostgreSQL is not installed")
    database = PostgreSQL(tmp_path_factory.mktemp("postgresql"))
    yield database
    database.stop()


def test_a_run_arrives_in_postgresql_and_no_form_of_its_address_is_shown(
    tmp_path: Path, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
):
    uri = postgresql.new_database("direct")
    folder = write_run(tmp_path / "symile-0")
    for raw in (uri.replace("can%2Fary%40pg", postgresql.password), uri.replace("ary", "ary-not")):
        refused = sync_run(Run(folder), uri=raw)
        assert refused.run_id is None
        assert not any(piece in str(refused) for piece in ("can/", "can%2F", "ary@", "ary-not"))
    found = sync_run(Run(folder), uri=uri)
    assert found.problem is None
    assert "ary" not in (folder / "run.toml").read_text()
    check_copy(uri, cohort="synthetic", epochs=3, tables=2)
    # The recorded address has no password.
    later = sync_run(Run(folder))
    assert later.run_id is None
    assert "MLFLOW_TRACKING_URI" in str(later.problem)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert (sync_run(Run(folder)).problem, sync_run(Run(folder)).sent) == (None, ())


def _sync(folder: Path, uri: str | None, report: Any) -> None:
    report.put(sync_run(Run(folder), uri=uri).problem)
    report.close()
    report.join_thread()


def sync_at_once(folders: list[Path], uri: str | None) -> list[str | None]:
    """Sync each run in a process of its own; what each of them says."""
    import mlflow.tracking  # noqa: F401, loaded once for all that are forked

    reports = FORK.Queue()
    children = [FORK.Process(target=_sync, args=(one, uri, reports)) for one in folders]
    for child in children:
        child.start()
    found = [reports.get(timeout=300) for _ in children]
    for child in children:
        child.join()
    return found


def test_runs_that_are_synced_at_once_into_a_new_postgresql_all_arrive(
    tmp_path: Path, postgresql: PostgreSQL
):
    uri = postgresql.new_database("crowded")
    folders = [write_run(tmp_path / f"symile-{n}", seed=n) for n in range(4)]
    assert sync_at_once(folders, uri) == [None] * 4
    assert len(runs_of(uri)) == 4


def test_a_server_with_postgresql_as_backend_takes_runs(tmp_path: Path, postgresql: PostgreSQL):
    server = Server(tmp_path, backend=postgresql.new_database("behind"))
    try:
        server.start()
        folder = write_run(tmp_path / "symile-0")
        assert sync_run(Run(folder), uri=server.uri).problem is None
        check_copy(server.uri, cohort="synthetic", epochs=3, tables=2)
    finally:
        server.stop()


def test_many_runs_that_are_synced_epoch_by_epoch_into_a_new_database_all_arrive(tmp_path: Path):
    folders = [write_run(tmp_path / f"symile-{n}", seed=n) for n in range(6)]
    assert sync_at_once(folders, None) == [None] * 6
    for number in range(6):
        check_copy(
            tracking_uri(tmp_path),
            cohort="synthetic",
            epochs=3,
            tables=2,
            name=f"symile-{number}",
        )
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


@pytest.mark.parametrize("delay", [0.3, 1.0, 2.0])
def test_a_process_that_is_killed_while_it_makes_the_database_leaves_nothing_broken(
    delay: float, tmp_path: Path
):
    import mlflow.tracking  # noqa: F401

    folder = write_run(tmp_path / "symile-0")
    child = FORK.Process(target=_sync, args=(folder, None, FORK.Queue()))
    child.start()
    time.sleep(delay)
    os.kill(child.pid, signal.SIGKILL)  # pyright: ignore[reportArgumentType]
    child.join()
    assert sync_run(Run(folder)).problem is None
    check_copy(tracking_uri(tmp_path), cohort="synthetic", epochs=3, tables=2)
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


def test_a_database_that_another_program_locks_delays_and_costs_nothing_else(
    tmp_path: Path, database: str
):
    import sqlite3

    folder = write_run(tmp_path / "symile-0")
    holder = sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(3, holder.rollback)
    timer.start()
    assert sync_run(Run(folder), uri=database).problem is None
    timer.join()
    holder.close()
    check_copy(database, cohort="synthetic", epochs=3, tables=2)
