"""Mirrors a run's folder to MLflow; the only module that knows MLflow.

The folder is the record. What MLflow shows is made from it, can be made from it again at any time,
and is never read back: a tracking server that is down loses nothing.
"""

import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_symile.hashing import payload_digest
from clinical_symile.tracking._mlflow_payload import (
    MLFLOW_ARTIFACTS,
    RunSnapshot,
    analysis_metrics,
    flatten_parameters,
    metric_names,
    milliseconds,
    mlflow_name,
    read_snapshot,
    result_metrics,
    results_table,
    run_description,
)
from clinical_symile.tracking.results import question_digest

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only `sync_run` does
    Copy = MlflowClient = Any

# MLflow takes no more than this: in one call, as a value.
METRICS_PER_CALL, PARAMETERS_PER_CALL, TAG_LENGTH = 900, 90, 5000

PROBE_TIMEOUT_S, REQUEST_TIMEOUT_S = 3, 10

# What begins with `mlflow.` is not shown among a run's tags: it is for the next mirroring alone.
KEY, SENT = "clinical_symile.key", "mlflow.clinical_symile.mirrored"
NOTE = (
    "What runs scored on one cohort. Metrics are named task/missingness/metric; `.low` and "
    "`.high` are the ends of the 95 % interval. Every run has a run below it for each task."
)
KIND = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": NOTE}
LABELS = {"mlflow.source.name": "clinical-symile", "mlflow.source.type": "LOCAL"}


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """What came of mirroring a folder.

    Attributes:
        run_id: MLflow's name for the run; None if it could not be mirrored.
        url: the run's page, where a server shows it.
        page: the path of the page of all runs of the cohort, wherever it is shown.
        problem: why it could not be mirrored and what to do; None if it was.
    """

    run_id: str | None = None
    url: str | None = None
    page: str | None = None
    problem: str | None = None


def tracking_uri(out: Path) -> str:
    """Where runs below a folder go: `MLFLOW_TRACKING_URI`, else a database in the folder."""
    database = (out / "mlflow.db").resolve().as_posix()
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database}"


def sync_run(folder: Path, *, cohort: str, uri: str, report: Path | None = None) -> SyncResult:
    """Bring MLflow up to date with a run's folder.

    The cohort is the experiment, the training a run in it, every task it was evaluated on a run
    nested there. Mirroring again, during training or after a failure, sends what is new and repeats
    nothing. If the past has changed, because training began again or a number is there no more, the
    copy is made anew and the older one goes to MLflow's bin.

    Args:
        folder: the run's folder; one without `run.toml` is mirrored from its results alone.
        cohort: the cohort's name.
        uri: as `tracking_uri` gives it.
        report: a rendered report to put beside the run's files.

    Raises:
        DataError: the folder does not hold a run. What MLflow cannot do is returned instead.
    """
    run = read_snapshot(folder, cohort=cohort, report=report)
    with _manners():
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return _mirror(run, uri)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            return SyncResult(
                problem=_without_password(
                    f"run '{run.name}' could not be mirrored to {uri}: {reason}. Nothing is lost: "
                    f"all of it is in {folder}. Mirror it again when MLflow can be reached."
                )
            )


def _mirror(run: RunSnapshot, uri: str) -> SyncResult:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT=PROBE_TIMEOUT_S):
        experiment = _experiment(client, run.cohort, uri=uri)
    with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT=REQUEST_TIMEOUT_S):
        copy = _find(client, experiment, run.key)
        if copy is not None and not _continues(copy, run):
            client.delete_run(copy.info.run_id)
            copy = None
        copy = copy or _create(client, experiment, run)
        sent = _sent(copy)
        _send_history(client, copy, run, sent)
        _send_results(client, copy, run, sent)
        if run.done:
            _send_files(client, copy, run, sent)
            if copy.info.status != "FINISHED":
                end = milliseconds(run.record.get("finished")) or run.results_ms
                client.set_terminated(copy.info.run_id, "FINISHED", end)
    page = f"#/experiments/{experiment}/runs"
    server = f"{_without_password(uri).rstrip('/')}/"
    url = f"{server}{page}/{copy.info.run_id}" if uri.startswith("http") else None
    return SyncResult(run_id=copy.info.run_id, url=url, page=page)


def _experiment(client: MlflowClient, cohort: str, *, uri: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(cohort)
    if found is None:
        # Beside the database; left to itself, MLflow writes to the current directory.
        database = Path(uri.removeprefix("sqlite:///").partition("?")[0])
        beside = (database.parent / "mlartifacts" / cohort).resolve().as_uri()
        location = beside if uri.startswith("sqlite:///") else None
        return client.create_experiment(cohort, artifact_location=location, tags=KIND)
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"experiment '{cohort}' was deleted there; `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}` brings it back"
        )
    return found.experiment_id


def _find(client: MlflowClient, experiment: str, key: str) -> Copy | None:
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
    return found[0] if found else None


def _sent(copy: Copy) -> dict[str, str]:
    """Digests of what was sent; of the history also how many lines."""
    return json.loads(copy.data.tags.get(SENT, "{}"))


def _continues(copy: Copy, run: RunSnapshot) -> bool:
    """Whether what was sent before is still what the folder says."""
    known, sent = copy.data.params, _sent(copy)
    return (
        all(known.get(key, value) == value for key, value in flatten_parameters(run.record))
        and (
            "history" not in sent
            or payload_digest(json.dumps(run.history[: int(sent["lines"])])) == sent["history"]
        )
        and set(copy.data.metrics) <= metric_names(run)
    )


def _create(client: MlflowClient, experiment: str, run: RunSnapshot) -> Copy:
    from mlflow.entities import Dataset, DatasetInput, Param

    record = run.record
    tags = {KEY: run.key, **LABELS, "cohort": run.cohort, "seed": record.get("seed", "")}
    tags |= {key: value for key, value in record.items() if key.endswith("_digest")}
    if "git_commit" in record:
        tags |= {"commit": record["git_commit"], "mlflow.source.git.commit": record["git_commit"]}
    copy = client.create_run(
        experiment,
        start_time=run.started_ms,
        tags={
            mlflow_name(key): str(value)[:TAG_LENGTH] for key, value in tags.items() if value != ""
        },
        run_name=run.name,
    )
    for some in _batches(
        [Param(*pair) for pair in flatten_parameters(record)], PARAMETERS_PER_CALL
    ):
        client.log_batch(copy.info.run_id, params=some)
    if "store_digest" in record:
        digest = str(record["store_digest"])[:36]
        data = Dataset(name=run.cohort, digest=digest, source_type="local", source="not recorded")
        client.log_inputs(copy.info.run_id, datasets=[DatasetInput(data)])
    return copy


def _send_history(client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]) -> None:
    from mlflow.entities import Metric, RunTag

    metrics, seconds = [], 0.0
    for number, line in enumerate(run.history):
        # The time follows from the folder: a line that is sent twice is the same point twice.
        seconds += line.get("seconds", 0.0)
        step, at = int(line.get("step", number + 1)), run.started_ms + int(1000 * seconds)
        if number >= int(sent.get("lines", 0)):
            metrics += [Metric(mlflow_name(k), v, at, step) for k, v in line.items() if k != "step"]
    if metrics:
        sent |= {"lines": str(len(run.history)), "history": payload_digest(json.dumps(run.history))}
    for some in _batches(metrics, METRICS_PER_CALL):
        tags = [RunTag(SENT, json.dumps(sent))] if some[-1] is metrics[-1] else []
        client.log_batch(copy.info.run_id, metrics=some, tags=tags)


def _send_results(client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]) -> None:
    """Numbers go to the run itself, to compare runs in one table, and to one below it per task."""
    from mlflow.entities import Metric

    digest = payload_digest(*(run.files.get(name, b"") for name in MLFLOW_ARTIFACTS[2:]))
    if not run.results or sent.get("results") == digest:
        return
    for task, group in groupby(sorted(run.results, key=attrgetter("task")), attrgetter("task")):
        rows, key = list(group), payload_digest(run.key, task)
        tags = {KEY: key, **LABELS, "mlflow.parentRunId": copy.info.run_id, "cohort": run.cohort}
        tags |= {
            "run": run.name,
            "task": task,
            "split": rows[0].split,
            "digest": question_digest(rows[0].digest),
        }
        child = _find(client, copy.info.experiment_id, key) or client.create_run(
            copy.info.experiment_id, run.results_ms, tags, f"{task} · {run.name}"
        )
        client.set_tag(child.info.run_id, "mlflow.note.content", results_table(rows)[:TAG_LENGTH])
        numbers = [*result_metrics(rows), *analysis_metrics(run.told, task)]
        metrics = [Metric(name, value, run.results_ms, 0) for name, value in numbers]
        for some in _batches(metrics, METRICS_PER_CALL):
            client.log_batch(child.info.run_id, metrics=some)
            client.log_batch(copy.info.run_id, metrics=some)
        client.set_terminated(child.info.run_id, "FINISHED", run.results_ms)
    client.set_tag(copy.info.run_id, "mlflow.note.content", run_description(run)[:TAG_LENGTH])
    sent["results"] = digest
    client.set_tag(copy.info.run_id, SENT, json.dumps(sent))


def _send_files(client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]) -> None:
    for name, content in run.files.items():
        digest = payload_digest(content)
        if sent.get(name) == digest:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            client.log_artifact(copy.info.run_id, str(path))
        sent[name] = digest
        client.set_tag(copy.info.run_id, SENT, json.dumps(sent))


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _without_password(text: str) -> str:
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)


@contextmanager
def _environment(**values: object) -> Iterator[None]:
    """Set environment variables for a while; what a user has set stands."""
    ours = {key: str(value) for key, value in values.items() if key not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key in ours:
            os.environ.pop(key, None)


@contextmanager
def _manners() -> Iterator[None]:
    """Keep MLflow quiet, quick to give up, and from calling home."""
    quiet = _environment(
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES=0,
    )
    with quiet, warnings.catch_warnings():
        # Deprecations between MLflow and its own dependencies are not ours to mend.
        warnings.simplefilter("ignore")
        from mlflow.store.db import utils

        loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
        levels, retries = [logger.level for logger in loggers], utils.MAX_RETRY_COUNT
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # As it stands, MLflow tries for an hour to open a database that is not there.
        utils.MAX_RETRY_COUNT = 2
        try:
            yield
        finally:
            utils.MAX_RETRY_COUNT = retries
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
