"""Read a task's TOML file as an object of its kind: see `KINDS`."""

import json
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from clinical_symile.config._tables import is_table
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.component import WEIGHTS
from clinical_symile.config.definition import read_definition
from clinical_symile.config.deprecated import PRETRAINING_WORDS
from clinical_symile.config.overrides import apply_override, parse_override, replace_field
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.encoders import without_source
from clinical_symile.config.tasks.inheritance import resolve_task_table
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.recipes import FIELD as RECIPE
from clinical_symile.config.tasks.recipes import with_recipe
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DefinitionError
from clinical_symile.hashing import digest_of
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.names import file_name
from clinical_symile.registry.run_names import is_reserved_name

Task = Pretraining | Retrieval | Classification | DiagnosticTask
# Fields with the values that leave a digest as it was before they existed.
_LATER_FIELDS = {
    **dict.fromkeys(
        (
            *("balance", "modality_dropout", "side", "start", "temperature_schedule"),
            "undersample",
        )
    ),
    "batches": "shuffled",
    "recipe": "basic",
}
_NOT_IN_DIGEST = {"name", "description", "margin", "settings"}
KINDS: dict[str, type[Task]] = {
    "pretraining": Pretraining,
    "retrieval": Retrieval,
    "classification": Classification,
    "diagnostic": DiagnosticTask,
}


def read_task(catalog: Catalog, name: str, *, overrides: Sequence[str] = ()) -> Task:
    """Read a task with everything that it inherits.

    Args:
        catalog: the definitions.
        name: the task's name.
        overrides: `field=value` as after `--set`, with dots into tables; the value is TOML, or a
            string if it is not. Only fields that exist can be set.

    Raises:
        DefinitionError: there is no such task, or the file or an override is wrong; all problems
            at once.
    """
    table, where = _read_table(catalog, name, overrides), str(catalog.path("tasks", name))
    return parse_task(table, name=name, overrides=overrides, where=where)


def pretraining_task(catalog: Catalog, name: str, overrides: Sequence[str]) -> Pretraining:
    """Read a pretraining task, see `read_task`.

    Raises:
        DefinitionError: there is no such task, or it is of another kind, or it has problems.
    """
    task = read_task(catalog, name, overrides=overrides)
    if not isinstance(task, Pretraining):
        raise DefinitionError(
            f"task '{name}' is of kind {task.kind}; expected pretraining. "
            "`clinical-symile list tasks` shows all.",
            code="CS-F011",
        )
    return task


def setting_tasks(
    catalog: Catalog,
    name: str,
    overrides: Sequence[str],
    *,
    settings: Sequence[Mapping[str, Any]] | None = None,
) -> tuple[Pretraining, ...]:
    """Read a pretraining task in each of its settings, its own first; see `Pretraining.settings`.

    Args:
        catalog: the definitions.
        name: the task's name.
        overrides: as for `read_task`; they are applied before a setting.
        settings: the other settings, instead of those that the task lists.

    Raises:
        DefinitionError: as for `pretraining_task`, or a setting changes no field of the task.
    """
    task = pretraining_task(catalog, name, overrides)
    if settings is not None:
        task = task.model_copy(update={"settings": tuple(dict(one) for one in settings)})
    table, where = _read_table(catalog, name, overrides), str(catalog.path("tasks", name))
    table = PRETRAINING_WORDS.update(_overridden(table, overrides), where=where)
    table["name"] = name
    return (task, *_other_settings(table, task.settings, where=where))


def shown_task_table(catalog: Catalog, name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what a task says: all that it inherits, its recipe's fields, and what is set."""
    return dict(_overridden(_read_table(catalog, name, overrides), overrides))


def _read_table(catalog: Catalog, name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what a task's file says, with everything that it inherits and its recipe's fields."""
    table = resolve_task_table(catalog, name)
    return with_recipe(table, overrides) if table.get("kind") == "pretraining" else table


def parse_task(
    table: Mapping[str, Any], *, name: str, where: str, overrides: Sequence[str] = ()
) -> Task:
    """Check a task's table.

    Args:
        table: what the file says, with everything that it inherits.
        name: the task's name.
        where: the file, for messages.
        overrides: as for `read_task`.

    Raises:
        DefinitionError: with every problem of the table and the overrides.
    """
    if "name" in table:
        raise DefinitionError(
            f"{where}: has a key 'name'; the path is the name. Remove it.", code="CS-F003"
        )
    table = _overridden(table, overrides)
    kind = table.get("kind")
    if kind not in KINDS:
        raise DefinitionError(
            f"{where}: {unknown_name_message(str(kind), KINDS, what='kind')}", code="CS-F003"
        )
    if kind == "pretraining":
        _check_method_name(name, where=where)
        table = PRETRAINING_WORDS.update(table, where=where)
    task = read_definition(KINDS[kind], {**table, "name": name}, where=where)
    if isinstance(task, Pretraining) and not overrides:
        # With another objective from an override, the settings need not fit: `setting_tasks` says.
        _other_settings({**table, "name": name}, task.settings, where=where)
    return task


def _overridden(table: Mapping[str, Any], overrides: Sequence[str]) -> Mapping[str, Any]:
    """Return a table with the fields that are set on the command line, in old words or new."""
    for override in overrides:
        table = PRETRAINING_WORDS.without_replaced(table, parse_override(override)[0])
        table = apply_override(table, override)
    return table


def _other_settings(
    table: Mapping[str, Any], settings: Sequence[Mapping[str, Any]], *, where: str
) -> list[Pretraining]:
    """Return the task in each of its other settings, which have no settings of their own."""
    tasks: list[Pretraining] = []
    problems: list[Any] = []
    for number, setting in enumerate(settings, start=2):
        place, changed = f"{where}: setting {number}", {**table, "settings": ()}
        try:
            if not setting:
                raise DefinitionError(
                    f"{place}: changes no field; expected one at least. Remove it.", code="CS-F003"
                )
            if isinstance(word := setting.get(RECIPE), str):
                changed = with_recipe({**changed, RECIPE: word})
            for field, value in setting.items():
                changed = replace_field(changed, field, value, where=place)
            tasks.append(read_definition(Pretraining, changed, where=place))
        except DefinitionError as error:
            problems += error.problems
    if problems:
        raise DefinitionError(*problems, code="CS-F003")
    return tasks


def _check_method_name(name: str, *, where: str) -> None:
    """Refuse a pretraining task whose name tables would show as the oracle's or a baseline's."""
    method = "-".join(name.split("/")[1:])
    if is_reserved_name(method) or is_reserved_name(method.replace("_", "-")):
        raise DefinitionError(
            f"{where}: task '{name}' has the name of the oracle or of a baseline; expected another "
            "one, because tables and figures show a method by it. Rename the file.",
            code="CS-F003",
        )


def portable_fields(task: Task, *, exclude: Set[str]) -> dict[str, Any]:
    """Return the fields of a task, with the names of the run and the weights that it starts from.

    Their paths may hold what must not leave the machine; the run's record has the SHA-256 of each.
    """
    fields = task.model_dump(mode="json", exclude={*exclude})
    if isinstance(task, Pretraining):
        if task.start is not None:
            fields["start"] = Path(task.start).resolve().name
        for encoder in fields["encoders"].values():
            for key in (WEIGHTS, "training_list"):
                if isinstance(encoder.get(key), str):
                    encoder[key] = file_name(encoder[key])
    return fields


def argument_files(task: Pretraining) -> dict[str, Path]:
    """Return the files that arguments of a task's components name, such as `encoders.cxr.weights`.

    A relative path starts from the current folder, as in the components. Weights may be a folder.
    """
    tables = {"objective": task.objective}
    tables |= {f"encoders.{name}": encoder for name, encoder in task.encoders.items()}
    tables |= {f"augment.{name}": change for name, change in task.augment.items()}
    return {
        f"{where}.{key}": Path(value)
        for where, component in tables.items()
        for key, value in component.arguments.items()
        if isinstance(value, str) and _is_file(key, value)
    }


def _is_file(key: str, text: str) -> bool:
    exists = os.path.exists if key == WEIGHTS else os.path.isfile  # False for any text
    return exists(text)


def task_digest(task: Task) -> str:
    """Compute a digest of a resolved task without its description, name, margin and settings."""
    return table_digest(portable_fields(task, exclude=_NOT_IN_DIGEST))


def table_digest(table: Mapping[str, Any]) -> str:
    """Compute the digest of a task from its resolved fields, as `portable_fields` returns them."""
    content = {key: value for key, value in table.items() if key not in _NOT_IN_DIGEST}
    for field, default in _LATER_FIELDS.items():
        if content.get(field) == default:
            content.pop(field, None)
    if is_table(encoders := content.get("encoders")):
        content["encoders"] = {name: without_source(one) for name, one in encoders.items()}
    return digest_of(json.dumps(content, sort_keys=True))


def applicability_problems(
    task: Retrieval | Classification | DiagnosticTask,
    modalities: Sequence[str],
    outcomes: Sequence[str],
) -> list[str]:
    """Return why a task does not apply to a cohort, a sentence each; empty if it applies.

    Args:
        task: the task.
        modalities: the modalities of the cohort.
        outcomes: the outcomes that the cohort defines.
    """
    problems: list[str] = []
    if absent := [f"'{name}'" for name in task.modalities if name not in modalities]:
        problems.append(f"it has no modality {', '.join(absent)}, only {', '.join(modalities)}.")
    if uncoded := [f"'{name}'" for name in task.outcomes if name not in outcomes]:
        has = ", ".join(outcomes) or "none"
        problems.append(f"it codes no outcome {', '.join(uncoded)}; it has {has}.")
    return problems
