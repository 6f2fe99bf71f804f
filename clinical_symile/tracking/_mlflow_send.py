"""Send a run's parameters, curves, results and files to its copy in MLflow, and its status."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_symile.hashing import payload_digest
from clinical_symile.tracking._mlflow_copies import (
    NESTS_TASKS_TAG,
    SYSTEM_METRICS_TAG,
    CopyContent,
    bring_up_to_date,
    nested_copies,
    remove_outdated,
    send_metrics,
    send_note,
    send_numbers,
    send_tags,
)
from clinical_symile.tracking._mlflow_files import send_changed_files, sent_state, sent_tag
from clinical_symile.tracking._mlflow_model import send_model
from clinical_symile.tracking._mlflow_payload import (
    KEY_TAG,
    curve_names,
    dataset_of,
    flatten_parameters,
    history_points,
    is_complete,
    last_ms,
    run_tags,
    started_ms,
    system_names,
    system_points,
)
from clinical_symile.tracking._mlflow_results import (
    headline_metrics,
    numbers_of_task,
    run_description,
    task_description,
    task_tables,
    task_tags,
    tasks_of_tables,
)
from clinical_symile.tracking._mlflow_tables import (
    listed_tables,
    tables_tag,
)
from clinical_symile.tracking._mlflow_view import send_view
from clinical_symile.tracking._sent_marks import METRIC_NAMES, sent_names
from clinical_symile.tracking._sync_problems import files_problem_sentence
from clinical_symile.tracking.model_files import ModelFiles
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import RESULT_FILES, MlflowCopy, RunSnapshot
from clinical_symile.tracking.tracking_uri import without_credentials

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any


@dataclass(frozen=True)
class SyncRequest:
    """The arguments of one sync.

    Attributes:
        run: the run's folder.
        cohort: name of its cohort.
        uri: tracking URI of the server or database.
        folder: the benchmark's folder to name in a problem; None for the run's.
        is_training: True if this process trains the run right now.
        nest_tasks: True to make a nested run for each task; False to do as the last sync did.
        model: the run's model, to be logged; None to log none.
        system_metrics: True to send those of each epoch; False to do as the last sync did.
    """

    run: Run
    cohort: str
    uri: str
    folder: Path | None
    is_training: bool
    nest_tasks: bool = False
    model: ModelFiles | None = None
    system_metrics: bool = False


def send_run(
    client: MlflowClient, experiment: str, sync: SyncRequest
) -> tuple[Copy, list[str], str | None]:
    """Send what is new of a run.

    Args:
        client: of the server or database.
        experiment: MLflow's name of the experiment.
        sync: the run.

    Returns:
        The copy, what was sent in words, and why its files were not stored.
    """
    snapshot = sync.run.snapshot()
    copy, is_new = bring_up_to_date(
        client, experiment, _content(snapshot), continues=lambda copy: _continues(copy, snapshot)
    )
    sync.run.write_mlflow_copy(
        MlflowCopy(
            tracking_uri=without_credentials(sync.uri),
            experiment=snapshot.cohort,
            run_id=copy.info.run_id,
        )
    )
    kept, problem = sent_state(copy), None
    words = ["a new run"] if is_new else []
    words += _send_history(client, copy, snapshot, kept)
    if sync.system_metrics:
        send_tags(client, copy, {SYSTEM_METRICS_TAG: "true"})
    if sync.system_metrics or SYSTEM_METRICS_TAG in copy.data.tags:
        words += _send_system_metrics(client, copy, snapshot, kept)
    if sync.nest_tasks:
        send_tags(client, copy, {NESTS_TASKS_TAG: "true"})
    is_nested = sync.nest_tasks or NESTS_TASKS_TAG in copy.data.tags
    words += _send_results(client, copy, snapshot, kept, nest_tasks=is_nested)
    if is_complete(snapshot):
        files, problem = _send_files(client, copy, sync, snapshot, kept)
        words += files
        if sync.model is not None and problem is None:
            words += send_model(client, copy, sync.model, kept, uri=sync.uri)
            send_tags(client, copy, sent_tag(kept))
    words += _set_status(client, copy, snapshot, is_training=sync.is_training)
    return copy, words, problem


def _content(run: RunSnapshot) -> CopyContent:
    return CopyContent(
        name=run.name,
        start_ms=started_ms(run),
        tags=run_tags(run),
        parameters=dict(flatten_parameters(run.metadata)),
        metrics=curve_names(run) | frozenset(headline_metrics(run)) | system_names(run),
        dataset=dataset_of(run),
    )


def _continues(copy: Copy, run: RunSnapshot) -> bool:
    """Return whether the folder still holds everything that was sent earlier."""
    known, sent = copy.data.params, sent_state(copy)
    return (
        all(known.get(key, value) == value for key, value in flatten_parameters(run.metadata))
        and (
            "history" not in sent
            or payload_digest(json.dumps(run.history[: int(sent["lines"])])) == sent["history"]
        )
        and sent_names(METRIC_NAMES, copy.data.tags, copy.data.metrics) <= _content(run).metrics
        and listed_tables(copy.data.tags) <= tasks_of_tables(run).keys()
    )


def _send_history(
    client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]
) -> list[str]:
    """Send the epochs that were not sent before; return how many, in words."""
    skip = int(sent.get("lines", 0))
    points = history_points(run, skip=skip)
    if not points:
        return []
    sent |= {"lines": str(len(run.history)), "history": payload_digest(json.dumps(run.history))}
    send_metrics(client, copy, points, sent_tag(sent))
    return [_counted(len(run.history) - skip, "epoch")]


def _send_system_metrics(
    client: MlflowClient, copy: Copy, run: RunSnapshot, sent: dict[str, str]
) -> list[str]:
    """Send the system metrics of epochs that were not sent before; return how many, in words."""
    skip = int(sent.get("system", 0))
    points = system_points(run, skip=skip)
    if not points:
        return []
    sent |= {"system": str(len(run.history))}
    send_metrics(client, copy, points, sent_tag(sent))
    return [f"system metrics of {_counted(len(run.history) - skip, 'epoch')}"]


def _send_results(
    client: MlflowClient,
    copy: Copy,
    run: RunSnapshot,
    sent: dict[str, str],
    *,
    nest_tasks: bool,
) -> list[str]:
    """Send the headline numbers, and where asked for all numbers to a nested run per task."""
    digest = payload_digest(*(run.files.get(name, b"") for name in RESULT_FILES))
    is_sent = sent.get("results") == digest
    headline = headline_metrics(run)
    send_numbers(client, copy, headline, at=run.evaluated_ms)
    words = _send_nested(client, copy, run, is_sent=is_sent, nest_tasks=nest_tasks)
    if not is_sent:
        send_note(client, copy, run_description(run))
        send_view(client, copy.info.experiment_id, list(headline))
        sent["results"] = digest
        send_tags(client, copy, sent_tag(sent))
        tasks = {row.task for row in run.results}
        words = [f"results of {_counted(len(tasks), 'task')}"] if tasks else []
    return words


def _send_nested(
    client: MlflowClient, copy: Copy, run: RunSnapshot, *, is_sent: bool, nest_tasks: bool
) -> list[str]:
    """Bring the nested runs of tasks up to date, and remove those of which nothing is left."""
    tasks = sorted({row.task for row in run.results}) if nest_tasks else []
    nested = {one.data.tags.get(KEY_TAG): one for one in nested_copies(client, copy)}
    keys = {task: task_tags(run, task, parent=copy.info.run_id)[KEY_TAG] for task in tasks}
    lacking = [task for task in tasks if not is_sent or keys[task] not in nested]
    for task in lacking:
        _send_task(client, copy, run, task)
    outdated = [one for key, one in nested.items() if key and key not in keys.values()]
    remove_outdated(client, outdated)
    return [f"results of {_counted(len(lacking), 'task')}"] if lacking else []


def _send_task(client: MlflowClient, copy: Copy, run: RunSnapshot, task: str) -> None:
    """Send all numbers of one task to its nested run."""
    numbers = numbers_of_task(run, task)
    content = CopyContent(
        name=f"{task} · {run.name}",
        start_ms=run.evaluated_ms,
        tags=task_tags(run, task, parent=copy.info.run_id),
        metrics=frozenset(numbers),
    )
    child, _ = bring_up_to_date(
        client,
        copy.info.experiment_id,
        content,
        continues=lambda one: (
            sent_names(METRIC_NAMES, one.data.tags, one.data.metrics) <= set(numbers)
        ),
    )
    send_note(client, child, task_description(run, task))
    send_numbers(client, child, numbers, at=run.evaluated_ms)
    if child.info.status != "FINISHED":
        client.set_terminated(child.info.run_id, "FINISHED", run.evaluated_ms)


def _send_files(
    client: MlflowClient,
    copy: Copy,
    sync: SyncRequest,
    run: RunSnapshot,
    sent: dict[str, str],
) -> tuple[list[str], str | None]:
    """Upload the files that changed, and the table of each task.

    A server may keep its files where this machine cannot write. Its numbers are complete then.

    Returns:
        How many were sent, in words, and why the others cannot be stored.
    """
    tables = task_tables(run)
    number, error = send_changed_files(client, copy, run.files, tables, sent)
    if error is not None:
        place = copy.info.artifact_uri or "its artifact location"
        return [], files_problem_sentence(
            error, run=sync.run.path, uri=sync.uri, place=place, folder=sync.folder
        )
    # After the files: a table that MLflow lists is there.
    send_tags(client, copy, tables_tag(tables, copy.data.tags))
    return [_counted(number, "file")] if number else [], None


def _set_status(
    client: MlflowClient, copy: Copy, run: RunSnapshot, *, is_training: bool
) -> list[str]:
    """Set the status: finished, running, or failed for a training that nobody continues."""
    run_id, status = copy.info.run_id, copy.info.status
    if is_complete(run):
        if status != "FINISHED":
            client.set_terminated(run_id, "FINISHED", last_ms(run))
            return ["its end"]
    elif not is_training:
        if status != "FAILED":
            client.set_terminated(run_id, "FAILED", last_ms(run))
            return ["that its training was stopped"]
    elif status != "RUNNING":
        client.update_run(run_id, status="RUNNING")
    return []


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
