"""A database that was left half made is recognized, kept under another name and made again."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clinical_symile.tracking import _database_creation
from clinical_symile.tracking._database_creation import DatabaseMaker, ensure_database
from clinical_symile.tracking._database_state import (
    DatabaseSchema,
    DatabaseState,
    read_database_state,
)
from clinical_symile.tracking._sync_problems import SyncError
from clinical_symile.tracking.mlflow import _database_maker, _quiet_mlflow, sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri
from tests.helpers.mlflow_runs import BY_HAND, parent_of, runs_of, write_run

pytestmark = BY_HAND

SCHEMA = DatabaseSchema(revisions=("a", "b"), tables=("runs", "experiments", "metrics"))


def fake_maker(create: Callable[[str], object]) -> Callable[[], DatabaseMaker]:
    return lambda: DatabaseMaker(schema=SCHEMA, create=create, upgrade=_fail, version="3.0")


def _fail(uri: str) -> None:
    raise RuntimeError("duplicate column name")


def write_database(path: Path, version: str | None = "b", *statements: str) -> None:
    connection = sqlite3.connect(path)
    if version is not None:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", [version])
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def create_whole(uri: str) -> None:
    write_database(Path(uri.removeprefix("sqlite:///")))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database_creation, "_STILL_S", 0.3)
    monkeypatch.setattr(_database_creation, "_POLL_S", 0.05)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


RUNS = "CREATE TABLE runs (id TEXT)"


@pytest.mark.parametrize(
    ("version", "statements", "expected"),
    [
        ("b", [RUNS], DatabaseState.WHOLE),
        ("a", [RUNS], DatabaseState.HALF_MADE),
        (None, [RUNS], DatabaseState.HALF_MADE),
        (None, [RUNS, "CREATE TABLE _alembic_tmp_runs (id TEXT)"], DatabaseState.HALF_MADE),
        (None, ["CREATE TABLE patients (id TEXT)"], DatabaseState.FOREIGN),
        ("z", [RUNS], DatabaseState.NEWER),
        ("a", [RUNS, "INSERT INTO runs VALUES ('1')"], DatabaseState.OLDER),
        (
            "a",
            [
                "CREATE TABLE experiments (experiment_id INT)",
                "INSERT INTO experiments VALUES (0)",
            ],
            DatabaseState.HALF_MADE,
        ),
        (
            "a",
            [
                "CREATE TABLE experiments (experiment_id INT)",
                "INSERT INTO experiments VALUES (7)",
            ],
            DatabaseState.OLDER,
        ),
    ],
)
def test_the_state_of_a_database_is_read_from_its_tables(
    version: str | None, statements: list[str], expected: DatabaseState, tmp_path: Path
):
    path = tmp_path / "mlflow.db"
    write_database(path, version, *statements)
    assert read_database_state(path, SCHEMA) is expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, DatabaseState.MISSING),
        (b"", DatabaseState.MISSING),
        (b"\0" * 4096, DatabaseState.HALF_MADE),
        (b"patient,value\n", DatabaseState.FOREIGN),
        (b"SQLite format 3\0" + b"\0" * 80 + b"rubbish" * 600, DatabaseState.DAMAGED),
    ],
)
def test_the_state_of_a_file_is_read_from_its_first_bytes(
    content: bytes | None, expected: DatabaseState, tmp_path: Path
):
    path = tmp_path / "mlflow.db"
    if content is not None:
        path.write_bytes(content)
    assert read_database_state(path, SCHEMA) is expected


def test_of_many_at_once_one_makes_the_database_and_the_others_see_it_whole(tmp_path: Path):
    made = []

    def create(uri: str) -> None:
        time.sleep(0.2)
        create_whole(uri)
        made.append(uri)

    def ensure(_: int) -> DatabaseState:
        ensure_database(f"sqlite:///{tmp_path}/mlflow.db", fake_maker(create))
        return read_database_state(tmp_path / "mlflow.db", SCHEMA)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ensure, range(8))) == {DatabaseState.WHOLE}
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_database_whose_making_fails_leaves_nothing_and_is_made_by_the_next(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"

    def fail(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        ensure_database(uri, fake_maker(fail))
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db.partial").write_text("left by a process that was killed")
    (tmp_path / "mlflow.db.partial-journal").write_text("left by a process that was killed")
    ensure_database(uri, fake_maker(create_whole))
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("uri", ["http://x", "sqlite:///:memory:", "sqlite:///no/such/folder.db"])
def test_nothing_is_made_for_a_server_or_where_no_folder_is(uri: str):
    ensure_database(uri, lambda: pytest.fail("made"))


def test_a_half_made_database_is_kept_under_a_name_that_says_so(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    write_database(path, None, RUNS)
    aside = ensure_database(f"sqlite:///{path}", fake_maker(create_whole))
    assert aside is not None
    assert aside.name.startswith("mlflow.db.half-made-2")
    assert read_database_state(aside, SCHEMA) is DatabaseState.HALF_MADE
    assert read_database_state(path, SCHEMA) is DatabaseState.WHOLE
    assert ensure_database(f"sqlite:///{path}", fake_maker(create_whole)) is None


def test_a_database_that_another_program_makes_right_now_is_left_to_it(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    write_database(path, None, RUNS)

    def go_on() -> None:
        for number in range(4):
            time.sleep(0.2)
            write_database(path, None, f"CREATE TABLE _alembic_tmp_{number} (id TEXT)")
        write_database(path, "b")

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(go_on)
        aside = ensure_database(f"sqlite:///{path}", lambda: fake_maker(pytest.fail)())
        other.result()
    assert aside is None
    assert [one.name for one in tmp_path.iterdir()] == ["mlflow.db"]


def test_the_default_database_alone_is_set_aside_when_it_holds_runs(tmp_path: Path):
    for name in ("mlflow.db", "ours.db"):
        write_database(tmp_path / name, "a", RUNS, "INSERT INTO runs VALUES ('1')")
    aside = ensure_database(f"sqlite:///{tmp_path}/mlflow.db", fake_maker(create_whole))
    assert aside is not None
    assert "half-migrated" in aside.name
    with pytest.raises(SyncError, match="half-migrated") as found:
        ensure_database(f"sqlite:///{tmp_path}/ours.db", fake_maker(create_whole))
    assert "Move" in found.value.action


@pytest.mark.parametrize(
    ("version", "table", "said", "action"),
    [
        ("z", "runs", "made by a newer MLflow than 3.0", "Update mlflow"),
        (None, "patients", "is not a database of MLflow", "Name another database"),
    ],
)
def test_a_newer_or_foreign_database_stays_and_is_reported(
    version: str | None, table: str, said: str, action: str, tmp_path: Path
):
    path = tmp_path / "mlflow.db"
    write_database(path, version, f"CREATE TABLE {table} (id TEXT)")
    before = path.read_bytes()
    with pytest.raises(SyncError, match=said) as found:
        ensure_database(f"sqlite:///{path}", fake_maker(create_whole))
    assert action in found.value.action
    assert path.read_bytes() == before


@pytest.fixture(scope="session")
def stopped_makings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What MLflow leaves when it is killed after each of its migrations, in the old way."""
    folder = tmp_path_factory.mktemp("stopped")
    found: list[Path] = []
    with _quiet_mlflow("sqlite:///x"):
        from mlflow.store.db import utils
        from sqlalchemy import event

        path = folder / "making.db"
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")

        @event.listens_for(engine, "after_cursor_execute")
        def keep(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
                found.append(folder / f"{len(found):04d}.db")
                for end in ("", "-journal"):
                    if Path(f"{path}{end}").exists():
                        shutil.copyfile(f"{path}{end}", f"{found[-1]}{end}")

        utils._initialize_tables(engine)
        engine.dispose()
        found.append(path)  # the last change is only there after its commit
    return found


@pytest.mark.slow
def test_every_moment_of_making_reads_as_half_made_until_it_is_whole(stopped_makings: list[Path]):
    with _quiet_mlflow("sqlite:///x"):
        schema = _database_maker().schema
    states = [read_database_state(path, schema) for path in stopped_makings]
    expected = {DatabaseState.MISSING, DatabaseState.HALF_MADE, DatabaseState.WHOLE}
    assert set(states) <= expected
    assert states.count(DatabaseState.HALF_MADE) > 50
    assert DatabaseState.HALF_MADE not in states[states.index(DatabaseState.WHOLE) :]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_run_arrives_though_the_database_was_stopped_in_the_making(
    share: float, stopped_makings: list[Path], tmp_path: Path
):
    chosen = stopped_makings[int(share * len(stopped_makings))]
    shutil.copyfile(chosen, tmp_path / "mlflow.db")
    found = sync_run(Run(write_run(tmp_path / "symile-0")))
    assert found.problem is None
    assert "left unfinished" in str(found.note)
    assert f"`clinical-symile sync {tmp_path}`" in str(found.note)
    assert len(list(tmp_path.glob("mlflow.db.half-made-*"))) == 1
    assert parent_of(tracking_uri(tmp_path)).info.status == "FINISHED"
    assert len(runs_of(tracking_uri(tmp_path))) == 1


def test_a_half_migrated_database_with_runs_is_made_again_from_their_folders(
    tmp_path: Path, empty_database: Path
):
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    for name in ("one", "two"):
        sync_run(Run(write_run(tmp_path / name, name=name)))
    with _quiet_mlflow("sqlite:///x"):
        schema = _database_maker().schema
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    # As if a migration had been killed before the last ones were noted.
    connection.execute("UPDATE alembic_version SET version_num = ?", [schema.revisions[-4]])
    connection.commit()
    connection.close()
    found = sync_run(Run(tmp_path / "one"))
    assert found.problem is None
    assert "half-migrated" in str(found.note)
    assert sync_run(Run(tmp_path / "two")).problem is None
    assert len(runs_of(tracking_uri(tmp_path))) == 2
