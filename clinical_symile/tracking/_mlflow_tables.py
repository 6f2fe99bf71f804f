"""Name the tables of a run in MLflow, beside those that a user logged."""

import json
from collections.abc import Iterable, Mapping

from clinical_symile.hashing import payload_digest
from clinical_symile.registry.names import is_name

# The folder of the tables among a run's files. MLflow finds tables by the tag, not by the folder.
TABLES_FOLDER, TABLES_TAG = "tables", "mlflow.loggedArtifacts"
# The most tables that the tag can hold.
MOST_TABLES = 40


def table_place(task: str) -> str:
    """Return the place of a task's table; a name that is no path gets its digest."""
    is_path = all(map(is_name, task.split("/")))
    return f"{TABLES_FOLDER}/{task if is_path else payload_digest(task)[:16]}.json"


def tables_tag(tables: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tag by which MLflow finds the tables of a run, with those that a user logged.

    Args:
        tables: places of the tables.
        tags: of the copy as it is.
    """
    ours = [{"path": place, "type": "table"} for place in sorted(tables)]
    listed = [*(one for one in _listed(tags) if not _is_ours(one)), *ours]
    return {TABLES_TAG: json.dumps(listed)} if listed else {}


def listed_tables(tags: Mapping[str, str]) -> set[str]:
    """Return the places of the tables that a sync has named in the tags of a copy."""
    return {one["path"] for one in _listed(tags) if _is_ours(one)}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    try:
        found = json.loads(tags.get(TABLES_TAG, "[]"))
    except ValueError:  # a user's own tag
        return []
    return [one for one in found if isinstance(one, dict) and "path" in one]


def _is_ours(entry: Mapping[str, str]) -> bool:
    return entry["path"].startswith(f"{TABLES_FOLDER}/")
