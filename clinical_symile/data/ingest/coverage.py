"""Report modalities, analytes and columns that no sample has, and values in another unit.

Each is a count that a later step would take for granted. `prepare` and its dry run warn of it, and
`audit` reports it again from the manifest.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from jaxtyping import Int

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.columns import comparable_code
from clinical_symile.data.ingest.csv_files import (
    Dialect,
    is_utf_8_read_as_latin_1,
    read_dialect,
)
from clinical_symile.data.ingest.csv_headers import known_column_names
from clinical_symile.data.ingest.id_spelling import spelling_sentences
from clinical_symile.data.ingest.query import referenced_columns
from clinical_symile.data.ingest.query_lineage import QueryLineage
from clinical_symile.data.ingest.source_tables import SourceTable, query_tables, split_tables
from clinical_symile.data.ingest.sql import sql_identifier, sql_literal
from clinical_symile.data.ingest.tables import (
    connect,
    count_rows,
    describe_read_errors,
    text_expression,
)
from clinical_symile.formatting import (
    SMALLEST_COUNT,
    format_count,
    format_nested_counts,
    format_part,
)
from clinical_symile.modalities.base import ValueSummary

_WRONG_SHARE = 0.1  # of values that are not usable, from which a part is reported
_MAX_CODES_SHOWN = 8
_MAX_PARTS_SHOWN = 10
_MAX_CODE_LENGTH = 40
_ROWS_AT_A_TIME = 1000
_MAX_SCANNED_BYTES = 500_000_000  # larger CSV files are not searched for line breaks in cells
# From this share on, values of an outcome that the cohort does not list are reported.
_UNLISTED_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class CoverageProblem:
    """Something that no sample has, or that few samples have as the cohort states it.

    Attributes:
        reason: `modality-missing`, `part-missing`, `not-numbers`, `implausible`, `column-empty`,
            `outcome-unknown`, `ids-differ`, `column-repeated`, `line-breaks` or `encoding`.
        modality: the modality; empty for columns and tables.
        part: the part of the modality, such as an analyte; empty for all of it.
        sentence: what was found, with counts, and what to do.
    """

    reason: str
    modality: str = ""
    part: str = ""
    sentence: str


class _Samples:
    """The rows of `_samples` and what is behind them.

    Args:
        connection: a connection with `_samples` and the tables as views.
        cohort: the cohort.
        source: folder of the raw files.
        total: number of rows of the query, before any is left out.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, cohort: Cohort, source: Path, total: int
    ):
        self.connection, self.cohort, self.total = connection, cohort, total
        ((self.rows,),) = connection.execute("SELECT count(*) FROM _samples").fetchall()
        self.columns = set(connection.sql("FROM _samples LIMIT 0").columns)
        self.tables = query_tables(cohort, source) or split_tables(cohort, source)
        self._lineage = self._query = None
        if cohort.samples.sql is not None:
            query = (cohort.folder / cohort.samples.sql).read_text(encoding="utf-8")
            self._query = query
            select = "SELECT column_name FROM duckdb_columns() WHERE table_name = ?"
            known = {
                name: [column for (column,) in connection.execute(select, [name]).fetchall()]
                for name in self.tables
            }
            self._lineage = QueryLineage(connection, query, known)

    @property
    def rows_text(self) -> str:
        """Number of rows in words from which the number of those left out does not follow."""
        return format_part(self.rows, self.total)

    def count(self, columns: Sequence[str]) -> list[int]:
        """Return the number of rows with a value, by column."""
        counts = ", ".join(f"count(*) FILTER ({has_value(column)})" for column in columns)
        ((*found,),) = self.connection.execute(f"SELECT {counts} FROM _samples").fetchall()
        return found

    def read(
        self, columns: Sequence[str]
    ) -> tuple[Mapping[str, np.ndarray], Int[np.ndarray, " value"]]:
        """Return the distinct values of some columns where the first has one, and their counts."""
        names = ", ".join(map(sql_identifier, columns))
        query = (
            f"SELECT {names}, count(*) AS _count FROM _samples WHERE {has_value(columns[0])} "
            "GROUP BY ALL"
        )
        table = self.connection.sql(query).to_arrow_table()
        return {name: table[name].to_numpy() for name in columns}, table["_count"].to_numpy()

    def sources(self, columns: Sequence[str]) -> list[SourceTable]:
        """Return the tables that provide some columns."""
        if self._lineage is None:
            return [*self.tables.values()]
        names = dict.fromkeys(
            name for column in columns for name in self._lineage.tables_of(column)
        )
        return [self.tables[name] for name in names if name in self.tables]

    def spelling_sentences(self) -> Iterator[str]:
        """Yield a sentence for each pair of joined columns that write the same ids in two ways."""
        if self._query is not None:
            yield from spelling_sentences(self.connection, self._query, self.tables)

    def named_columns(self) -> set[str]:
        """Return the columns that the cohort's files name, in lower case."""
        query = self._query
        columns = referenced_columns(self.connection, query) if query is not None else set[str]()
        return {*known_column_names(self.cohort, columns)}

    def codes(self, column: str) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return table, column and codes that the query looks for to fill a column."""
        return self._lineage.codes_of(column) if self._lineage else []


def coverage_problems(
    connection: duckdb.DuckDBPyConnection,
    cohort: Cohort,
    adapters: Mapping[str, Any],
    *,
    source: Path,
    recorded: Mapping[str, int],
    total: int,
) -> list[CoverageProblem]:
    """Return a problem for each column without values, and for values that do not fit their unit.

    Args:
        connection: a connection with `_samples` and the tables as views.
        cohort: the cohort.
        adapters: the adapters of its modalities, by name.
        source: folder of the raw files.
        recorded: number of rows that record each modality.
        total: number of rows of the query, before any is left out.
    """
    samples = _Samples(connection, cohort, source, total)
    problems = [
        _missing_modality(samples, name, adapter)
        for name, adapter in adapters.items()
        if not recorded[name]
    ]
    for name, adapter in adapters.items():
        is_in_rows = {*adapter.columns} <= samples.columns
        if recorded[name] and is_in_rows and hasattr(adapter, "summarize_values"):
            problems += _part_problems(samples, name, adapter)
    problems += _empty_columns(samples)
    problems += _unknown_outcomes(samples)
    problems += [
        CoverageProblem(reason="ids-differ", sentence=sentence)
        for sentence in samples.spelling_sentences()
    ]
    names = samples.named_columns()
    for table in samples.tables.values():
        problems += _repeated_columns(table, names)
        problems += _text_problems(table)
    return problems


def has_value(column: str) -> str:
    """Return the SQL condition that a cell holds a value: not NULL, blank or NaN."""
    text = f"lower(trim(CAST({sql_identifier(column)} AS VARCHAR)))"
    return f"coalesce({text}, '') NOT IN ('', 'nan')"


def _missing_modality(samples: _Samples, name: str, adapter: Any) -> CoverageProblem:
    candidates = samples.cohort.modalities[name].candidates
    filled = [
        f"{table.file.name} has {format_count(rows)} rows"
        for table in samples.sources([candidates] if candidates else adapter.columns)
        if (rows := count_rows(table))
    ]
    although = f", although {' and '.join(filled)}" if filled else ""
    return CoverageProblem(
        reason="modality-missing",
        modality=name,
        sentence=f"modality {name}: no sample of {samples.rows_text} has it{although}. "
        "Check that ids are written alike in all tables (007 is not 7), and that times are read "
        "in the right format. Check the conditions of the query.",
    )


def _part_problems(samples: _Samples, name: str, adapter: Any) -> Iterator[CoverageProblem]:
    missing: list[ValueSummary] = []
    for summary in adapter.summarize_values(samples.read):
        if not summary.count:
            missing.append(summary)
        yield from _wrong_values(name, summary, samples)
    if missing:
        shown = ", ".join(one.part for one in missing[:_MAX_PARTS_SHOWN])
        more = " and others" if len(missing) > _MAX_PARTS_SHOWN else ""
        codes = " ".join(_code_sentences(samples, missing[:_MAX_PARTS_SHOWN]))
        yield CoverageProblem(
            reason="part-missing",
            modality=name,
            part=shown,
            sentence=f"modality {name}: no sample of {samples.rows_text} has "
            f"{shown}{more} ({len(missing)} of {len(adapter.parts)}). "
            f"{codes or 'Check the query.'}",
        )


def _wrong_values(name: str, summary: ValueSummary, samples: _Samples) -> Iterator[CoverageProblem]:
    def counted(n: int) -> str:
        words = format_nested_counts([n, summary.count, samples.rows, samples.total])
        return f"modality {name}: {words[n]} of {words[summary.count]} values of {summary.part}"

    unusable = summary.not_numbers + summary.unit_unknown
    if unusable > _WRONG_SHARE * summary.count:
        kind = "are not numbers" if summary.not_numbers else "have a unit that is not converted"
        advice = (
            f"{format_part(summary.decimal_commas, unusable)} have a decimal comma. Replace it in "
            "the query: "
            "replace(value, ',', '.')."
            if summary.decimal_commas
            else "Check the column."
        )
        yield CoverageProblem(
            reason="not-numbers",
            modality=name,
            part=summary.part,
            sentence=f"{counted(unusable)} {kind}. {advice}",
        )
    if summary.implausible > _WRONG_SHARE * summary.count or summary.likely_unit:
        median = "" if summary.median is None else f"; their median is {summary.median:.3g}"
        unit = (
            f"They look like {summary.likely_unit}. If they are, set recorded_unit in the panel."
            if summary.likely_unit
            else "Check the unit and the column."
        )
        yield CoverageProblem(
            reason="implausible",
            modality=name,
            part=summary.part,
            sentence=f"{counted(summary.implausible)} are outside {summary.range_text}{median}. "
            f"{unit}",
        )


def _code_sentences(samples: _Samples, missing: Sequence[ValueSummary]) -> Iterator[str]:
    """Yield which codes the query looks for, and which codes the table has."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for summary in missing:
        for table, column, codes in samples.codes(summary.column):
            wanted.setdefault((table, column), []).extend(codes)
    for (table, column), codes in wanted.items():
        name = sql_identifier(column)
        listed = ", ".join(map(sql_literal, codes))
        ((count,),) = samples.connection.execute(
            f"SELECT count(*) FROM {sql_identifier(table)} "
            f"WHERE CAST({name} AS VARCHAR) IN ({listed})"
        ).fetchall()
        if count:
            yield (
                f"{table} has {count} rows with {column} {', '.join(codes)}; check how they are "
                "joined, and their values."
            )
            continue
        found = samples.connection.execute(
            f"SELECT CAST({name} AS VARCHAR) AS code, count(*) AS n FROM {sql_identifier(table)} "
            f"WHERE {name} IS NOT NULL GROUP BY ALL HAVING n >= {SMALLEST_COUNT} "
            f"ORDER BY n DESC, code LIMIT {_MAX_CODES_SHOWN}"
        ).fetchall()
        frequent = ", ".join(f"{code[:_MAX_CODE_LENGTH]} ({format_count(n)})" for code, n in found)
        others = f"its most frequent are {frequent}" if frequent else "no other is in ten rows"
        yield f"{table} has no row with {column} {', '.join(codes)}; {others}."


def _empty_columns(samples: _Samples) -> Iterator[CoverageProblem]:
    cohort = samples.cohort
    outcomes = cohort.outcomes.items()
    uses = {one.known: f"outcomes.{name}.known" for name, one in outcomes if one.known}
    uses |= {outcome.column: f"outcomes.{name}" for name, outcome in outcomes}
    uses |= {one.column: f"subgroups.{name}" for name, one in cohort.subgroups.items()}
    uses |= {column: "samples.measurement_hours" for column in cohort.samples.measurement_hours}
    uses |= {column: "samples.keep" for column in cohort.samples.keep}
    uses |= {column: "samples.required" for column in cohort.samples.required}
    columns = [column for column in uses if column in samples.columns]
    if not columns or not samples.rows:
        return
    for column, count in zip(columns, samples.count(columns), strict=True):
        if not count:
            yield CoverageProblem(
                reason="column-empty",
                sentence=f"column {column} ({uses[column]}): none of {samples.rows_text} rows has "
                "a value. Check the conversion in the query, or the table.",
            )


def _unknown_outcomes(samples: _Samples) -> Iterator[CoverageProblem]:
    """Yield a problem for each outcome whose column has values of which the cohort knows none."""
    for name, outcome in samples.cohort.outcomes.items():
        if outcome.column not in samples.columns:
            continue
        values, counts = samples.read([outcome.column])
        listed = (*outcome.positive, *outcome.negative, *outcome.uncertain)
        known = {comparable_code(value) for value in listed}
        codes = [comparable_code(value) for value in values[outcome.column].tolist()]
        recorded = np.array([code is not None for code in codes])
        unlisted = np.array([code is not None and code not in known for code in codes])
        if not recorded.any():
            continue
        share = counts[unlisted].sum() / counts[recorded].sum()
        if share >= _UNLISTED_SHARE:
            some = "no value" if share == 1 else "a tenth or more of the values"
            verb = "is" if share == 1 else "are not"
            where = "all samples" if share == 1 else "these samples"
            yield CoverageProblem(
                reason="outcome-unknown",
                sentence=f"outcome {name}: {some} of column {outcome.column} {verb} positive or "
                f"negative, so that the outcome is unknown in {where}. Write the words as they "
                f"stand in the table into positive and negative of [outcomes.{name}].",
            )


def _repeated_columns(table: SourceTable, names: Collection[str]) -> Iterator[CoverageProblem]:
    """Yield a problem for each column in use whose name is in a header more than once."""
    if table.is_parquet:
        return
    header = [cell.strip().lower() for cell in read_dialect(table.paths[0], table.encoding).header]
    for name in sorted({*names} & {*header}):
        if header.count(name) > 1:
            yield CoverageProblem(
                reason="column-repeated",
                sentence=f"table {table.file.name}: its header has {name} {header.count(name)} "
                "times; the first is read. Rename or remove the others.",
            )


def _text_problems(table: SourceTable) -> Iterator[CoverageProblem]:
    """Yield a problem for rows in one cell, as a stray quote makes them, and a wrong encoding."""
    if table.is_parquet or sum(path.stat().st_size for path in table.paths) > _MAX_SCANNED_BYTES:
        return
    for path in table.paths:
        if is_utf_8_read_as_latin_1(path, table.encoding):
            yield CoverageProblem(
                reason="encoding",
                sentence=f"table {table.file.name}: is declared as Latin-1, but {path.name} is "
                "encoded in UTF-8. Remove its encoding from cohort.toml.",
            )
    dialect = read_dialect(table.paths[0], table.encoding)
    cell = "concat_ws('', *COLUMNS(*))"
    query = f"SELECT {cell} FROM {text_expression(table)} WHERE contains({cell}, chr(10))"
    count = 0
    with describe_read_errors(table), connect() as connection:
        rows = connection.execute(query)
        while batch := rows.fetchmany(_ROWS_AT_A_TIME):
            count += sum(_holds_rows(text, dialect) for (text,) in batch)
    if count:
        yield CoverageProblem(
            reason="line-breaks",
            sentence=f"table {table.file.name}: {count} rows hold other rows inside a cell, as a "
            "stray quote joins them. Double or remove the quote.",
        )


def _holds_rows(text: str, dialect: Dialect) -> bool:
    """Return True if a line inside a text has the delimiters of a row: prose may have line breaks.

    The first and the last line are parts of rows, and are not looked at if there are others.
    """
    lines = text.splitlines()
    inner = [line for line in lines[1:-1] if line.strip()] or lines[-1:]
    between = re.compile(re.escape(dialect.delimiter) + "(?! )")  # in prose, a blank follows
    rows = sum(len(between.findall(line)) == len(dialect.header) - 1 for line in inner)
    return len(dialect.header) > 1 and rows * 2 >= len(inner)
