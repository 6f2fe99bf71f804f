"""Turn what a report is made from into files, and back, so that a bundle can be rendered again.

Examples of queries are left out: they are rows of a store, if only of a synthetic one.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.formatting import mask_subject_counts
from clinical_symile.reporting.bundle_definitions import FOLDERS_LEFT_OUT
from clinical_symile.reporting.cohort_counts import shareable_cohort
from clinical_symile.reporting.record_forms import ROWS
from clinical_symile.reporting.report_data import REPORT_TYPES, ReportData
from clinical_symile.tracking.analysis_tables import ANALYSIS_TABLES, RunAnalysis
from clinical_symile.tracking.disclosure import without_folders
from clinical_symile.tracking.records import parse_json, wrong_fields
from clinical_symile.tracking.results import parse_rows, rows_text

DATA_FILE = "report_data.json"
_ACTION = "Get the bundle again from its author."
_TASK_TYPES: Mapping[str, Any] = {"kind": str, "primary": str, "higher_is_better": bool | None}
_TASKS, _JSON, _LINES = "tasks/", ".json", ".jsonl"
# The table of each field of `ReportData` that is one, with the form of its rows.
_TABLES: Mapping[str, tuple[str, str]] = {
    "results": ("results", "results"),
    "comparisons": ("comparisons", "comparisons"),
    "losses": ("losses", "comparisons"),
    "seeds": ("seeds", "seeds"),
    "ranks": ("ranks", "ranks"),
    "methods_compared": ("method_comparisons", "method_comparisons"),
    "net_benefit_differences": ("net_benefit_differences", "net_benefit_differences"),
    "settings": ("settings", "settings"),
    "robustness": ("robustness", "robustness"),
    "masks": ("masks", "masks"),
    "results_by_rule": ("missing_query", "results"),
    "unscored": ("unscored", "unscored"),
    "above_best": ("above_oracle", "comparisons"),
}


def shareable_data(data: ReportData) -> ReportData:
    """Return the data of a report without what may not leave the machine.

    The data of reports lack the results that a run's folder withholds, and are rounded for real
    subjects. A bundle also has no folders, and its counts of the cohort are words.
    """
    return replace(
        data,
        cohort=shareable_cohort(data.cohort),
        runs=[_shareable_run(record) for record in data.runs],
        notes=[mask_subject_counts(note) for note in data.notes],
        unscored=[replace(row, reason=mask_subject_counts(row.reason)) for row in data.unscored],
        gallery=(),
    )


def _shareable_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without folders; one whose definition named some is marked."""
    made = without_folders(record)
    same = made.get("definition") == record.get("definition")
    return made if same else {**made, FOLDERS_LEFT_OUT: True}


def report_files(data: ReportData) -> dict[str, bytes]:
    """Return the files from which `read_report_files` makes the same data again.

    Args:
        data: what `shareable_data` returned.
    """
    rest = {name: getattr(data, name) for name in REPORT_TYPES if name != "tasks"}
    files = {DATA_FILE: _json({"tasks": [*data.tasks], **rest})}
    files |= {f"{_TASKS}{name}{_JSON}": _json(dict(table)) for name, table in data.tasks.items()}
    tables = {table: getattr(data, field) for field, (table, _) in _TABLES.items()}
    tables |= {name: getattr(data.analysis, name) for name in ANALYSIS_TABLES}
    return files | {f"{name}{_LINES}": rows_text(rows).encode() for name, rows in tables.items()}


def is_report_file(name: str, tasks: Collection[str]) -> bool:
    """Return True for the name of a file that `report_files` returns for some tasks."""
    tables = {*(table for table, _ in _TABLES.values()), *ANALYSIS_TABLES}
    known = {f"{table}{_LINES}" for table in tables} | {f"{_TASKS}{one}{_JSON}" for one in tasks}
    return name == DATA_FILE or name in known


def read_report_files(files: Mapping[str, bytes], *, where: str) -> ReportData:
    """Make the data of a report from its files.

    Args:
        files: what `report_files` returned; other files are left alone.
        where: the bundle, for messages.

    Raises:
        DataError: a file is missing or of another form.
    """
    about = _object(files, DATA_FILE, REPORT_TYPES, where)
    if problems := wrong_fields(about["cohort"], {"title": str}):
        raise DataError(
            f"{where}: {DATA_FILE}, cohort: {'; '.join(problems)}. {_ACTION}", code="CS-R023"
        )

    def rows(table: str, form: str) -> list[Any]:
        name = f"{table}{_LINES}"
        lines = _text(files, name, where).split("\n")[:-1]
        return parse_rows(lines, ROWS[form], where=f"{where}: {name}", action=_ACTION)

    given = {name: about.get(name) for name in REPORT_TYPES if name != "tasks"}
    rest: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    tables: dict[str, Any] = {field: rows(*place) for field, place in _TABLES.items()}
    return ReportData(
        **rest,
        **tables,
        tasks={
            name: _object(files, f"{_TASKS}{name}{_JSON}", _TASK_TYPES, where)
            for name in about["tasks"]
        },
        analysis=RunAnalysis(**{name: rows(name, name) for name in ANALYSIS_TABLES}),
    )


def _object(
    files: Mapping[str, bytes], name: str, types: Mapping[str, Any], where: str
) -> dict[str, Any]:
    text = _text(files, name, where)
    try:
        found = parse_json(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        problems = wrong_fields(found, types)
        if not problems:
            return found | {key: None for key in types if key not in found}
    else:
        problems = ["is no object"]
    raise DataError(f"{where}: {name}: {'; '.join(problems)}. {_ACTION}", code="CS-R023")


def _text(files: Mapping[str, bytes], name: str, where: str) -> str:
    try:
        return files[name].decode()
    except (KeyError, UnicodeDecodeError) as error:
        state = "is missing" if isinstance(error, KeyError) else "is no text in UTF-8"
        raise DataError(f"{where}: {name}: {state}. {_ACTION}", code="CS-R023") from None


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
