"""Propose which raw table holds admissions, recordings and labs, and what their columns mean."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clinical_symile.data.wizard.column_words import (
    has_hint,
    holds_sexes,
    propose_outcomes,
)
from clinical_symile.data.wizard.lab_codes import LabCode, propose_lab_codes
from clinical_symile.data.wizard.profile import Column, RawTable, plain_words
from clinical_symile.errors import DataError
from clinical_symile.modalities.base import file_exists

_IMAGES = (".jpg", ".jpeg", ".png", ".dcm", ".dicom")
_SUFFIXES = ("", *_IMAGES)
_FRONTAL = {"ap", "pa", "face", "frontal", "frontale"}
_TRIED = 200
_LINKED = 0.9
_FEWEST_IDS = 0.1  # persons per admission


@dataclass(frozen=True)
class StayTable:
    """The table with one row per admission.

    Attributes:
        table: the raw table.
        sample: column that identifies an admission.
        subject: column that identifies a person.
        admitted: column with the time of admission; None if there is no date.
        discharged: column with the time of discharge; None if there is none.
        sex: column; None if there is none.
        outcomes: columns with two values, by a name for the outcome; the values for yes and no.
        died: column with the time of death; None if there is none.
    """

    table: RawTable
    sample: Column
    subject: Column
    admitted: Column | None
    discharged: Column | None
    sex: Column | None
    outcomes: Mapping[str, tuple[Column, tuple[str, ...], tuple[str, ...]]]
    died: Column | None = None


@dataclass(frozen=True)
class SubjectTable:
    """A table with one row per person, which adds to the admissions what they lack.

    Attributes:
        table: the raw table.
        key: column that identifies a person.
        sex: column; None if there is none, or admissions have one.
        died: column with the time of death; None if there is none, or admissions have one.
    """

    table: RawTable
    key: Column
    sex: Column | None
    died: Column | None


@dataclass(frozen=True)
class RecordingTable:
    """Files of one modality that a table lists.

    Attributes:
        modality: `cxr` or `ecg`.
        table: the raw table.
        key: column that links it to admissions.
        key_of: `sample` or `subject`.
        file: column that names the file.
        path: the file's path, with `{file}` for the column's value.
        taken: column with the time; None if there is none.
        kind: column and values of the rows of this modality; None if all rows are.
        frontal: column and values of frontal views; None if the table has no such column.
    """

    modality: str
    table: RawTable
    key: Column
    key_of: str
    file: Column
    path: str
    taken: Column | None
    kind: tuple[Column, tuple[str, ...]] | None = None
    frontal: tuple[Column, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class LabTable:
    """The table with one row per lab value.

    Attributes:
        table: the raw table.
        key: column that links it to admissions.
        key_of: `sample` or `subject`.
        code: column with the lab code.
        value: column with the value.
        unit: column with the unit; None if there is none.
        taken: column with the time; None if there is none.
        codes: what the codes probably are.
    """

    table: RawTable
    key: Column
    key_of: str
    code: Column
    value: Column
    unit: Column | None
    taken: Column | None
    codes: Sequence[LabCode]


@dataclass(frozen=True)
class Roles:
    """The meaning of the tables of a source folder.

    Attributes:
        stays: the table of admissions.
        recordings: by modality.
        labs: the table of lab values; None if there is none.
        unused: tables that have no meaning here.
        subjects: the table of persons; None if there is none.
    """

    stays: StayTable
    recordings: Mapping[str, RecordingTable] = field(default_factory=dict)
    labs: LabTable | None = None
    unused: Sequence[str] = ()
    subjects: SubjectTable | None = None

    @property
    def has_sex(self) -> bool:
        """Return whether a table states the sex."""
        return self.stays.sex is not None or (self.subjects is not None and bool(self.subjects.sex))

    @property
    def died(self) -> Column | None:
        """The column with the time of death; None if there is none."""
        return self.stays.died or (self.subjects.died if self.subjects else None)


def propose_roles(tables: Sequence[RawTable], raw: Path) -> Roles:
    """Propose the meaning of each table.

    Args:
        tables: of the source folder.
        raw: the source folder, which holds the recordings too.

    Raises:
        DataError: no table has one row per admission.
    """
    recordings = {table.key: _file_columns(table, raw) for table in tables}
    stays = _stays(tables, with_files={key for key, files in recordings.items() if files})
    found: dict[str, RecordingTable] = {}
    labs, unused, subjects = None, [], None
    for table in tables:
        is_stays = table is stays.table
        link = (stays.sample, "sample") if is_stays else _link(table, stays)
        if is_stays and not recordings[table.key]:
            continue
        if link is None:
            unused.append(table.file)
        elif recordings[table.key]:
            for one in _recordings(table, link, recordings[table.key]):
                found.setdefault(one.modality, one)
        elif subjects is None and (persons := _subjects(table, link, stays)):
            subjects = persons
        elif labs is None and (made := _labs(table, link)):
            labs = made
        else:
            unused.append(table.file)
    return Roles(stays, found, labs, unused, subjects)


def _stays(tables: Sequence[RawTable], *, with_files: Collection[str]) -> StayTable:
    """Propose the table of admissions: one that names files only if no other qualifies."""
    rated = [
        (table.key not in with_files, score, -table.rows, table.key, table)
        for table in tables
        if (score := _stays_score(table, tables)) is not None
    ]
    if not rated:
        raise DataError(
            "no table has one row per admission: a column that differs in every row. Export one "
            "with an id of the admission, an id of the person and the time of admission.",
            code="CS-D004",
        )
    table = max(rated, key=lambda one: one[:4])[4]
    unique = [one for one in table.columns.values() if one.is_unique and not one.is_date]
    sample = next((one for one in unique if has_hint(one, "sample")), unique[0])
    others = [one for one in table.columns.values() if one is not sample]
    subject = next((one for one in others if has_hint(one, "subject")), None)
    subject = subject or _linked_column(others, [one for one in tables if one is not table])
    subject = subject or sample
    died = _death_date(others)
    dates = [
        one for one in others if one.is_date and not has_hint(one, "birth") and one is not died
    ]
    admitted = next((one for one in dates if has_hint(one, "admitted")), None) or next(
        iter(dates), None
    )
    discharged = next(
        (one for one in dates if has_hint(one, "discharged") and one is not admitted), None
    )
    sex = _sex(others)
    outcomes = propose_outcomes([one for one in others if one not in (subject, sex)])
    return StayTable(table, sample, subject, admitted, discharged, sex, outcomes, died)


def _sex(columns: Sequence[Column]) -> Column | None:
    """Return the column of the sex, by its name or its values."""
    named = (one for one in columns if has_hint(one, "sex"))
    return next(named, None) or next((one for one in columns if holds_sexes(one)), None)


def _linked_column(columns: Sequence[Column], others: Sequence[RawTable]) -> Column | None:
    """Return the column of ids that most other tables have too, whatever it is called.

    A column of few values, such as that of the sex, is none.
    """
    counts = {
        column.name: sum(
            any(_is_link(one, column) for one in other.columns.values()) for other in others
        )
        for column in columns
        if not column.is_date and len(column.distinct) >= max(3, _FEWEST_IDS * column.rows)
    }
    most = max(counts.values(), default=0)
    return next((one for one in columns if most and counts.get(one.name) == most), None)


def _death_date(columns: Sequence[Column]) -> Column | None:
    return next((one for one in columns if one.is_date and has_hint(one, "death")), None)


def _subjects(table: RawTable, link: tuple[Column, str], stays: StayTable) -> SubjectTable | None:
    """Propose a table as that of persons, if it has one row per person and adds something."""
    key, key_of = link
    if key_of != "subject" or not key.is_unique:
        return None
    others = [one for one in table.columns.values() if one is not key]
    sex = None if stays.sex else _sex(others)
    died = None if stays.died else _death_date(others)
    return SubjectTable(table, key, sex, died) if sex or died else None


def _stays_score(table: RawTable, tables: Sequence[RawTable]) -> int | None:
    """Score how much a table looks like admissions; None if no column differs in every row."""
    unique = [one for one in table.columns.values() if one.is_unique and not one.is_date]
    if not unique:
        return None
    linked = sum(
        any(_is_link(column, own) for column in other.columns.values() for own in unique)
        for other in tables
        if other is not table
    )
    hints = sum(has_hint(one, "sample") for one in unique)
    dates = sum(one.is_date for one in table.columns.values())
    return 2 * linked + 2 * hints + dates


def _is_link(column: Column, target: Column) -> bool:
    """Return True if a column's values are ids of another table."""
    if column.is_date or not len(column.values):
        return False
    shared = len(column.distinct & target.distinct) / len(column.distinct)
    alike = column.words == target.words
    return shared >= _LINKED and (alike or len(column.distinct) >= 0.3 * len(target.distinct))


def _link(table: RawTable, stays: StayTable) -> tuple[Column, str] | None:
    """The column that links a table to admissions, and to which id of these."""
    for target, name in ((stays.sample, "sample"), (stays.subject, "subject")):
        columns = [one for one in table.columns.values() if _is_link(one, target)]
        columns.sort(key=lambda one: (one.words != target.words, not has_hint(one, name)))
        if columns:
            return columns[0], name
    return None


def _file_columns(table: RawTable, raw: Path) -> dict[tuple[str, str], list[str]]:
    """The columns that name files: (column, path with `{file}`), and the modality of each value."""
    folders = [
        "",
        *(f"{one.relative_to(raw).as_posix()}/" for one in sorted(raw.rglob("*")) if one.is_dir()),
    ]
    found: dict[tuple[str, str], list[str]] = {}
    for column in table.columns.values():
        if column.is_date or len(column.distinct) < 2 or _is_measured(column):
            continue
        tried = list(column.values[:_TRIED])
        best = max(
            ((folder, suffix) for folder in folders for suffix in _SUFFIXES),
            key=lambda one: sum(bool(_resolve(raw, one, value)) for value in tried),
        )
        hits = [value for value in tried if _resolve(raw, best, value)]
        if len(hits) >= 0.5 * len(tried):
            found[column.name, f"{best[0]}{{file}}{best[1]}"] = [
                _modality(_resolve(raw, best, value), column) for value in column.values
            ]
    return found


def _is_measured(column: Column) -> bool:
    """Return True for numbers that repeat, such as ages, although a file `78.png` exists."""
    return column.is_number and len(column.distinct) < _LINKED * len(column.values)


def _resolve(raw: Path, form: tuple[str, str], value: str) -> str:
    """The file that a value names; WFDB records may be named without `.hea`."""
    for suffix in (form[1], ".hea"):
        path = f"{form[0]}{value}{suffix}"
        if file_exists(raw / path):
            return path
    return ""


def _modality(path: str, column: Column) -> str:
    if not path:
        return ""
    if path.endswith((".hea", ".dat")):
        return "ecg"
    hinted = has_hint(column, "ecg") or re.search(r"ekg|ecg", path.lower()) is not None
    return "ecg" if hinted else "cxr"


def _recordings(
    table: RawTable, link: tuple[Column, str], files: Mapping[tuple[str, str], list[str]]
) -> list[RecordingTable]:
    dates = [one for one in table.columns.values() if one.is_date]
    taken = next((one for one in dates if not has_hint(one, "birth")), None)
    found = []
    for (name, path), modalities in files.items():
        column = table.columns[name]
        for modality in ("cxr", "ecg"):
            if modality not in modalities:
                continue
            kind = _kind(table, column, modalities, modality)
            frontal = _frontal(table) if modality == "cxr" else None
            found.append(RecordingTable(modality, table, *link, column, path, taken, kind, frontal))
    return found


def _kind(
    table: RawTable, file: Column, modalities: Sequence[str], modality: str
) -> tuple[Column, tuple[str, ...]] | None:
    """The column that tells the rows of one modality from those of another."""
    if set(modalities) - {""} == {modality}:
        return None
    by_row = dict(zip(file.values.index, modalities, strict=True))
    for column in table.columns.values():
        if column is file or not 2 <= len(column.distinct) <= 20:
            continue
        groups: dict[str, set[str]] = {}
        for row, value in column.values.items():
            if by_row.get(row):
                groups.setdefault(value, set()).add(by_row[row])
        if groups and all(len(group) == 1 for group in groups.values()):
            own = sorted(value for value, group in groups.items() if group == {modality})
            return column, tuple(own)
    return None


def _frontal(table: RawTable) -> tuple[Column, tuple[str, ...]] | None:
    for column in table.columns.values():
        own = sorted(value for value in column.distinct if plain_words(value) in _FRONTAL)
        if own and len(column.distinct) <= 20:
            return column, tuple(own)
    return None


def _labs(table: RawTable, link: tuple[Column, str]) -> LabTable | None:
    others = [one for one in table.columns.values() if one is not link[0] and not one.is_date]
    unit = next((one for one in others if has_hint(one, "unit")), None)
    values = [one for one in others if one.is_number and len(one.distinct) > 2]
    codes = [
        one
        for one in others
        if one is not unit and not one.is_number and 1 < len(one.distinct) < 0.5 * table.rows
    ]
    if not values or not codes:
        return None
    value = max(values, key=lambda one: len(one.distinct))
    code = max(codes, key=lambda one: len(one.distinct))
    dates = [one for one in table.columns.values() if one.is_date]
    proposed = propose_lab_codes(
        code.values,
        value.values.reindex(code.values.index),
        None if unit is None else unit.values.reindex(code.values.index),
    )
    return LabTable(table, *link, code, value, unit, next(iter(dates), None), proposed)
