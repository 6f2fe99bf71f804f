"""Resolve `extends`: a task that states only how it differs from another task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_symile.config._tables import is_table
from clinical_symile.config.catalog import Catalog, read_toml
from clinical_symile.config.deprecated import PRETRAINING_WORDS
from clinical_symile.errors import DefinitionError

_EXTENDS = "extends"
# Other values to try belong to one task: those of another objective have other fields.
_NOT_INHERITED = ("settings",)


def resolve_task_table(catalog: Catalog, name: str) -> dict[str, Any]:
    """Return what a task's file says, with everything that it inherits.

    A task that has `extends = "NAME"` inherits every key of that task but `settings`, of any
    catalog. Its own value replaces an inherited one; tables are merged by key. A table with another
    `name` than the inherited one replaces it, since other arguments belong to another object.

    Args:
        catalog: the definitions.
        name: the task's name.

    Raises:
        DefinitionError: the file is missing or no TOML, or `extends` names no task of the same
            kind, or leads back to the task.
    """
    return _resolve(catalog, name, ())


def merge_task_tables(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the keys of both, where `own` replaces what it inherits."""
    merged = dict(inherited)
    for key, value in own.items():
        before = merged.get(key)
        if is_table(value) and is_table(before):
            another = value.get("name", before.get("name")) != before.get("name")
            value = value if another else merge_task_tables(before, value)
        merged[key] = value
    return merged


def _resolve(catalog: Catalog, name: str, children: tuple[str, ...]) -> dict[str, Any]:
    path = catalog.path("tasks", name)
    if name in children:
        chain = " extends ".join(f"'{task}'" for task in (*children[children.index(name) :], name))
        raise DefinitionError(
            f"{path}: {chain}; expected an end. Remove one extends.", code="CS-F010"
        )
    own = dict(read_toml(path))
    if _EXTENDS not in own:
        return own
    inherited = _inherited(catalog, own.pop(_EXTENDS), path, (*children, name))
    kind = own.get("kind", inherited.get("kind"))
    if kind != inherited.get("kind"):
        raise DefinitionError(
            f"{path}: kind is '{kind}', but the task that it extends is of kind "
            f"'{inherited.get('kind')}'; expected the same. Remove kind, or extend another task.",
            code="CS-F010",
        )
    if kind == "pretraining":
        own = PRETRAINING_WORDS.update(own, where=str(path))
    return merge_task_tables(inherited, own)


def _inherited(
    catalog: Catalog, parent: object, path: Path, children: tuple[str, ...]
) -> dict[str, Any]:
    if not isinstance(parent, str):
        raise DefinitionError(
            f"{path}: extends is {parent!r}; expected the name of a task.", code="CS-F010"
        )
    if parent not in catalog.tasks:
        try:
            catalog.path("tasks", parent)
        except DefinitionError as error:
            raise DefinitionError(
                *(problem.at(f"{path}: extends") for problem in error.problems), code="CS-F010"
            ) from None
    resolved = _resolve(catalog, parent, children)
    table = {key: value for key, value in resolved.items() if key not in _NOT_INHERITED}
    if table.get("kind") == "pretraining":
        table = PRETRAINING_WORDS.update(table, where=str(catalog.path("tasks", parent)))
    return table
