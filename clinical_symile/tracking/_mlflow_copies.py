"""Find, create, fill and replace copies of runs in MLflow; keep what users added to them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clinical_symile.tracking._mlflow_files import move_users_files
from clinical_symile.tracking._mlflow_payload import KEY_TAG, TAG_LENGTH, DatasetContent
from clinical_symile.tracking._mlflow_tables import listed_tables, tables_tag
from clinical_symile.tracking._sent_marks import (
    METRIC_NAMES,
    NOTE_TAG,
    PARAMETERS,
    TAGS,
    has_users_note,
    mark_tags,
    note_tags,
    sent_names,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any

PARENT_TAG = "mlflow.parentRunId"
# Set where nested runs of tasks were asked for: later syncs keep them up to date.
NESTS_TASKS_TAG = "mlflow.clinical_symile.nested_tasks"
# Set where system metrics were asked for, likewise.
SYSTEM_METRICS_TAG = "mlflow.clinical_symile.system_metrics"
# The most that MLflow accepts in one call.
_PARAMETERS_PER_CALL = 90
_METRICS_PER_CALL = 900
_TRIES = 3
# The source of a dataset that a sync sends: a path may hold a name that must not leave the machine.
_NO_SOURCE = "not recorded"
# The tags of a nested copy, which copies of version 0.2.0 and earlier do not mark as a sync's.
_TASK_TAGS = (KEY_TAG, PARENT_TAG, "cohort", "run", "task", "split", "digest")
# Set after a copy was made, so that a new one takes them from the earlier one.
_KEPT_TAGS = (NESTS_TASKS_TAG, SYSTEM_METRICS_TAG, PARENT_TAG)


@dataclass(frozen=True, kw_only=True)
class CopyContent:
    """The part of a copy that a sync sends, without the numbers.

    Attributes:
        name: shown by MLflow.
        start_ms: in milliseconds since 1970.
        tags: with the key by which the copy is found.
        parameters: of the run.
        metrics: names of all numbers that the run has.
        dataset: the store; None for a nested run.
    """

    name: str
    start_ms: int
    tags: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()
    dataset: DatasetContent | None = None


def find_copies(client: MlflowClient, experiment: str, key: str) -> list[Copy]:
    """Return the copies with a key; two if a sync was killed while it replaced one."""
    return list(client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'"))


def nested_copies(client: MlflowClient, copy: Copy) -> list[Copy]:
    """Return the runs nested in a copy, those of the user as well."""
    found = f"tags.`{PARENT_TAG}` = '{copy.info.run_id}'"
    return list(client.search_runs([copy.info.experiment_id], found))


def bring_up_to_date(
    client: MlflowClient,
    experiment: str,
    content: CopyContent,
    *,
    continues: Callable[[Copy], bool],
) -> tuple[Copy, bool]:
    """Find the copy of a run, or create it; replace copies that cannot be continued.

    MLflow cannot drop a number or change a parameter. A copy with an outdated one is made anew, and
    the earlier one moves to MLflow's bin. What a user added moves to the new copy. A sync that is
    killed at any moment is completed by the next one.

    Args:
        client: of the server or database.
        experiment: MLflow's name of the experiment.
        content: the content of the copy.
        continues: tells whether everything that was sent to a copy still holds.

    Returns:
        The copy, and whether it is new.
    """
    found = find_copies(client, experiment, content.tags[KEY_TAG])
    copy = next((one for one in found if continues(one)), None)
    is_new = copy is None
    if copy is None:
        marks = _marks(content, None)
        copy = client.create_run(
            experiment,
            start_time=content.start_ms,
            tags={**content.tags, **marks},
            run_name=content.name,
        )
    _send_missing(client, copy, content)
    for earlier in found:
        if earlier.info.run_id != copy.info.run_id:
            _replace(client, copy, earlier, content)
    return client.get_run(copy.info.run_id), is_new


def send_tags(client: MlflowClient, copy: Copy, tags: Mapping[str, str]) -> None:
    """Set those tags of a copy that differ."""
    from mlflow.entities import RunTag

    changed = [RunTag(*pair) for pair in tags.items() if copy.data.tags.get(pair[0]) != pair[1]]
    for some in _batches(changed, _PARAMETERS_PER_CALL):
        client.log_batch(copy.info.run_id, tags=some)


def send_note(client: MlflowClient, copy: Copy, note: str) -> None:
    """Replace the note, unless the user has written another one."""
    if not has_users_note(copy.data.tags):
        send_tags(client, copy, note_tags(note[:TAG_LENGTH]))


def remove_outdated(client: MlflowClient, nested: Iterable[Copy]) -> None:
    """Remove nested copies of tasks that have no results any more; what a user added stays."""
    for copy in nested:
        ours = {*sent_names(TAGS, copy.data.tags, copy.data.tags), *_TASK_TAGS}
        content = CopyContent(
            name=copy.info.run_name or "",
            start_ms=copy.info.start_time,
            tags={key: value for key, value in copy.data.tags.items() if key in ours},
        )
        if not _has_additions(copy, content):
            client.delete_run(copy.info.run_id)
        elif not _holds_no_number_of_ours(copy):
            made, _ = bring_up_to_date(
                client, copy.info.experiment_id, content, continues=_holds_no_number_of_ours
            )
            client.set_terminated(made.info.run_id, "FINISHED", copy.info.end_time)


def _holds_no_number_of_ours(copy: Copy) -> bool:
    return not sent_names(METRIC_NAMES, copy.data.tags, copy.data.metrics)


def _marks(content: CopyContent, copy: Copy | None) -> dict[str, str]:
    """Return the hidden tags that say what of a copy is a sync's."""
    tags = {} if copy is None else copy.data.tags
    kinds = (
        (METRIC_NAMES, content.metrics, () if copy is None else copy.data.metrics),
        (PARAMETERS, content.parameters, () if copy is None else copy.data.params),
        (TAGS, content.tags, tags),
    )
    marks: dict[str, str] = {}
    for kind, sent, there in kinds:
        marks |= mark_tags(kind, sent, tags=tags, there=there)
    return marks


def _send_missing(client: MlflowClient, copy: Copy, content: CopyContent) -> None:
    """Send what a copy lacks: all of a new one, the rest of one whose sync was killed."""
    from mlflow.entities import Dataset, DatasetInput, Param

    # First the marks: a number that arrives is known as a sync's.
    send_tags(client, copy, {**_marks(content, copy), **content.tags})
    lacking = [
        Param(*pair) for pair in content.parameters.items() if pair[0] not in copy.data.params
    ]
    for some in _batches(lacking, _PARAMETERS_PER_CALL):
        client.log_batch(copy.info.run_id, params=some)
    store = content.dataset
    if store and (store.name, store.digest) not in _datasets(copy):
        data = Dataset(**store._asdict(), source_type="local", source=_NO_SOURCE)
        _log_dataset(client, copy, DatasetInput(data))


def _log_dataset(client: MlflowClient, copy: Copy, data: Any) -> None:
    """Name a copy's dataset; another process may have named the same one at the same moment."""
    for attempt in range(_TRIES):
        try:
            client.log_inputs(copy.info.run_id, datasets=[data])
        except Exception as error:  # of any of MLflow's stores and their drivers
            if "UNIQUE" not in str(error).upper() or attempt == _TRIES - 1:
                raise
        else:
            return


def _datasets(copy: Copy) -> dict[tuple[str, str], Any]:
    inputs = copy.inputs.dataset_inputs if copy.inputs else []
    return {(one.dataset.name, one.dataset.digest): one for one in inputs}


def _users_tags(copy: Copy, content: CopyContent) -> dict[str, str]:
    """Return the tags that a user set."""
    ours = {*sent_names(TAGS, copy.data.tags, copy.data.tags), *content.tags}
    return {
        key: value
        for key, value in copy.data.tags.items()
        if key not in ours and not key.startswith("mlflow.")
    }


def _has_additions(copy: Copy, content: CopyContent) -> bool:
    data = copy.data
    return bool(
        set(data.metrics) - sent_names(METRIC_NAMES, data.tags, data.metrics)
        or set(data.params) - sent_names(PARAMETERS, data.tags, data.params)
        or _users_tags(copy, content)
        or has_users_note(data.tags)
    )


def _replace(client: MlflowClient, copy: Copy, earlier: Copy, content: CopyContent) -> None:
    """Move what a user added from an earlier copy to the new one; the earlier one goes to the bin.

    Where MLflow cannot move the user's files, the earlier copy stays, under a name that says so.
    """
    from mlflow.entities import Param

    data, run_id = earlier.data, copy.info.run_id
    metrics = set(data.metrics) - sent_names(METRIC_NAMES, data.tags, data.metrics)
    points = [
        (point.key, point.value, point.timestamp, point.step)
        for name in sorted(metrics)
        for point in client.get_metric_history(earlier.info.run_id, name)
    ]
    tags = {
        key: value
        for key, value in _users_tags(earlier, content).items()
        if key not in copy.data.tags
    }
    if has_users_note(data.tags) and not has_users_note(copy.data.tags):
        tags[NOTE_TAG] = data.tags[NOTE_TAG]
    kept = (key for key in _KEPT_TAGS if key in data.tags and key not in copy.data.tags)
    tags |= {key: data.tags[key] for key in kept}
    tags |= tables_tag(listed_tables(copy.data.tags), data.tags)
    send_metrics(client, copy, points, tags)
    parameters = set(data.params) - sent_names(PARAMETERS, data.tags, data.params)
    added = [Param(key, data.params[key]) for key in sorted(parameters - set(content.parameters))]
    for some in _batches(added, _PARAMETERS_PER_CALL):
        client.log_batch(run_id, params=some)
    datasets = [one for one in _datasets(earlier).values() if one.dataset.source != _NO_SOURCE]
    if datasets:
        client.log_inputs(run_id, datasets=datasets)
    if earlier.info.run_name not in (None, "", content.name):
        client.update_run(run_id, name=earlier.info.run_name)
    for nested in nested_copies(client, earlier):
        client.set_tag(nested.info.run_id, PARENT_TAG, run_id)
    if move_users_files(client, copy, earlier):
        client.delete_run(earlier.info.run_id)
    else:
        client.update_run(earlier.info.run_id, name=f"{earlier.info.run_name} (earlier)")
        client.delete_tag(earlier.info.run_id, KEY_TAG)


def send_numbers(
    client: MlflowClient, copy: Copy, numbers: Mapping[str, int | float], *, at: int
) -> None:
    """Send those numbers of a copy that differ.

    MLflow shows the latest point. One that replaces another gets the time of now, since results of
    an earlier time may replace later ones.
    """
    known, now = copy.data.metrics, int(1000 * time.time())
    changed = [
        (name, value, max(at, now) if name in known else at, 0)
        for name, value in numbers.items()
        if known.get(name) != value
    ]
    send_metrics(client, copy, changed)


def send_metrics(
    client: MlflowClient,
    copy: Copy,
    points: Sequence[tuple[str, int | float, int, int]],
    tags: Mapping[str, str] | None = None,
) -> None:
    """Send points of metrics, and tags together with the last of them.

    Args:
        client: of the server or database.
        copy: the copy.
        points: name, value, time in milliseconds and step of each.
        tags: the tags.
    """
    from mlflow.entities import Metric, RunTag

    metrics = [Metric(*point) for point in points]
    calls = list(_batches(metrics, _METRICS_PER_CALL)) or [[]]
    for number, some in enumerate(calls, start=1):
        last = [RunTag(*pair) for pair in (tags or {}).items()] if number == len(calls) else []
        if some or last:
            client.log_batch(copy.info.run_id, metrics=some, tags=last)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Yield items in lists of at most `size`, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
