"""State the form of each record as a JSON Schema, and find what in a file is not of this form.

Forms have a version. Files of earlier versions lack fields that have a default today, and fit too.
`schemas/` has each form as a file; a test holds that a form changes only with its version.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

from clinical_symile.data.store_manifest import (
    LABEL_TYPES,
    MANIFEST_TYPES,
    MODALITY_TYPES,
    SPLIT_TYPES,
)
from clinical_symile.registry.docstrings import docstring_section, first_paragraph
from clinical_symile.reporting.benchmark_report import BENCHMARK_FILE, BENCHMARK_TYPES
from clinical_symile.reporting.report_data import REPORT_TYPES
from clinical_symile.tracking.analysis_tables import ANALYSIS_TABLES, Measure
from clinical_symile.tracking.archive import DIGESTS_FORM, FILE_FORM, MANIFEST_FILE, MANIFEST_FORM
from clinical_symile.tracking.benchmark_tables import (
    MaskAuroc,
    MethodComparison,
    MethodRank,
    NetBenefitDifference,
    Robustness,
    SeedComponents,
    TriedSetting,
)
from clinical_symile.tracking.records import parse_json
from clinical_symile.tracking.results import Comparison, Result, SkippedResult
from clinical_symile.tracking.run import RUN_TYPES

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROWS: Mapping[str, type[Any]] = {
    "results": Result,
    "comparisons": Comparison,
    "unscored": SkippedResult,
    "seeds": SeedComponents,
    "ranks": MethodRank,
    "method_comparisons": MethodComparison,
    "net_benefit_differences": NetBenefitDifference,
    "robustness": Robustness,
    "masks": MaskAuroc,
    "settings": TriedSetting,
    **ANALYSIS_TABLES,
}
"""The row of each table, by the table's name."""
SAME_ROWS = {"losses": "comparisons", "above_oracle": "comparisons", "missing_query": "results"}
"""The table with the same rows, by the name of each table that has no form of its own."""
_FILES = {
    **{"run.toml": "run", BENCHMARK_FILE: "benchmark", "manifest.json": "store"},
    **{MANIFEST_FILE: "bundle", "report_data.json": "report_data"},
}
# Of forms that changed since their first release.
_VERSIONS = {"results": 2}
_WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}
_IN_JSON = {"None": "null", "True": "true", "False": "false"}
_PYTHON = re.compile(r"\b(None|True|False)\b")
_TIME = "a time since 1970 in ISO 8601"


@dataclass(frozen=True)
class FieldProblem:
    """A value of a file that is not of the file's form.

    Attributes:
        file: the file.
        line: its line, from 1; None for a file that is one record.
        field: the path of the field, such as `hidden.cxr`; empty for the whole record.
        found: what is there.
        expected: what the form expects.
    """

    file: str
    line: int | None
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        line = "" if self.line is None else f", line {self.line}"
        field = f"{self.field}: " if self.field else ""
        return f"{self.file}{line}: {field}{self.found}; expected {self.expected}."


@dataclass(frozen=True)
class RecordForm:
    """The form of one kind of record.

    Attributes:
        name: such as `results`.
        version: of the form; it grows when a field is added without a default, is removed or means
            something else.
        description: one sentence.
        types: the type of each field.
        defaults: the value of each field that may be missing.
        others: the type of fields that are not listed; None if there may be none.
        meanings: one sentence for some of the fields.
    """

    name: str
    version: int
    description: str
    types: Mapping[str, Any]
    defaults: Mapping[str, Any]
    others: Any
    meanings: Mapping[str, str]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of one record."""
        schema = self._model.model_json_schema()
        about = {
            "$schema": DIALECT,
            "$id": f"urn:clinical-symile:{self.name}:{self.version}",
            "title": self.name,
            "description": self.description,
        }
        return {**about, **{key: part for key, part in schema.items() if key not in about}}

    def problems(self, record: str, *, file: str, line: int | None = None) -> list[FieldProblem]:
        """Find what in a record is not of this form.

        Args:
            record: JSON.
            file: names the file in problems.
            line: its line in the file.
        """
        from pydantic import ValidationError

        no_json = FieldProblem(file, line, "", "is no JSON", f"an object of {self.name}")
        try:
            value = parse_json(record)
        except (ValueError, RecursionError):
            return [no_json]
        try:
            self._model.model_validate_json(record)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            is_json = all(one["type"] != "json_invalid" for one in found)
            return (
                [self._problem(one, value, file, line) for one in found] if is_json else [no_json]
            )
        return []

    def problems_of_lines(self, text: str, *, file: str) -> list[FieldProblem]:
        """Find what in a text with one record per line is not of this form; see `problems`."""
        lines = text.removesuffix("\n").split("\n") if text else []
        return [
            problem
            for number, line in enumerate(lines, start=1)
            for problem in self.problems(line, file=file, line=number)
        ]

    @cached_property
    def _model(self) -> "type[BaseModel]":
        from pydantic import BaseModel, ConfigDict, Field, create_model

        class Base(BaseModel):
            model_config = ConfigDict(
                strict=True,
                extra="forbid" if self.others is None else "allow",
                allow_inf_nan=False,
            )
            __pydantic_extra__: dict[str, self.others or Any]  # pyright: ignore

        columns: dict[str, Any] = {}
        for name, kind in self.types.items():
            default, meaning = self.defaults.get(name, ...), self.meanings.get(name)
            columns[name] = (kind, Field(default, title=name, description=meaning))
        return create_model(self.name, __base__=Base, **columns)

    def _problem(
        self, error: Mapping[str, Any], value: Any, file: str, line: int | None
    ) -> FieldProblem:
        place, kind = error["loc"], error["type"]
        field = ".".join(map(str, place))
        if kind == "missing":
            return FieldProblem(file, line, field, "is missing", self._expected(place))
        if kind == "extra_forbidden":
            known = ", ".join(self.types)
            return FieldProblem(file, line, field, "is no field of this form", f"one of {known}")
        if kind == "finite_number":
            found = "is not finite"
        else:
            for step in place:
                value = value[step]
            found = f"is {_kind_of(value)}"
        expected = _TIME if kind == "value_error" else self._expected(place)
        return FieldProblem(file, line, field, found, expected)

    def _expected(self, place: Sequence[str | int]) -> str:
        """Return what the schema expects at a place, in words."""
        schema = self.schema
        for step in place:
            options = [
                self.schema["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
                for one in (schema, *schema.get("anyOf", ()))
            ]
            inner = [
                part
                for one in options
                for part in (
                    one.get("properties", {}).get(step),
                    one.get("additionalProperties"),
                    one.get("items"),
                )
                if isinstance(part, dict)
            ]
            if not inner:
                return "another value"
            schema = inner[0]
        kinds = [one.get("type", "") for one in schema.get("anyOf", [schema])]
        return " or ".join(_WORDS.get(kind, "an object") for kind in kinds)


def _kind_of(value: Any) -> str:
    names: Mapping[type, str] = {
        **{str: "string", bool: "boolean", int: "integer", float: "number"},
        **{dict: "object", list: "array", type(None): "null"},
    }
    return _WORDS[names[type(value)]]


@cache
def record_forms() -> dict[str, RecordForm]:
    """Return the form of each kind of record, by its name."""
    rows = {name: _form_of_rows(name, row) for name, row in ROWS.items()}
    others = [
        _open_form("history", "One epoch of a training: numbers only.", {"epoch": int}, float),
        _open_form("run", "The record of a run, in `run.toml`.", RUN_TYPES, version=2),
        _open_form(
            "report_data", "What a bundle's report has beside its tables.", REPORT_TYPES, version=2
        ),
        _open_form("bundle", "The hashes of a bundle's files, and its digests.", _bundle_types()),
        _open_form("benchmark", "The record of a benchmark.", BENCHMARK_TYPES, version=2),
        _open_form("store", "The record of a prepared cohort: a store's manifest.", _store_types()),
    ]
    return rows | {form.name: form for form in others}


def form_of_file(name: str) -> RecordForm | None:
    """Return the form of a file of a store, run or benchmark; None for a file of another kind.

    Args:
        name: the file's name, such as `losses.jsonl`.
    """
    stem, _, suffix = name.rpartition(".")
    if suffix == "jsonl":
        kind = SAME_ROWS.get(stem, stem)
        return record_forms().get(kind) if kind in (*ROWS, "history") else None
    return record_forms().get(_FILES.get(name, ""))


def _form_of_rows(name: str, row: type[Any]) -> RecordForm:
    """Return the form of a table's rows; a field with a default may be missing."""
    meanings: dict[str, str] = {}
    # A row that says "the other fields are those of …" shares them with one of these.
    for one in (Result, Measure, row):
        meanings |= {
            name: _PYTHON.sub(lambda word: _IN_JSON[word[0]], text)
            for name, text in docstring_section(one, "Attributes").items()
        }
    hints = get_type_hints(row)
    return RecordForm(
        name=name,
        version=_VERSIONS.get(name, 1),
        description=first_paragraph(row),
        types={one.name: hints[one.name] for one in fields(row)},
        defaults={
            one.name: {} if one.default is MISSING else one.default
            for one in fields(row)
            if one.default is not MISSING or one.default_factory is not MISSING
        },
        others=None,
        meanings=meanings,
    )


def _open_form(
    name: str, description: str, types: Mapping[str, Any], others: Any = Any, *, version: int = 1
) -> RecordForm:
    """Return the form of an object that may have more fields; one that may be null may lack."""
    optional = [key for key, kind in types.items() if _admits_none(kind)]
    return RecordForm(name, version, description, types, dict.fromkeys(optional), others, {})


def _admits_none(kind: Any) -> bool:
    return type(None) in getattr(kind, "__args__", ())


def _bundle_types() -> dict[str, Any]:
    """Return the types of a bundle's manifest, with those of the objects in it."""
    return {
        **MANIFEST_FORM,
        "digests": _nested("digests", DIGESTS_FORM),
        "files": dict[str, _nested("file", FILE_FORM)],
    }


def _nested(name: str, types: Mapping[str, Any]) -> Any:
    """Return the type of an object inside a record."""
    from pydantic import ConfigDict, create_model

    columns: dict[str, Any] = {
        key: (kind, None if _admits_none(kind) else ...) for key, kind in types.items()
    }
    return create_model(name, __config__=ConfigDict(strict=True, extra="allow"), **columns)


def _store_types() -> dict[str, Any]:
    """Return the types of a manifest, with those of the objects in it."""
    modality, split = _nested("modality", MODALITY_TYPES), _nested("split", SPLIT_TYPES)
    labels = _nested("labels", LABEL_TYPES)
    return {
        **MANIFEST_TYPES,
        "modalities": dict[str, modality],
        "counts": dict[str, split],
        "outcomes": dict[str, dict[str, labels]],
    }
