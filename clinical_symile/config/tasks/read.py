"""Read a task's TOML file as `Pretraining`, `Retrieval` or `Classification`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog, read_definition, read_toml
from clinical_symile.config.deprecated import PRETRAINING_WORDS
from clinical_symile.config.overrides import apply_override, parse_override
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DefinitionError
from clinical_symile.hashing import digest_of
from clinical_symile.registry.base import unknown_name_message

Task = Pretraining | Retrieval | Classification
KINDS: dict[str, type[Task]] = {
    "pretraining": Pretraining,
    "retrieval": Retrieval,
    "classification": Classification,
}


def read_task(path: Path, *, name: str, overrides: Sequence[str] = ()) -> Task:
    """Read a task's file.

    Args:
        path: the TOML file.
        name: the task's name in the catalog.
        overrides: `field=value` as after `--set`, with dots into tables; the value is TOML, or a
            string if it is not. Only fields that exist can be set.

    Raises:
        DefinitionError: with every problem of the file and the overrides.
    """
    return parse_task(read_toml(path), name=name, overrides=overrides, where=str(path))


def pretraining_task(catalog: Catalog, name: str, overrides: Sequence[str]) -> Pretraining:
    """A pretraining task of the catalog with some fields set.

    Raises:
        DefinitionError: no such task, or of another kind, or with problems.
    """
    task = read_task(catalog.path("tasks", name), name=name, overrides=overrides)
    if not isinstance(task, Pretraining):
        raise DefinitionError(
            f"task '{name}' is of kind {task.kind}; expected pretraining. "
            "`clinical-symile list tasks` shows all."
        )
    return task


def parse_task(
    table: Mapping[str, Any], *, name: str, where: str, overrides: Sequence[str] = ()
) -> Task:
    """A task from what its file says, as `read_task`."""
    if "name" in table:
        raise DefinitionError(f"{where}: has a key 'name'; the path is the name. Remove it.")
    for override in overrides:
        table = PRETRAINING_WORDS.without_replaced(table, parse_override(override)[0])
        table = apply_override(table, override)
    kind = table.get("kind")
    if kind not in KINDS:
        raise DefinitionError(f"{where}: {unknown_name_message(str(kind), KINDS, what='kind')}")
    if kind == "pretraining":
        table = PRETRAINING_WORDS.update(table, where=where)
    return read_definition(KINDS[kind], {**table, "name": name}, where=where)


def task_digest(task: Task) -> str:
    """A digest of all that a task says but its description, its place and its margin."""
    content = task.model_dump(mode="json", exclude={"name", "description", "margin"})
    return digest_of(json.dumps(content, sort_keys=True))


def applicability_problems(
    task: Retrieval | Classification, modalities: Sequence[str], outcomes: Sequence[str]
) -> list[str]:
    """Why a task cannot be asked of a cohort that has these; empty if it can."""
    wanted = task.outcomes if isinstance(task, Classification) else ()
    problems = []
    if absent := [f"'{name}'" for name in task.modalities if name not in modalities]:
        problems.append(f"it has no modality {', '.join(absent)}, only {', '.join(modalities)}.")
    if uncoded := [f"'{name}'" for name in wanted if name not in outcomes]:
        has = ", ".join(outcomes) or "none"
        problems.append(f"it codes no outcome {', '.join(uncoded)}; it has {has}.")
    return problems
