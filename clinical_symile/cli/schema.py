"""`clinical-symile schema`: print the JSON Schema of a kind of definition or record."""

import argparse
import json
from typing import Any

from clinical_symile.config.cohort_schema import CohortFile
from clinical_symile.config.report_file import ReportRequirements
from clinical_symile.config.tasks.read import KINDS
from clinical_symile.reporting.record_forms import record_forms

_DEFINITIONS = ("cohort", "task", "report")


def add_schema_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `schema`."""
    records = [*record_forms()]
    parser.add_argument(
        "what",
        metavar="KIND",
        choices=(*_DEFINITIONS, *records),
        help=f"a definition ({', '.join(_DEFINITIONS)}) or a record ({', '.join(records)})",
    )


def run_schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of a kind."""
    is_record = options.what not in _DEFINITIONS
    print(record_schema(options.what) if is_record else definition_schema(options.what))
    return 0


def record_schema(kind: str) -> str:
    """Return the JSON Schema of a kind of record.

    Args:
        kind: such as `results`.
    """
    return json.dumps(record_forms()[kind].schema, indent=1, ensure_ascii=False)


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
