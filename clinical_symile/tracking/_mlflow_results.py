"""Convert results into the metrics, tables and note of a run in MLflow; choose its headline."""

import json
import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from statistics import fmean
from typing import NamedTuple

from clinical_symile.formatting import format_interval
from clinical_symile.hashing import payload_digest
from clinical_symile.tracking._mlflow_payload import KEY_TAG, SOURCE_TAGS, mlflow_name, run_key
from clinical_symile.tracking._mlflow_tables import MOST_TABLES, table_place
from clinical_symile.tracking.results import Result, question_digest
from clinical_symile.tracking.rounding import ROUNDED
from clinical_symile.tracking.snapshot import RunSnapshot

# With at most `MOST_CURVES` curves, a run has at most 20 metrics.
MOST_HEADLINES = 14

_WHOLE = ("complete", "observed")
# Of the metrics of a task, the first of these is shown; of all of them, more is better.
_PREFERRED = ("recall_at_1", "auroc", "mean_reciprocal_rank", "auprc")
_RETAINED = "retained share"
_OWN_FOLDERS = ("retrieval/", "classification/", "diagnostic/")


def headline_metrics(run: RunSnapshot) -> dict[str, float]:
    """Return at most 14 numbers by their names in MLflow; a nested run has all numbers of a task.

    For each task these are the first metric with nothing missing, under its worst pattern, and its
    mean over all patterns with something missing. With many tasks the means are left out, then the
    worst patterns. `retained share` is the part of a metric above chance that stays in the mean
    over patterns, averaged over tasks. With several outcomes in a task, each has its own number
    while there is room.
    """
    tasks = {
        task: _of_first_metric([row for row in run.results if row.task == task])
        for task in dict.fromkeys(row.task for row in run.results)
    }
    shares = [share for rows in tasks.values() if (share := _retained(rows)) is not None]
    retained = {_RETAINED: fmean(shares)} if shares else {}
    kinds = [_named_whole(tasks), _named_worst(tasks), _named_mean(tasks), _named_parts(run, tasks)]
    chosen: dict[str, float] = {}
    for kind in kinds:
        if len(chosen) + len(kind) <= MOST_HEADLINES - len(retained):
            chosen |= kind
        elif not chosen:  # more tasks than there is room for
            chosen |= dict([*kind.items()][: MOST_HEADLINES - len(retained)])
    return chosen | retained


def _of_first_metric(rows: Sequence[Result]) -> list[Result]:
    """Return the results of a task by the metric that is shown."""
    metrics = dict.fromkeys(row.metric for row in rows)
    shown = next((name for name in _PREFERRED if name in metrics), next(iter(metrics)))
    return [row for row in rows if row.metric == shown]


def _named_whole(tasks: dict[str, list[Result]]) -> dict[str, float]:
    found = ((task, _whole(rows)) for task, rows in tasks.items())
    return {_name(row, row.missingness, task): row.value for task, row in found if row is not None}


def _named_worst(tasks: dict[str, list[Result]]) -> dict[str, float]:
    return {
        _name(rows[0], "worst pattern", task): min(row.value for row in rows)
        for task, rows in tasks.items()
        if rows[0].metric in _PREFERRED and len(rows) > 1
    }


def _named_mean(tasks: dict[str, list[Result]]) -> dict[str, float]:
    return {
        _name(rows[0], "mean of patterns", task): fmean(row.value for row in missing)
        for task, rows in tasks.items()
        if (missing := _missing(rows))
    }


def _named_parts(run: RunSnapshot, tasks: dict[str, list[Result]]) -> dict[str, float]:
    """Return the shown metric of each outcome of tasks with several, with nothing missing."""
    return {
        _name(row, row.missingness, row.task): row.value
        for row in run.results
        if (whole := _whole(tasks[row.task])) is not None
        and row.metric.startswith(f"{whole.metric}/")
        and row.missingness == whole.missingness
    }


def _retained(rows: Sequence[Result]) -> float | None:
    """Return the part of a metric above chance that stays in the mean over patterns."""
    whole, missing = _whole(rows), _missing(rows)
    if whole is None or whole.chance is None or whole.value <= whole.chance or not missing:
        return None
    return (fmean(row.value for row in missing) - whole.chance) / (whole.value - whole.chance)


def _whole(rows: Sequence[Result]) -> Result | None:
    """Return the result with nothing missing, or with what was recorded."""
    by_pattern = {row.missingness: row for row in rows}
    return next((by_pattern[name] for name in _WHOLE if name in by_pattern), None)


def _missing(rows: Iterable[Result]) -> list[Result]:
    return [row for row in rows if row.missingness not in _WHOLE]


def _name(row: Result, words: str, task: str) -> str:
    # Without the folders of this package's own tasks; any other name stays whole, and unique.
    for folder in _OWN_FOLDERS:
        task = task.removeprefix(folder)
    return mlflow_name(f"{row.metric} {words} {task}")


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
        **SOURCE_TAGS,
        "mlflow.parentRunId": parent,
        "cohort": run.cohort,
        "run": run.name,
        "task": task,
        "split": row.split,
        "digest": question_digest(row.digest),
        **({"saw_label": "true"} if row.saw_label else {}),
    }


class TableRow(NamedTuple):
    """A line of a task's table in MLflow; see `Result`."""

    missingness: str | None
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    n_samples: int | None = None
    n_subjects: int | None = None
    missing_query: str | None = None


def task_tables(run: RunSnapshot) -> dict[str, bytes]:
    """Return the table of each task in JSON, by its place among the run's files.

    It is written as `mlflow.load_table` reads it.
    """
    return {place: _as_json(task_rows(run, task)) for place, task in tasks_of_tables(run).items()}


def tasks_of_tables(run: RunSnapshot) -> dict[str, str]:
    """Return the task of each table, by its place among the run's files."""
    tasks = list(dict.fromkeys(row.task for row in run.results))[:MOST_TABLES]
    return {table_place(task): task for task in tasks}


def numbers_of_task(run: RunSnapshot, task: str) -> dict[str, float]:
    """Return all numbers of one task by MLflow's names."""
    return {
        mlflow_name("/".join(filter(None, [task, row.missingness, row.metric])), end=end): value
        for row in task_rows(run, task)
        for end, value in (("", row.value), (".low", row.low), (".high", row.high))
        if value is not None
    }


def task_rows(run: RunSnapshot, task: str) -> list[TableRow]:
    """Return all numbers of a task.

    These are each metric under each pattern, the statistics of the masks (`mask/…`), the measures
    of the analysis, and the contributions of modalities (`value/…`).
    """
    results = [row for row in run.results if row.task == task]
    counts = attrgetter("n_samples", "n_subjects")
    masks = {
        (row.missingness, f"mask/{name}"): value
        for row in results
        for name, value in row.mask_statistics.items()
        if value is not None
    }
    measures = [row for row in run.analysis.measures if row.task == task]
    values = [row for row in run.analysis.modality_value if row.task == task]
    return [
        *(
            TableRow(
                *(row.missingness, row.metric, row.value, row.low, row.high, row.chance),
                *(*counts(row), row.missing_query),
            )
            for row in results
        ),
        *(TableRow(pattern, name, value) for (pattern, name), value in masks.items()),
        *(
            TableRow(
                *(row.missingness, "/".join(filter(None, [row.measure, row.part]))),
                *(row.value, row.low, row.high, None, row.n_samples),
            )
            for row in measures
        ),
        *(
            TableRow(
                *(None, f"value/{row.quantity}/{row.modalities.replace('+', '-')}"),
                *(row.value, row.low, row.high, None, *counts(row)),
            )
            for row in values
        ),
    ]


def _as_json(rows: Iterable[TableRow]) -> bytes:
    data = [[_finite(value) for value in row] for row in rows]
    return json.dumps({"columns": TableRow._fields, "data": data}, ensure_ascii=False).encode()


def _finite(value: str | int | float | None) -> str | int | float | None:
    """Return a value as JSON can hold it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def run_description(run: RunSnapshot) -> str:
    """Return the note of a run's page: its description and its results with nothing missing."""
    complete = [row for row in run.results if row.missingness in ("complete", "observed")]
    oracle = {"description": "The oracle: the Bayes-optimal reference of a synthetic cohort."}
    definition = run.metadata.get("definition", oracle)
    number = len({row.task for row in run.results})
    few = (
        f"{MOST_TABLES} of {number} tasks have a table. `clinical-symile sync --nest-tasks` makes "
        "a nested run for each."
    )
    parts = [definition.get("description", ""), results_as_markdown(complete or run.results)]
    parts += [few] if number > MOST_TABLES else []
    return "\n\n".join([*parts, *_rounding_note(run.results)])


def task_description(run: RunSnapshot, task: str) -> str:
    """Return the note of a nested run: the results of its task."""
    rows = [row for row in run.results if row.task == task]
    return "\n\n".join([results_as_markdown(rows), *_rounding_note(rows)])


def _rounding_note(rows: Sequence[Result]) -> list[str]:
    return [ROUNDED] if any(row.rounded for row in rows) else []


def results_as_markdown(rows: Iterable[Result]) -> str:
    """Return results as a table in Markdown."""
    lines = ["| task | modalities | metric | value | 95 % interval |", "|---|---|---|--:|---|"]
    for row in rows:
        ends = format_interval(row.low, row.high, "", exact=True)
        numbers = f"{row.value:.3f} | {ends}"
        lines.append(f"| {row.task} | {row.missingness} | {row.metric} | {numbers} |")
    return "\n".join(lines)
