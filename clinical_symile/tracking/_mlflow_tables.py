"""Name the tables of a run in MLflow, beside those that a user logged."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from clinical_symile.hashing import payload_digest
from clinical_symile.registry.names import is_name

# The folder of the tables among a run's files. MLflow finds tables by the tag, not by the folder.
TABLES_FOLDER, TABLES_TAG = "tables", "mlflow.loggedArtifacts"
# MLflow does not show a tag that begins with `mlflow.`; this one is read by the next sync only.
_SENT_TAG = "mlflow.clinical_symile.tables"
# The most tables that the tag can hold.
MOST_TABLES = 40


def table_place(task: str) -> str:
    """Return the place of a task's table; a name that is no path gets its digest."""
    is_path = all(map(is_name, task.split("/")))
    return f"{TABLES_FOLDER}/{task if is_path else payload_digest(task)[:16]}.json"


def tables_tag(tables: Iterable[str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that name the tables of a run for MLflow and for the next sync.

    Tables that a user logged stay in MLflow's tag.

    Args:
        tables: places of the tables.
        tags: of the copy as it is.
    """
    places = sorted(tables)
    ours = {*places, *listed_tables(tags)}
    listed = [one for one in _objects(tags.get(TABLES_TAG)) if one.get("path") not in ours]
    listed += [{"path": place, "type": "table"} for place in places]
    if not listed and not ours:
        return {}
    return {TABLES_TAG: json.dumps(listed), _SENT_TAG: json.dumps(places)}


def listed_tables(tags: Mapping[str, str]) -> set[str]:
    """Return the places of the tables that the last sync sent to a copy."""
    return set(json.loads(tags.get(_SENT_TAG, "[]")))


def _objects(text: str | None) -> list[dict[str, Any]]:
    """Return the objects of a list in JSON; a user may have written anything."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
