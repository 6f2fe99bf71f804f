"""Copy a run's folder to MLflow; the only module that loads MLflow.

The folder is the record. The copy is made from it, can be made from it again at any time, and is
never read back: a tracking server that is down loses nothing.
"""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_symile.hashing import payload_digest
from clinical_symile.registry.names import path_in
from clinical_symile.tracking._database_creation import ensure_database
from clinical_symile.tracking._mlflow_payload import (
    KEY_TAG,
    NOTE_SENT_TAG,
    NOTE_TAG,
    TAG_LENGTH,
    analysis_metrics,
    flatten_parameters,
    has_users_note,
    history_points,
    is_complete,
    metric_names,
    milliseconds,
    name_tags,
    own_metrics,
    result_metrics,
    results_as_markdown,
    run_description,
    run_key,
    run_tags,
    started_ms,
    task_tags,
)
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import SHAREABLE_FILES, MlflowCopy, RunSnapshot, sqlite_path
from clinical_symile.tracking.tracking_uri import redact, run_tracking_uri, without_credentials

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only `sync_run` loads it
    Copy = MlflowClient = Any

# The most that MLflow accepts in one call.
_METRICS_PER_CALL, _PARAMETERS_PER_CALL = 900, 90

_PROBE_TIMEOUT_S, _REQUEST_TIMEOUT_S = 3, 10

# MLflow does not show a tag that begins with `mlflow.`; this one is read by the next sync only.
_SENT = "mlflow.clinical_symile.mirrored"
_NOTE = (
    "Results of runs on one cohort. Metrics are named task/missingness/metric; `.low` and "
    "`.high` are the ends of the 95 % interval. Every run has a child run for each task."
)
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    NOTE_TAG: _NOTE,
}


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """The outcome of copying a run to MLflow.

    Attributes:
        uri: the tracking URI, without credentials.
        run_id: MLflow's name for the run; None if it was not copied.
        url: address of the run's page; None where no server shows it.
        page: path of the page of all runs of the cohort, on any server.
        problem: why the run was not copied and what to do; None if it was.
    """

    uri: str = ""
    run_id: str | None = None
    url: str | None = None
    page: str | None = None
    problem: str | None = None


def sync_run(run: Run, *, uri: str | None = None, report: Path | None = None) -> SyncResult:
    """Bring MLflow up to date with a run's folder.

    The cohort is the experiment, the training a run in it, every evaluated task a run nested there.
    Syncing again, during training or after a failure, sends what is new and repeats nothing. If
    anything sent earlier has changed, because training began again or a number was dropped, the
    copy is made anew and the earlier copy moves to MLflow's bin. `run.toml` then says where the
    copy is.

    Args:
        run: the run; one without `run.toml` is copied from its results alone.
        uri: tracking URI of the server or database; None for `run_tracking_uri`.
        report: a rendered report to store beside the run's files.

    Raises:
        DataError: the folder does not hold a run. What MLflow cannot do is returned instead.
    """
    uri = run_tracking_uri(run) if uri is None else uri
    snapshot = run.snapshot()
    try:
        with _quiet_mlflow():
            return _sync(run, snapshot, uri, report)
    except Exception as error:  # whatever MLflow and its drivers raise, the run goes on
        action = "Sync it again when MLflow can be reached."
        if isinstance(error, ImportError):
            action = f"Install {error.name or 'the missing package'}, then sync it again."
        problem = (
            f"run '{run.name}' could not be synced to {uri}: {_first_line(error)}. Nothing is "
            f"lost: everything is in {run.path}. {action} [CS-L001]"
        )
        return SyncResult(uri=without_credentials(uri), problem=redact(problem, uri))


def _sync(run: Run, snapshot: RunSnapshot, uri: str, report: Path | None) -> SyncResult:
    from mlflow.tracking import MlflowClient

    database = sqlite_path(uri)
    if database is not None and "?" in str(database):
        raise ValueError(
            "MLflow cannot keep a database in a folder with '?' in its name. Rename the folder, or "
            "name a server or another database in MLFLOW_TRACKING_URI"
        )
    ensure_database(uri, lambda aside: MlflowClient(tracking_uri=aside).search_experiments())
    client = MlflowClient(tracking_uri=uri)
    with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT=_PROBE_TIMEOUT_S):
        experiment = _experiment(client, snapshot.cohort, uri=uri)
    with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT=_REQUEST_TIMEOUT_S):
        copy = _find(client, experiment, run_key(snapshot))
        if copy is None or not _continues(copy, snapshot):
            copy = _create_anew(client, experiment, snapshot, earlier=copy)
        place = without_credentials(uri)
        run.write_mlflow_copy(
            MlflowCopy(tracking_uri=place, experiment=snapshot.cohort, run_id=copy.info.run_id)
        )
        sent, problem = _sent(copy), None
        _send_history(client, copy, snapshot, sent)
        _send_results(client, copy, snapshot, sent)
        if is_complete(snapshot):
            files = {**snapshot.files, "run.toml": (run.path / "run.toml").read_bytes()}
            if report is not None:
                files["report.html"] = report.read_bytes()
            problem = _send_files(client, copy, files, sent, uri=uri)
            if copy.info.status != "FINISHED":
                end = milliseconds(snapshot.metadata.get("finished")) or snapshot.evaluated_ms
                client.set_terminated(copy.info.run_id, "FINISHED", end)
    page = f"#/experiments/{experiment}/runs"
    url = f"{place.rstrip('/')}/{page}/{copy.info.run_id}" if uri.startswith("http") else None
    return SyncResult(uri=place, run_id=copy.info.run_id, url=url, page=page, problem=problem)


def _experiment(client: MlflowClient, cohort: str, *, uri: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(cohort)
    if found is None:
        # Beside the database; by default, MLflow writes to the current directory.
        database = sqlite_path(uri)
        location = (
            path_in(database.parent / "mlartifacts", cohort).resolve().as_uri()
            if database is not None
            else None
        )
        return client.create_experiment(cohort, artifact_location=location, tags=_EXPERIMENT_TAGS)
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"experiment '{cohort}' was deleted there; restore it by `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`"
        )
    return found.experiment_id


def _find(client: MlflowClient, experiment: str, key: str) -> Copy | None:
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    return found[0] if found else None


def _sent(copy: Copy) -> dict[str, str]:
    """Return the digests of what was sent, and the number of lines of the history."""
    return json.loads(copy.data.tags.get(_SENT, "{}"))


def _continues(copy: Copy, run: RunSnapshot) -> bool:
    """Return whether the folder still holds everything that was sent earlier."""
    known, sent = copy.data.params, _sent(copy)
    return (
        all(known.get(key, value) == value for key, value in flatten_parameters(run.metadata))
        and (
            "history" not in sent
            or payload_digest(json.dumps(run.history[: int(sent["lines"])])) == sent["history"]
        )
        and own_metrics(copy.data.tags, copy.data.metrics) <= metric_names(run)
    )


def _remember_names(client: MlflowClient, copy: Copy, names: Iterable[str]) -> None:
    """Note on the copy which metrics a sync sends, before it sends them."""
    for tag, value in name_tags(copy.data.tags, copy.data.metrics, names).items():
        if copy.data.tags.get(tag) != value:
            client.set_tag(copy.info.run_id, tag, value)


def _create_anew(
    client: MlflowClient, experiment: str, run: RunSnapshot, *, earlier: Copy | None
) -> Copy:
    """Create a copy; an earlier one goes to the bin with its children, what the user added stays.

    Tags, metrics, the note and the name that a sync did not send are the user's.
    """
    from mlflow.entities import Metric, RunTag

    copy = _create(client, experiment, run)
    if earlier is None:
        return copy
    own, tags = own_metrics(earlier.data.tags, earlier.data.metrics), run_tags(run)
    added = [
        Metric(point.key, point.value, point.timestamp, point.step)
        for name in sorted(set(earlier.data.metrics) - own)
        for point in client.get_metric_history(earlier.info.run_id, name)
    ]
    for some in _batches(added, _METRICS_PER_CALL):
        client.log_batch(copy.info.run_id, metrics=some)
    kept = {
        key: value
        for key, value in earlier.data.tags.items()
        if not key.startswith("mlflow.") and key not in tags
    }
    if has_users_note(earlier.data.tags):
        kept |= {tag: earlier.data.tags[tag] for tag in (NOTE_TAG, NOTE_SENT_TAG)}
    if earlier.info.run_name not in (None, run.name):
        kept["mlflow.runName"] = earlier.info.run_name
    for some in _batches([RunTag(*pair) for pair in kept.items()], _PARAMETERS_PER_CALL):
        client.log_batch(copy.info.run_id, tags=some)
    children = f"tags.`mlflow.parentRunId` = '{earlier.info.run_id}'"
    for child in client.search_runs([experiment], children):
        client.delete_run(child.info.run_id)
    client.delete_run(earlier.info.run_id)
    return client.get_run(copy.info.run_id)


def _set_note(client: MlflowClient, copy: Copy, note: str) -> None:
    """Replace the note, unless the user has written another one."""
    if has_users_note(copy.data.tags):
        return
    client.set_tag(copy.info.run_id, NOTE_SENT_TAG, payload_digest(note[:TAG_LENGTH]))
    client.set_tag(copy.info.run_id, NOTE_TAG, note[:TAG_LENGTH])


def _create(client: MlflowClient, experiment: str, run: RunSnapshot) -> Copy:
    from mlflow.entities import Dataset, DatasetInput, Param

    copy = client.create_run(
        experiment, start_time=started_ms(run), tags=run_tags(run), run_name=run.name
    )
    parameters = [Param(*pair) for pair in flatten_parameters(run.metadata)]
    for some in _batches(parameters, _PARAMETERS_PER_CALL):
        client.log_batch(copy.info.run_id, params=some)
    if "store_digest" in run.metadata:
        digest = str(run.metadata["store_digest"])[:36]
        data = Dataset(name=run.cohort, digest=digest, source_type="local", source="not recorded")
        client.log_inputs(copy.info.run_id, datasets=[DatasetInput(data)])
    return copy


def _send_history(client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]) -> None:
    """Send the epochs that were not sent before."""
    from mlflow.entities import Metric, RunTag

    points = history_points(run, skip=int(sent.get("lines", 0)))
    if not points:
        return
    _remember_names(client, copy, metric_names(run))
    sent |= {"lines": str(len(run.history)), "history": payload_digest(json.dumps(run.history))}
    metrics = [Metric(*point) for point in points]
    for some in _batches(metrics, _METRICS_PER_CALL):
        tags = [RunTag(_SENT, json.dumps(sent))] if some[-1] is metrics[-1] else []
        client.log_batch(copy.info.run_id, metrics=some, tags=tags)


def _send_results(client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]) -> None:
    """Send numbers to the run, for comparing runs in one table, and to a child run per task."""
    from mlflow.entities import Metric

    digest = payload_digest(*(run.files.get(name, b"") for name in SHAREABLE_FILES[2:]))
    if not run.results or sent.get("results") == digest:
        return
    _remember_names(client, copy, metric_names(run))
    for task, group in groupby(sorted(run.results, key=attrgetter("task")), attrgetter("task")):
        rows, tags = list(group), task_tags(run, task, parent=copy.info.run_id)
        child = _find(client, copy.info.experiment_id, tags[KEY_TAG]) or client.create_run(
            copy.info.experiment_id, run.evaluated_ms, tags, f"{task} · {run.name}"
        )
        _set_note(client, child, results_as_markdown(rows))
        numbers = [*result_metrics(rows), *analysis_metrics(run.analysis, task)]
        metrics = [Metric(name, value, run.evaluated_ms, 0) for name, value in numbers]
        for some in _batches(metrics, _METRICS_PER_CALL):
            client.log_batch(child.info.run_id, metrics=some)
            client.log_batch(copy.info.run_id, metrics=some)
        client.set_terminated(child.info.run_id, "FINISHED", run.evaluated_ms)
    _set_note(client, copy, run_description(run))
    sent["results"] = digest
    client.set_tag(copy.info.run_id, _SENT, json.dumps(sent))


def _send_files(
    client: MlflowClient, copy: Copy, files: Mapping[str, bytes], sent: dict[str, str], *, uri: str
) -> str | None:
    """Upload the files that changed since they were last sent; return why they cannot be stored.

    A server may keep its files where this machine cannot write. Its numbers are complete then.
    """
    for name, content in files.items():
        digest = payload_digest(content)
        if sent.get(name) == digest:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                client.log_artifact(copy.info.run_id, str(path))
            except Exception as error:  # of any of MLflow's stores
                place = without_credentials(copy.info.artifact_uri or "its artifact location")
                problem = (
                    f"run '{copy.info.run_name}' is in {without_credentials(uri)} with its "
                    f"parameters and metrics, but its files could not be stored at {place}: "
                    f"{_first_line(error)}. They are in the run's folder. Let the server serve "
                    "artifacts, or choose a location that this machine can write; then sync "
                    "again. [CS-L002]"
                )
                return redact(problem, uri)
        sent[name] = digest
        client.set_tag(copy.info.run_id, _SENT, json.dumps(sent))
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


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
def _quiet_mlflow() -> Iterator[None]:
    """Keep MLflow silent, quick to give up, and without telemetry."""
    quiet = _environment(
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES=0,
    )
    with quiet, warnings.catch_warnings():
        # Deprecations between MLflow and its own dependencies are not for our users.
        warnings.simplefilter("ignore")
        from mlflow.store.db import utils

        loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
        levels, retries = [logger.level for logger in loggers], utils.MAX_RETRY_COUNT
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # By default, MLflow tries for an hour to open a database that is missing.
        utils.MAX_RETRY_COUNT = 2
        try:
            yield
        finally:
            utils.MAX_RETRY_COUNT = retries
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
