"""Convert the results of each task into a table that MLflow shows."""

import json
import math
from collections.abc import Iterable, Mapping

from clinical_symile.hashing import payload_digest
from clinical_symile.registry.names import is_name
from clinical_symile.tracking.snapshot import RunSnapshot

# The folder of the tables among a run's files. MLflow finds tables by the tag, not by the folder.
TABLES_FOLDER, TABLES_TAG = "tables", "mlflow.loggedArtifacts"
# The most tables that the tag can hold.
MOST_TABLES = 40

COLUMNS = (
    *("missingness", "metric", "value", "low", "high"),
    *("chance", "n_samples", "n_subjects", "missing_query"),
)
_Row = list[str | int | float | None]


def task_tables(run: RunSnapshot) -> dict[str, bytes]:
    """Return a table in JSON for each task, by its place among the run's files.

    A table has a line for each metric under each pattern, then the statistics of the masks
    (`mask/…`), the measures of the analysis and the contributions of modalities (`value/…`). It is
    written as `mlflow.load_table` reads it.
    """
    tasks = list(dict.fromkeys(row.task for row in run.results))[:MOST_TABLES]
    return {_place(task): _as_json(_rows(run, task)) for task in tasks}


def tables_tag(tables: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tag by which MLflow finds the tables of a run, with those that a user logged.

    Args:
        tables: places of the tables.
        tags: of the copy as it is.
    """
    ours = [{"path": place, "type": "table"} for place in sorted(tables)]
    listed = [*_of_users(tags), *ours]
    return {TABLES_TAG: json.dumps(listed)} if listed else {}


def listed_tables(tags: Mapping[str, str]) -> set[str]:
    """Return the places of the tables that a sync has named in the tags of a copy."""
    return {one["path"] for one in _listed(tags) if _is_ours(one)}


def _place(task: str) -> str:
    """Return the place of a task's table; a name that is no path gets its digest."""
    is_path = all(map(is_name, task.split("/")))
    return f"{TABLES_FOLDER}/{task if is_path else payload_digest(task)[:16]}.json"


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    try:
        found = json.loads(tags.get(TABLES_TAG, "[]"))
    except ValueError:  # a user's own tag
        return []
    return [one for one in found if isinstance(one, dict) and "path" in one]


def _of_users(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [one for one in _listed(tags) if not _is_ours(one)]


def _is_ours(entry: Mapping[str, str]) -> bool:
    return entry["path"].startswith(f"{TABLES_FOLDER}/")


def _rows(run: RunSnapshot, task: str) -> list[_Row]:
    results = [row for row in run.results if row.task == task]
    rows: list[_Row] = [
        [
            *(row.missingness, row.metric, row.value, row.low, row.high),
            *(row.chance, row.n_samples, row.n_subjects, row.missing_query),
        ]
        for row in results
    ]
    masks = {
        (row.missingness, name): value
        for row in results
        for name, value in row.mask_statistics.items()
        if value is not None
    }
    rows += [
        _padded([pattern, f"mask/{name}", value]) for (pattern, name), value in masks.items()
    ]
    rows += [
        _padded(
            [
                row.missingness,
                "/".join([row.measure, *([row.part] if row.part else [])]),
                *(row.value, row.low, row.high, None, row.n_samples),
            ]
        )
        for row in run.analysis.measures
        if row.task == task
    ]
    return rows + [
        _padded(
            [
                None,
                f"value/{row.quantity}/{row.modalities} of {row.metric}",
                *(row.value, row.low, row.high, None, row.n_samples, row.n_subjects),
            ]
        )
        for row in run.analysis.modality_value
        if row.task == task
    ]


def _padded(row: _Row) -> _Row:
    return [*row, *[None] * (len(COLUMNS) - len(row))]


def _as_json(rows: Iterable[_Row]) -> bytes:
    data = [[_finite(value) for value in row] for row in rows]
    return json.dumps({"columns": COLUMNS, "data": data}, ensure_ascii=False).encode()


def _finite(value: str | int | float | None) -> str | int | float | None:
    """Return a value as JSON can hold it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
