"""Copy a run's folder to MLflow; with its private modules, the only one that loads MLflow.

The folder is the record. The copy is made from it, can be made from it again at any time, and is
never read back: a tracking server that is down loses nothing.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_symile.errors import ClinicalSymileError
from clinical_symile.files import lock_folder, private_files
from clinical_symile.registry.names import path_in
from clinical_symile.tracking._database_creation import DatabaseMaker, ensure_database
from clinical_symile.tracking._database_state import DatabaseSchema
from clinical_symile.tracking._mlflow_send import SyncRequest, send_run
from clinical_symile.tracking._mlflow_study import EXPERIMENT_NOTE, Study, send_study
from clinical_symile.tracking._mlflow_view import VIEW_QUERY
from clinical_symile.tracking._sent_marks import note_tags
from clinical_symile.tracking._sync_problems import (
    SyncError,
    files_problem_sentence,
    problem_sentence,
    sync_command,
)
from clinical_symile.tracking.model_files import ModelFiles
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import SQLITE, sqlite_path
from clinical_symile.tracking.tracking_uri import REDACTED, run_tracking_uri, without_credentials

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any

_PROBE_TIMEOUT_S, _REQUEST_TIMEOUT_S, _BUSY_TIMEOUT_S = 3, 10, 30.0

_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    **note_tags(EXPERIMENT_NOTE),
}
# These repeat what they send and receive, credentials among it, on standard error.
_LOGGERS = (
    "mlflow",
    "alembic",
    "sqlalchemy",
    "urllib3",
    "botocore",
    "azure",
    "google",
    "databricks",
)


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """The outcome of copying a run to MLflow.

    Attributes:
        uri: the tracking URI, without credentials.
        run_id: MLflow's name for the run; None if it was not copied.
        url: address of the run's page; None where no server shows it.
        page: path of the page of all runs of the cohort, on any server.
        problem: why the run was not copied and what to do; None if it was.
        run: the run's name.
        sent: what was sent, in words; empty if all of it was there.
        note: what else a reader must know, such as a database that was set aside.
    """

    uri: str = ""
    run_id: str | None = None
    url: str | None = None
    page: str | None = None
    problem: str | None = None
    run: str = ""
    sent: tuple[str, ...] = ()
    note: str | None = None


def sync_run(
    run: Run,
    *,
    uri: str | None = None,
    folder: Path | None = None,
    nest_tasks: bool = False,
    model: ModelFiles | None = None,
    system_metrics: bool = False,
) -> SyncResult:
    """Bring MLflow up to date with a run's folder.

    The cohort is the experiment, and the training a run in it with a table of each evaluated task.
    Syncing again, during training or after a failure, sends what is new and repeats nothing. If
    anything sent earlier has changed, because training began again or a number was dropped, the
    copy is made anew. The earlier copy moves to MLflow's bin. What a user added there moves to
    the new copy. `run.toml` then says where the copy is.

    Args:
        run: the run; one without `run.toml` is copied from its results alone.
        uri: tracking URI of the server or database; None for `run_tracking_uri`.
        folder: the benchmark's folder, to be named where a problem says how to sync again.
        nest_tasks: also make a nested run for each task, with its numbers as metrics. Later syncs
            keep them up to date.
        model: the run's model, to be logged beside it; None to log none.
        system_metrics: also send processor and memory of each epoch, as later syncs then do.

    Raises:
        DataError: the folder does not hold a run. What MLflow cannot do is returned instead.
    """
    uri = run_tracking_uri(run) if uri is None else uri
    # A folder that is no run is refused before a lock is made beside it.
    cohort = run.snapshot().cohort
    try:
        _check_address(uri)
        with (
            private_files(),
            lock_folder(run.path, notify=lambda _: None, wait_s=_BUSY_TIMEOUT_S) as is_training,
            _quiet_mlflow(uri),
        ):
            request = SyncRequest(
                run, cohort, uri, folder, is_training, nest_tasks, model, system_metrics
            )
            return _sync(request)
    except (KeyboardInterrupt, ClinicalSymileError):
        raise
    except BaseException as error:  # even SystemExit of a driver: the run goes on
        problem = problem_sentence(error, run=run.path, uri=uri, folder=folder)
        return SyncResult(uri=without_credentials(uri), problem=problem, run=run.name)


def sync_study(study: Study, *, uri: str) -> SyncResult:
    """Group the copies of a benchmark's runs: study, methods of several seeds, seeds.

    The study has the report and its finding; a method has the means over its seeds. The runs must
    have been synced before. What a user added survives, as in `sync_run`.

    Args:
        study: the benchmark.
        uri: tracking URI of the server or database.
    """
    cohort = study.runs[0].snapshot().cohort
    try:
        _check_address(uri)
        with (
            private_files(),
            lock_folder(study.folder, notify=lambda _: None, wait_s=_BUSY_TIMEOUT_S),
            _quiet_mlflow(uri),
            _connection(uri, cohort) as (client, experiment, _),
        ):
            copy, sent, error = send_study(client, experiment, study, cohort=cohort)
    except (KeyboardInterrupt, ClinicalSymileError):
        raise
    except BaseException as error:  # as in `sync_run`
        problem = problem_sentence(error, run=study.folder, uri=uri, folder=None, what="study")
        return SyncResult(uri=without_credentials(uri), problem=problem, run=study.name)
    problem = error and files_problem_sentence(
        error,
        run=study.folder,
        uri=uri,
        place=copy.info.artifact_uri or "its artifact location",
        folder=None,
        what="study",
    )
    found = _result(copy, experiment, uri=uri, name=study.name, problem=problem or None)
    return replace(found, sent=tuple(sent))


def _check_address(uri: str) -> None:
    """Refuse an address that cannot work, before anything is written.

    Raises:
        SyncError: it was recorded without its credentials, or MLflow would write another file.
    """
    if REDACTED in uri:
        raise SyncError(
            "run.toml keeps no credentials of its address",
            "Give the address by MLFLOW_TRACKING_URI",
        )
    database = sqlite_path(uri)
    if database is not None and "?" in str(database):
        raise SyncError(
            "MLflow cannot keep a database in a folder with '?' in its name",
            "Rename the folder, or name a server or another database in MLFLOW_TRACKING_URI",
        )


def _sync(sync: SyncRequest) -> SyncResult:
    with _connection(sync.uri, sync.cohort) as (client, experiment, aside):
        copy, sent, problem = send_run(client, experiment, sync)
    note = None if aside is None else _aside_note(aside, sync)
    found = _result(copy, experiment, uri=sync.uri, name=sync.run.name, problem=problem)
    return replace(found, sent=tuple(sent), note=note)


@contextmanager
def _connection(uri: str, cohort: str) -> Iterator[tuple[MlflowClient, str, Path | None]]:
    """Yield a client, MLflow's name of the cohort's experiment, and a database set aside."""
    from mlflow.tracking import MlflowClient

    aside = ensure_database(uri, _database_maker)
    client = MlflowClient(tracking_uri=uri)
    with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT=_PROBE_TIMEOUT_S):
        experiment = _experiment(client, cohort, uri=uri)
    with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT=_REQUEST_TIMEOUT_S):
        yield client, experiment, aside


def _result(copy: Copy, experiment: str, *, uri: str, name: str, problem: str | None) -> SyncResult:
    """Return where a copy is."""
    place, runs = without_credentials(uri), f"#/experiments/{experiment}/runs"
    url = f"{place.rstrip('/')}/{runs}/{copy.info.run_id}" if uri.startswith("http") else None
    page = f"{runs}{VIEW_QUERY}"
    return SyncResult(
        uri=place, run_id=copy.info.run_id, url=url, page=page, problem=problem, run=name
    )


def _aside_note(aside: Path, sync: SyncRequest) -> str:
    command = sync_command(sync.folder or sync.run.path.parent, sync.uri)
    return (
        f"the database was left unfinished by a program that was stopped. It is now {aside}, and a "
        f"new one was made. `{command}` copies the other runs again."
    )


def _database_maker() -> DatabaseMaker:
    """Return MLflow's part in making a database."""
    import mlflow
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    revisions = [revision.revision for revision in script.walk_revisions()]
    return DatabaseMaker(
        schema=DatabaseSchema(
            revisions=revisions[::-1],
            tables={*Base.metadata.tables, *InitialBase.metadata.tables},
        ),
        # Not by a client, which remembers a database of this name that was made earlier.
        create=lambda uri: SqlAlchemyStore(uri, str(_artifacts_beside(uri) or "./mlruns")),
        upgrade=lambda uri: utils._upgrade_db(utils.create_sqlalchemy_engine(uri)),
        version=mlflow.__version__,
    )


def _experiment(client: MlflowClient, cohort: str, *, uri: str) -> str:
    found = client.get_experiment_by_name(cohort)
    if found is None:
        beside = _artifacts_beside(uri)
        location = None if beside is None else path_in(beside, cohort).as_uri()
        try:
            return client.create_experiment(
                cohort, artifact_location=location, tags=_EXPERIMENT_TAGS
            )
        except Exception:  # another process may have created it in the meantime
            found = client.get_experiment_by_name(cohort)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise SyncError(
            f"experiment '{cohort}' was deleted there",
            f"Restore it by `mlflow experiments restore --experiment-id {found.experiment_id}`",
        )
    return found.experiment_id


def _artifacts_beside(uri: str) -> Path | None:
    """Return the place of files beside an SQLite database; MLflow's own is the current folder."""
    database = sqlite_path(uri)
    return None if database is None else (database.parent / "mlartifacts").resolve()


@contextmanager
def _environment(**values: object) -> Iterator[None]:
    """Set environment variables for a while; values that the user has set are kept."""
    ours = {key: str(value) for key, value in values.items() if key not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key in ours:
            os.environ.pop(key, None)


@contextmanager
def _quiet_mlflow(uri: str) -> Iterator[None]:
    """Keep MLflow silent, quick to give up, and without telemetry."""
    settings: dict[str, object] = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 0,
    }
    if uri.startswith(SQLITE):
        # A connection that is kept would go on writing to a database that was replaced.
        settings["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"
    with _environment(**settings), warnings.catch_warnings():
        # Deprecations between MLflow and its own dependencies are not for our users.
        warnings.simplefilter("ignore")
        from mlflow.store.db import utils

        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels, retries = [logger.level for logger in loggers], utils.MAX_RETRY_COUNT
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        # By default, MLflow tries for an hour to open a database that is missing.
        utils.MAX_RETRY_COUNT = 2
        try:
            yield
        finally:
            utils.MAX_RETRY_COUNT = retries
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
