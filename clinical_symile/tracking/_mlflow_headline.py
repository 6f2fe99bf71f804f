"""Choose the few numbers of a run by which MLflow's table sorts and compares runs."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from clinical_symile.tracking._mlflow_payload import mlflow_name
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.snapshot import RunSnapshot

# With the curves, a run has at most 20 metrics.
MOST_HEADLINES = 14
_WHOLE = ("complete", "observed")
# Of the metrics of a task, the first of these is shown; of all of them, more is better.
_PREFERRED = ("recall_at_1", "auroc", "mean_reciprocal_rank", "auprc")
_RETAINED = "retained share"
_OWN_FOLDERS = ("retrieval/", "classification/")


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
