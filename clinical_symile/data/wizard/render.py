"""Write the files of a proposed cohort: definition, query, lab panel and list of lab codes."""

import csv
import io
import json
from collections.abc import Sequence

from clinical_symile.data.wizard.column_words import MORTALITY, first_is_yes
from clinical_symile.data.wizard.lab_codes import LabCode
from clinical_symile.data.wizard.profile import Column, RawTable
from clinical_symile.data.wizard.roles import (
    LabTable,
    RecordingTable,
    Roles,
    StayTable,
)
from clinical_symile.formatting import SMALLEST_COUNT, format_count

_HOURS = {"cxr": (0, 48), "ecg": (24, 24), "labs": (24, 24)}  # before and after admission
_SIZE_PX = 320


def cohort_toml(name: str, roles: Roles) -> str:
    """Return `cohort.toml`; `# TODO` marks what the tables do not say."""
    stays, kept = roles.stays, ["sex"] * roles.has_sex
    measured = [f"{modality}_h" for modality in _modalities(roles) if _has_time(roles, modality)]
    tables = [stays.table, *(one.table for one in roles.recordings.values())]
    tables += [one.table for one in (roles.subjects, roles.labs) if one]
    files = {table.key: table.file for table in tables}
    same = stays.subject is stays.sample
    lines = [
        f"title       = {_text(name)}                       # TODO the name of the hospital",
        'description = "Chest X-ray, ECG and labs of one admission."      # TODO one sentence',
        'access      = "institutional"            # TODO or open, registered, credentialed',
        'license     = "internal"                 # TODO the terms of use',
        'citation    = "unpublished"              # TODO how to cite the data',
        *_encoding(tables),
        "",
        "[samples]",
        'sql      = "samples.sql"',
        'sample   = "sample"                      # ' + f"{stays.table.file}: {stays.sample.name}",
        'subject  = "subject"                     # '
        + (
            "TODO no column of persons was found: a person with two admissions counts as two"
            if same
            else f"{stays.table.file}: {stays.subject.name}"
        ),
        "split    = { tuning = 0.15, held_out = 0.25, seed = 0 }",
    ]
    if measured:
        lines.append(f"measurement_hours = {json.dumps(measured)}      # after admission")
    if kept:
        lines.append(f"keep     = {json.dumps(kept)}")
    lines += ["", "[tables]", *(f"{key} = {_text(file)}" for key, file in files.items())]
    lines += _encoding_of_each(tables)
    # All columns are read as text; samples.sql converts dates and numbers.
    lines += [line for key in files for line in ("", f"[types.{key}]")]
    for modality in ("cxr", "ecg"):
        if modality in roles.recordings:
            path = roles.recordings[modality].path.replace("{file}", f"{{{modality}_file}}")
            lines += ["", f"[modalities.{modality}]", f"path = {_text(path)}"]
            lines += [f"size_px = {_SIZE_PX}"] * (modality == "cxr")
    if roles.labs:
        lines += [
            *("", "[modalities.labs]", 'panel    = "labs.csv"'),
            'censored = "refused"                     # TODO <0.01 counts as limit, half, absent',
        ]
    lines += _outcomes(roles)
    if roles.has_sex:
        lines += ["", "[subgroups.sex]", 'column = "sex"']
    return "\n".join(lines) + "\n"


def _encoding(tables: Sequence[RawTable]) -> list[str]:
    """Return the key for all tables, if they have one encoding, and it is not UTF-8."""
    (encoding, *others) = dict.fromkeys(table.encoding for table in tables)
    return [] if others or encoding == "utf-8" else [f"encoding    = {_text(encoding)}"]


def _encoding_of_each(tables: Sequence[RawTable]) -> list[str]:
    found = {table.key: table.encoding for table in tables}
    if len({*found.values()}) < 2:
        return []
    lines = [f"{key} = {_text(one)}" for key, one in found.items() if one != "utf-8"]
    return ["", "[encoding]", *lines]


def samples_sql(roles: Roles) -> str:
    """Return `samples.sql`: one row per admission with the first recording of each modality."""
    stays = roles.stays
    parts = [_stays_part(roles), *_deaths_part(roles), *_sexes_part(roles)]
    parts += [_recording_part(one, stays) for one in roles.recordings.values()]
    parts += [_labs_part(roles.labs, stays)] if roles.labs else []
    joined = [f"LEFT JOIN first_{name} USING (sample)" for name in _modalities(roles)]
    dropped = ["admitted", "discharged"]
    columns = [f"* EXCLUDE ({', '.join(dropped)})"]
    if _deaths_part(roles):
        joined.append("LEFT JOIN deaths USING (subject)")
        own = [MORTALITY] if MORTALITY in stays.outcomes else []
        dropped += [*own, "died_at"]
        columns = [f"* EXCLUDE ({', '.join(dropped)})", _mortality(roles)]
    if _sexes_part(roles):
        joined.append("LEFT JOIN sexes USING (subject)")
    return (
        "-- One row per admission, in DuckDB's SQL. Proposed from the tables; check every TODO.\n"
        "WITH "
        + ",\n\n".join(parts)
        + "\n\nSELECT\n    "
        + ",\n    ".join(columns)
        + "\nFROM stays\n"
        + "".join(f"{join}\n" for join in joined)
    )


def _deaths_part(roles: Roles) -> list[str]:
    """Return the part of the query with the time of each death, if admissions have two ends.

    Without a date of death, who died in an admission did so at its end.
    """
    stays = roles.stays
    if stays.admitted is None or stays.discharged is None or stays.subject is stays.sample:
        return []
    if roles.died is not None:
        in_stays = stays.died is not None or roles.subjects is None
        table = stays.table if in_stays or roles.subjects is None else roles.subjects.table
        key = stays.subject if in_stays or roles.subjects is None else roles.subjects.key
        todo = (
            "    -- TODO a death that is known by its day counts as in the hospital up to the day "
            "of discharge\n"
            if _is_by_day(roles.died)
            else ""
        )
        return [
            f"deaths AS (\n{todo}    SELECT {_column(key)} AS subject, "
            f"min({_time(roles.died)}) AS died_at\n    FROM {table.key}\n    GROUP BY subject\n)"
        ]
    if MORTALITY not in stays.outcomes:
        return []
    _, positive, _ = stays.outcomes[MORTALITY]
    values = ", ".join(map(_literal, positive))
    return [
        "deaths AS (             -- who died in an admission, did so at its end\n"
        "    SELECT subject, min(discharged) AS died_at\n    FROM stays\n"
        f"    WHERE {MORTALITY} IN ({values})\n    GROUP BY subject\n)"
    ]


def _sexes_part(roles: Roles) -> list[str]:
    one = roles.subjects
    if one is None or one.sex is None:
        return []
    return [
        f"sexes AS (\n    SELECT {_column(one.key)} AS subject, "
        f"any_value({_column(one.sex)}) AS sex\n    FROM {one.table.key}\n    GROUP BY subject\n)"
    ]


def _mortality(roles: Roles) -> str:
    """Return the outcome: an admission that begins after the death has no survivor."""
    if roles.died is None:
        begins_after = "died_at <= admitted AND admitted < discharged"
    elif _is_by_day(roles.died):
        begins_after = "died_at < date_trunc('day', admitted)"
    else:
        begins_after = "died_at < admitted"
    if MORTALITY in roles.stays.outcomes:
        return f"CASE WHEN NOT coalesce({begins_after}, false) THEN {MORTALITY} END AS {MORTALITY}"
    end = "date_trunc('day', discharged)" if _is_by_day(roles.died) else "discharged"
    return (
        f"CASE\n        WHEN discharged IS NULL OR {begins_after} THEN NULL\n"
        f"        WHEN died_at <= {end} THEN '1'\n        ELSE '0'\n    END AS {MORTALITY}"
    )


def _is_by_day(column: Column | None) -> bool:
    return column is not None and "%H" not in column.date_formats[0]


def labs_csv(labs: LabTable) -> str:
    """Return the lab panel: the codes whose analyte and unit are likely."""
    rows = [
        [
            _analyte(one),
            one.known.loinc,
            _lab_column(one),
            one.known.unit,
            one.known.low,
            one.known.high,
        ]
        for one in panel_codes(labs)
        if one.known
    ]
    return _csv(["analyte", "loinc", "column", "unit", "low", "high"], rows)


def lab_codes_csv(labs: LabTable) -> str:
    """Return a table of every lab code: count, median, units, and what it probably is."""
    rows = [
        [
            *(one.code, _count(one.count), "" if one.median is None else f"{one.median:g}"),
            " ".join(one.units),
            *((one.known.analyte, one.known.loinc, one.known.unit) if one.known else ("", "", "")),
            "in labs.csv" if one in panel_codes(labs) else f"TODO {one.doubt or 'second code'}",
        ]
        for one in labs.codes
    ]
    head = ["code", "count", "median", "units", "analyte", "loinc", "unit", "note"]
    return _csv(head, rows)


def panel_codes(labs: LabTable) -> list[LabCode]:
    """Return the codes of the panel: likely, without doubt, the most frequent of an analyte."""
    found: dict[str, LabCode] = {}
    for one in labs.codes:
        if one.known and not one.doubt:
            found.setdefault(one.known.analyte, one)
    return list(found.values())


def _modalities(roles: Roles) -> list[str]:
    found = [name for name in ("cxr", "ecg") if name in roles.recordings]
    return [*found, *(["labs"] if roles.labs else [])]


def _has_time(roles: Roles, modality: str) -> bool:
    one = roles.labs if modality == "labs" else roles.recordings.get(modality)
    return roles.stays.admitted is not None and one is not None and one.taken is not None


def _outcomes(roles: Roles) -> list[str]:
    lines, stays = [], roles.stays
    found = {**stays.outcomes}
    if roles.died is not None and _deaths_part(roles):
        found.setdefault(MORTALITY, (roles.died, ("1",), ("0",)))
    for name, (column, positive, negative) in found.items():
        lines += [
            "",
            f"[outcomes.{name}]                         # TODO {_outcome_doubt(column)}",
            f'column   = "{name}"',
            f"positive = {json.dumps(positive, ensure_ascii=False)}",
            f"negative = {json.dumps(negative, ensure_ascii=False)}",
        ]
        if stays.discharged is not None and stays.admitted is not None:
            lines.append('known    = "discharged_h"          # hours after admission')
    return lines


def _outcome_doubt(column: Column) -> str:
    if len(column.distinct) == 2 and first_is_yes(column) is None:
        return f"which value of {column.name} is positive? No word says so"
    return f"is this what {column.name} means?"


def _stays_part(roles: Roles) -> str:
    stays = roles.stays
    lines = [f"{_column(stays.sample)} AS sample", f"{_column(stays.subject)} AS subject"]
    for name, column in (("admitted", stays.admitted), ("discharged", stays.discharged)):
        value = "NULL::TIMESTAMP" if column is None else _time(column)
        lines.append(f"{value} AS {name}")
    if stays.sex is not None:
        lines.append(f"{_column(stays.sex)} AS sex")
    lines += [f"{_column(one[0])} AS {name}" for name, one in stays.outcomes.items()]
    if stays.admitted is not None and stays.discharged is not None:
        lines.append("epoch(discharged - admitted) / 3600 AS discharged_h")
    todo = (
        ""
        if stays.admitted
        else "    -- TODO no time of admission was found: all recordings count\n"
    )
    ambiguous = [
        one.name
        for one in (stays.admitted, stays.discharged)
        if one is not None and len(one.date_formats) > 1
    ]
    if ambiguous:
        todo += f"    -- TODO day or month first in {', '.join(ambiguous)}?\n"
    return (
        "stays AS (\n"
        + todo
        + "    SELECT\n        "
        + ",\n        ".join(lines)
        + f"\n    FROM {stays.table.key}\n)"
    )


def _recording_part(one: RecordingTable, stays: StayTable) -> str:
    name = one.modality
    time = "NULL::TIMESTAMP" if one.taken is None else _time(one.taken)
    conditions = [f"{_column(one.file)} <> ''"]
    for chosen in (one.kind, one.frontal):
        if chosen is not None:
            values = ", ".join(_literal(value) for value in chosen[1])
            conditions.append(f"{_column(chosen[0])} IN ({values})")
    rows = (
        f"        SELECT {_column(one.key)} AS {one.key_of}, {time} AS taken, "
        f"{_column(one.file)} AS file\n        FROM {one.table.key}\n"
        f"        WHERE {' AND '.join(conditions)}"
    )
    return _first(
        name,
        [f"arg_min(file, ({_order(stays, one.taken)}file)) AS {name}_file"],
        rows,
        one.key_of,
        stays,
        one.taken,
    )


def _labs_part(labs: LabTable, stays: StayTable) -> str:
    value = _column(labs.value)
    if labs.value.has_decimal_comma:
        value = f"replace({value}, ',', '.')"
    time = "NULL::TIMESTAMP" if labs.taken is None else _time(labs.taken)
    rows = (
        f"        SELECT {_column(labs.key)} AS {labs.key_of}, {time} AS taken, "
        f"{_column(labs.code)} AS code, {value} AS value\n        FROM {labs.table.key}"
    )
    order = _order(stays, labs.taken)
    columns = [
        f"arg_min(value, ({order}value)) FILTER (code = {_literal(one.code)}) AS {_lab_column(one)}"
        for one in panel_codes(labs)
    ]
    left = [one.code for one in labs.codes if one not in panel_codes(labs)]
    note = f"    -- TODO not in the panel: {', '.join(left)}; see lab_codes.csv\n" if left else ""
    return _first("labs", columns, rows, labs.key_of, stays, labs.taken, note=note)


def _first(
    name: str,
    columns: list[str],
    rows: str,
    key: str,
    stays: StayTable,
    taken: Column | None,
    *,
    note: str = "",
) -> str:
    timed = stays.admitted is not None and taken is not None
    before, after = _HOURS[name]
    where = ""
    if timed:
        columns = [*columns, f"min(epoch(taken - admitted)) / 3600 AS {name}_h"]
        if name == "labs":
            columns[-1] = columns[-1].replace("min(", "max(", 1)
        end = f"admitted + INTERVAL {after} HOUR"
        if name == "labs" and stays.discharged is not None:
            end = f"least({end}, discharged)"
        where = f"\n    WHERE taken BETWEEN admitted - INTERVAL {before} HOUR AND {end}"
    listed = ",\n        ".join(["sample", *columns])
    return (
        f"first_{name} AS (\n{note}    SELECT\n        {listed}\n    FROM stays JOIN (\n{rows}\n"
        f"    ) USING ({key}){where}\n    GROUP BY sample\n)"
    )


def _order(stays: StayTable, taken: Column | None) -> str:
    return "taken, " if stays.admitted is not None and taken is not None else ""


def _time(column: Column) -> str:
    text = f"nullif(trim(CAST({_column(column)} AS VARCHAR)), '')"
    return f"strptime({text}, {_literal(column.date_formats[0])})"


def _column(column: Column) -> str:
    return '"' + column.name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _analyte(one: LabCode) -> str:
    return one.known.analyte if one.known else one.code


def _count(n: int) -> str:
    return str(n) if n >= SMALLEST_COUNT else format_count(n)


def _lab_column(one: LabCode) -> str:
    return f"lab_{_analyte(one)}"


def _csv(head: list[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()
