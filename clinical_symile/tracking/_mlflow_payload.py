"""Convert a run's folder into MLflow's parameters, metrics, tags and notes; send the metrics."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from clinical_symile.formatting import format_interval
from clinical_symile.hashing import payload_digest
from clinical_symile.tracking.analysis_tables import RunAnalysis
from clinical_symile.tracking.results import Result, question_digest
from clinical_symile.tracking.snapshot import RunSnapshot

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any

# A metric's name in MLflow, and its value.
MetricPoint = tuple[str, float]

# The longest name, value of a parameter and value of a tag that MLflow accepts, in characters.
NAME_LENGTH, PARAMETER_LENGTH, TAG_LENGTH = 250, 500, 5000

# The most metrics that MLflow accepts in one call.
_METRICS_PER_CALL = 900
_OUR_END = re.compile(r"\.(low|high)$")
_ESCAPES = {"@": "at", "<": "lt", ">": "gt", "=": "eq", "%": "percent"}
KEY_TAG = "clinical_symile.key"
# The curves that MLflow gets; `history.jsonl`, which it gets as a file, has all.
_CURVES = ("loss", "gradient_norm", "learning_rate", "seconds")
_TUNING = "tuning/"
_SOURCE = {"mlflow.source.name": "clinical-symile", "mlflow.source.type": "LOCAL"}


def run_key(run: RunSnapshot) -> str:
    """Return a key that is the same for every state of a run, and different for other runs."""
    fields = ("started", "seed", "store_digest", "task_digest")
    if run.metadata:
        identity = [str(run.metadata.get(field)) for field in fields]
    else:
        first = sorted(run.results, key=attrgetter("task"))[:1]
        identity = [question_digest(row.digest) for row in first]
    return payload_digest(run.name, run.cohort, *identity)


def is_complete(run: RunSnapshot) -> bool:
    """Return whether training has ended; a run without training always has."""
    return not run.metadata or "finished" in run.metadata


def started_ms(run: RunSnapshot) -> int:
    """Return the start of training, else the time of evaluation, in milliseconds since 1970."""
    return milliseconds(run.metadata.get("started")) or run.evaluated_ms


def last_ms(run: RunSnapshot) -> int:
    """Return the end of training as far as it got, else the time of evaluation."""
    end = milliseconds(run.metadata.get("finished"))
    if not run.metadata or end:
        return end or run.evaluated_ms
    return started_ms(run) + int(1000 * sum(line.get("seconds", 0.0) for line in run.history))


def run_tags(run: RunSnapshot) -> dict[str, str]:
    """Return the tags of a run: its key, and what identifies its inputs and its code."""
    metadata = run.metadata
    tags = {KEY_TAG: run_key(run), **_SOURCE, "cohort": run.cohort, "seed": metadata.get("seed")}
    tags |= _method_tags(metadata)
    tags["trained_on"] = metadata.get("trained_on")
    tags["saw_labels"] = ", ".join(metadata.get("saw_labels", ()))
    tags |= {key: value for key, value in metadata.items() if key.endswith("_digest")}
    if (commit := metadata.get("git_commit")) is not None:
        tags |= {"commit": commit, "mlflow.source.git.commit": commit}
    return {
        mlflow_name(key): str(value)[:TAG_LENGTH]
        for key, value in tags.items()
        if value not in (None, "")
    }


def _method_tags(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags by which runs are grouped: their role, and how they were trained."""
    if "task" not in metadata:
        kind = "baseline" if "baseline" in metadata else "external" if metadata else "oracle"
        return {"role": kind}
    definition = metadata.get("definition", {})
    objective = definition.get("objective", {})
    return {
        "role": "model",
        "method": metadata.get("task"),
        "objective": objective.get("name") if isinstance(objective, Mapping) else objective,
        "missing_modality": definition.get("missing_modality"),
        "trained_with": definition.get("missingness"),
    }


def task_tags(run: RunSnapshot, task: str, *, parent: str) -> dict[str, str]:
    """Return the tags of the child run that shows one task.

    Args:
        run: the run.
        task: name of an evaluated task.
        parent: MLflow's name for the run.
    """
    row = next(row for row in run.results if row.task == task)
    return {
        KEY_TAG: payload_digest(run_key(run), task),
        **_SOURCE,
        "mlflow.parentRunId": parent,
        "cohort": run.cohort,
        "run": run.name,
        "task": task,
        "split": row.split,
        "digest": question_digest(row.digest),
        **({"saw_label": "true"} if row.saw_label else {}),
    }


def history_points(run: RunSnapshot, *, skip: int) -> list[tuple[str, int | float, int, int]]:
    """Return name, value, time in milliseconds and step of each point of the curves.

    The times come from the folder, so that a line sent twice is the same point twice.

    Args:
        run: the run.
        skip: number of lines to leave out at the beginning.
    """
    points, seconds = [], 0.0
    for number, line in enumerate(run.history):
        seconds += line.get("seconds", 0.0)
        step, at = int(line.get("step", number + 1)), started_ms(run) + int(1000 * seconds)
        if number >= skip:
            points += [
                (mlflow_name(key), value, at, step) for key, value in line.items() if _is_curve(key)
            ]
    return points


def curve_names(run: RunSnapshot) -> frozenset[str]:
    """Return MLflow's names of the curves of a run."""
    return frozenset(mlflow_name(key) for line in run.history for key in line if _is_curve(key))


def _is_curve(key: str) -> bool:
    return key in _CURVES or key.startswith(_TUNING)


def numbers_of_task(run: RunSnapshot, task: str) -> dict[str, int | float]:
    """Return all numbers of one task by MLflow's names."""
    rows = [row for row in run.results if row.task == task]
    return dict([*result_metrics(rows), *analysis_metrics(run.analysis, task)])


def result_metrics(rows: Iterable[Result]) -> list[MetricPoint]:
    """Return each result with the ends of its interval, and the statistics of each mask."""
    rows = list(rows)
    masks = {
        mlflow_name(f"{row.task}/{row.missingness}/mask/{name}"): value
        for row in rows
        for name, value in row.mask_statistics.items()
        if value is not None
    }
    return [*masks.items()] + [
        (mlflow_name(f"{row.task}/{row.missingness}/{row.metric}", end=end), value)
        for row in rows
        for end, value in (("", row.value), (".low", row.low), (".high", row.high))
        if value is not None
    ]


def analysis_metrics(analysis: RunAnalysis, task: str) -> list[MetricPoint]:
    """Return the measures and modality contributions of one task, with their intervals."""
    named = [
        ("/".join([row.missingness, row.measure, *([row.part] if row.part else [])]), row)
        for row in analysis.measures
        if row.task == task
    ]
    named += [
        (f"value/{row.quantity}/{row.modalities.replace('+', '-')}", row)
        for row in analysis.modality_value
        if row.task == task
    ]
    return [
        (mlflow_name(f"{task}/{name}", end=end), value)
        for name, row in named
        for end, value in (("", row.value), (".low", row.low), (".high", row.high))
        if value is not None
    ]


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
    calls = list(batches(metrics, _METRICS_PER_CALL)) or [[]]
    for number, some in enumerate(calls, start=1):
        last = [RunTag(*pair) for pair in (tags or {}).items()] if number == len(calls) else []
        if some or last:
            client.log_batch(copy.info.run_id, metrics=some, tags=last)


def batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Yield items in lists of at most `size`, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def flatten_parameters(metadata: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten `run.toml`, without what identifies the run or changes with time: that is a tag."""
    pairs = []
    for key, value in metadata.items():
        if isinstance(value, Mapping):
            pairs += flatten_parameters(value, f"{prefix}{key}.")
        elif prefix or not (key in ("started", "finished", "git_commit") or "_digest" in key):
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            if len(text) > PARAMETER_LENGTH:
                text = text[: PARAMETER_LENGTH - 24] + "… (whole: run.toml)"
            pairs.append((mlflow_name(prefix + key), text))
    return pairs


def run_description(run: RunSnapshot) -> str:
    """Return the note of a run's page: its description and its results with nothing missing."""
    complete = [row for row in run.results if row.missingness in ("complete", "observed")]
    oracle = {"description": "The oracle: the Bayes-optimal reference of a synthetic cohort."}
    definition = run.metadata.get("definition", oracle)
    return "\n\n".join(
        [definition.get("description", ""), results_as_markdown(complete or run.results)]
    )


def results_as_markdown(rows: Iterable[Result]) -> str:
    """Return results as a table in Markdown."""
    lines = ["| task | modalities | metric | value | 95 % interval |", "|---|---|---|--:|---|"]
    for row in rows:
        ends = format_interval(row.low, row.high, "", exact=True)
        numbers = f"{row.value:.3f} | {ends}"
        lines.append(f"| {row.task} | {row.missingness} | {row.metric} | {numbers} |")
    return "\n".join(lines)


def mlflow_name(name: str, *, end: str = "") -> str:
    """Return a name that MLflow accepts; different names stay different.

    MLflow accepts letters of any script, digits and `_ - . space : /`. Any other character, and the
    colon, becomes a word between colons, as do the dots of a part that has nothing else or begins
    with two of them (MLflow takes these for a path), and the dot of a name that itself ends in
    `.low` or `.high`. A name that is too long ends in its digest.

    >>> mlflow_name("retrieval/x/mcar-50@at-least-one/recall_at_1")
    'retrieval/x/mcar-50:at:at-least-one/recall_at_1'
    >>> mlflow_name("auroc/größe<2", end=".low")
    'auroc/größe:lt:2.low'

    Args:
        name: the name.
        end: what follows it and is never cut, such as `.low`.
    """
    accepted = _OUR_END.sub(r":dot:\1", "/".join(map(_accepted_part, name.split("/"))))
    if len(accepted + end) > NAME_LENGTH:
        accepted = f"{accepted[: NAME_LENGTH - 18 - len(end)]}::{payload_digest(name)[:16]}"
    return accepted + end


def _accepted_part(part: str) -> str:
    """Return what stands between two slashes as MLflow accepts it."""
    rest = part.lstrip(".")
    dots = len(part) - len(rest)
    words = f":{dots}-dots:" if dots > 1 or not rest else "." * dots
    return words + re.sub(r"[^\w\-. ]", _escape, rest)


def _escape(found: re.Match[str]) -> str:
    """Return a word between colons for a character that MLflow does not accept."""
    return f":{_ESCAPES.get(found[0], f'u{ord(found[0]):x}')}:"


def milliseconds(time: Any) -> int:
    """Return a time in milliseconds since 1970; 0 for None."""
    if time is None:
        return 0
    moment = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
    return int(1000 * moment.timestamp())
