"""`clinical-symile show` and `schema`: print resolved definitions and their JSON Schemas."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from clinical_symile.config.catalog import open_catalog, read_toml
from clinical_symile.config.cohort_schema import CohortFile
from clinical_symile.config.presets import apply_preset
from clinical_symile.config.report_file import ReportRequirements, read_requirements
from clinical_symile.config.tasks.inheritance import resolve_task_table
from clinical_symile.config.tasks.read import KINDS, read_task, task_digest


def show_definition(directories: Sequence[Path], kind: str, name: str) -> str:
    """Return a definition as TOML, with everything that it inherits.

    Args:
        directories: catalogs beside this package's.
        kind: `cohort`, `task` or `report`.
        name: the name in its catalog; a cohort's may end in a slash and a preset.

    Raises:
        DefinitionError: there is no such definition, or it has problems.
    """
    catalog = open_catalog(directories)
    if kind == "task":
        digest = task_digest(read_task(catalog, name))
        return f"# digest: {digest}\n{tomli_w.dumps(resolve_task_table(catalog, name))}"
    if kind == "report":
        needed = read_requirements(catalog.path("reports", name))
        return tomli_w.dumps(needed.model_dump(mode="json", exclude_defaults=True))
    path = catalog.path("cohorts", name)
    return tomli_w.dumps(apply_preset(read_toml(path), name=name, where=str(path)))


def definition_schema(kind: str) -> str:
    """Return the JSON Schema of a kind of definition, for editors.

    A task's path is its name, so the file has no key `name`; a task that has `extends` may leave
    out what it inherits.

    Args:
        kind: `cohort`, `task` or `report`.
    """
    if kind == "cohort":
        schema = CohortFile.model_json_schema()
    elif kind == "report":
        schema = ReportRequirements.model_json_schema()
    else:
        kinds = [_task_schema(word) for word in KINDS]
        shared = {name: part for one in kinds for name, part in one.pop("$defs", {}).items()}
        schema = {"oneOf": kinds, "$defs": shared}
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps({"$schema": dialect, **schema}, indent=1)


def _task_schema(word: str) -> dict[str, Any]:
    schema = KINDS[word].model_json_schema()
    del schema["properties"]["name"]
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "The task whose other keys this task inherits.",
    }
    required = [key for key in schema.pop("required") if key != "name"]
    schema["anyOf"] = [{"required": ["extends"]}, {"required": required}]
    return schema
