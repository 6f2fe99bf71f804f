"""Declare the tables and keys of `cohort.toml`; these docstrings are their documentation."""

import re
from itertools import combinations, pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from clinical_symile.config._tables import is_table
from clinical_symile.config._validators import accept_only, is_number, is_text
from clinical_symile.config.splits import Code, Split, Splitting, Text
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.names import is_path_below

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
SettingValue = Annotated[int | float, accept_only(is_number, expected="a number")]
# A file below a folder: nothing that a stranger wrote makes the package read another one.
RelativeFile = Annotated[
    Text,
    accept_only(
        lambda value: value is None or (is_text(value) and is_path_below(str(value))),
        expected="the path of a file below the folder, without '..' and not absolute",
    ),
]
_COLUMN_TYPES = ("BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN", "double:,")
# A format names year, month and day, in any order.
_DATED_TYPE = re.compile(
    r"(timestamp|date):(?=.*%[Yy])(?=.*(%j|%[mbB].*%d|%d.*%[mbB]))[^%]*(%[A-Za-z][^%]*)+"
)
ColumnType = Annotated[
    str,
    accept_only(
        lambda value: (
            isinstance(value, str)
            and (value in _COLUMN_TYPES or _DATED_TYPE.fullmatch(value) is not None)
        ),
        expected=f"{', '.join(_COLUMN_TYPES)}, or a date format such as "
        "'timestamp:%d.%m.%Y %H:%M' or 'date:%d.%m.%Y'",
    ),
]
_ENCODINGS = ("utf-8", "utf-16", "latin-1")
Encoding = Annotated[
    str | dict[str, str],
    accept_only(
        lambda value: all(
            one in _ENCODINGS for one in (value.values() if is_table(value) else [value])
        ),
        expected=f"{', '.join(_ENCODINGS)}, or a table of one of these for each table",
    ),
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Samples(_Table):
    """The source of one row per sample: a query, or one table per split.

    Attributes:
        sql: file beside `cohort.toml` with one DuckDB query over the tables of `[tables]`.
        tables: instead, one table per split under the source folder: CSV, CSV.gz or Parquet.
        sample: column with the id of the sample. Rows that are equal in all columns are one sample.
        subject: column with the id of the subject. A subject is in one split only.
        split: column that holds train, tuning or held_out; or a draw of subjects; or the values of
            a column for each split. Only with `sql`.
        at_least: number of modalities that a sample must have.
        required: columns that must hold a value; otherwise the sample is left out.
        measurement_hours: columns with the time of each modality's measurement, in hours after
            the start. The latest is the time of prediction.
        keep: further columns to keep, as `kept_<column>`.
        ranges: the lowest and highest possible value of kept columns with numbers, such as ages
            and hours; `audit` counts the values beyond.
        left_out: column with a one-word reason for rows that are no samples, which are counted by
            reason. Empty for samples.
    """

    sql: RelativeFile | None = None
    tables: dict[Split, RelativeFile] = {}
    sample: Text
    subject: Text
    split: Splitting | None = None
    at_least: Annotated[int, Field(ge=1)] = 1
    required: tuple[Text, ...] = ()
    measurement_hours: tuple[Text, ...] = ()
    keep: tuple[Text, ...] = ()
    ranges: dict[Text, tuple[float, float]] = {}
    left_out: Text | None = None

    @model_validator(mode="after")
    def _ranges_are_of_kept_columns(self) -> "Samples":
        if other := [column for column in self.ranges if column not in self.keep]:
            raise ValueError(f"ranges: {', '.join(other)} is not in 'keep'. Add it there.")
        if wrong := [column for column, (low, high) in self.ranges.items() if not low < high]:
            raise ValueError(f"ranges: {', '.join(wrong)}: expected the lower end first.")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> "Samples":
        if (self.sql is None) == (not self.tables):
            raise ValueError("expected either 'sql' or 'tables'. Give one of them.")
        if self.tables and self.split is not None:
            raise ValueError("'tables' name the splits; expected no 'split'. Remove it.")
        if self.sql is not None and self.split is None:
            raise ValueError("has no 'split'; expected a column, or { tuning, held_out, seed }.")
        return self


class Outcome(_Table):
    """A clinical event or finding. Any value not listed is unknown, and counted.

    Attributes:
        column: column of a sample's row.
        positive: values that mean yes.
        negative: values that mean no.
        known: column with the hours after the start at which the answer is known. If that is not
            after the last of `samples.measurement_hours`, a measurement may show the answer, so
            the outcome is unknown there, and counted.
        uncertain: values that mean maybe, such as -1 of CheXpert; a task says how they count.
    """

    column: Text
    positive: Annotated[tuple[Code, ...], Field(min_length=1)]
    negative: Annotated[tuple[Code, ...], Field(min_length=1)]
    known: Text | None = None
    uncertain: tuple[Code, ...] = ()

    @model_validator(mode="after")
    def _no_value_means_both(self) -> "Outcome":
        meanings = {name: getattr(self, name) for name in ("positive", "negative", "uncertain")}
        for (one, values), (other, others) in combinations(meanings.items(), 2):
            if both := [value for value in values if value in others]:
                raise ValueError(f"{both} is {one} and {other}; expected one of the two.")
        return self


class Subgroup(_Table):
    """A grouping of subjects, to compare how well a model works for each group.

    Attributes:
        column: column of a sample's row; a sample without a value is in no group.
        bands: cut points for numbers: 18 and 65 make `<18`, `18-64` and `65+`. Without cut points
            every value is a group.
    """

    column: Text
    bands: tuple[SettingValue, ...] = ()

    @model_validator(mode="after")
    def _bands_rise(self) -> "Subgroup":
        if any(low >= high for low, high in pairwise(self.bands)):
            raise ValueError(f"bands {list(self.bands)} do not rise. Put them in order.")
        return self


class CandidateTable(_Table):
    """Published candidate lists of one split: one row per query and candidate.

    Attributes:
        table: file under the source folder.
        query: column with the sample of the query.
        candidate: column with the sample of the candidate.
    """

    table: RelativeFile
    query: Text
    candidate: Text


class Layout(_Table):
    """Another form of the source, which is read instead where all its files exist.

    Attributes:
        needs: files or folders under the source folder.
        modalities: tables that replace those of the same name.
    """

    needs: Annotated[tuple[RelativeFile, ...], Field(min_length=1)]
    modalities: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]


class Generator(_Table):
    """The code that writes the raw files of a synthetic cohort, and its oracle.

    Attributes:
        write: `package.module:function`, called as `write(folder, **parameters)`. The folder does
            not exist yet; it is removed if the call fails.
        oracle: `package.module:Class`, called as `Oracle(store)`.
        parameters: arguments of `write`.
    """

    write: Text
    oracle: Text | None = None
    parameters: dict[str, Any] = {}


class CohortFile(_Table):
    """The content of a `cohort.toml`.

    Attributes:
        title: display name of the cohort.
        description: one sentence.
        access: who may use the data.
        license: the terms of use.
        citation: how to cite the data.
        samples: the source of one row per sample.
        tables: the name of each table in the query, and its file under the source folder.
        types: types of columns of a table, as DuckDB names them; its other columns are text. Dates
            are in ISO form, or in a format: `timestamp:%d.%m.%Y %H:%M`, `date:%d.%m.%Y`. Numbers
            with a decimal comma are `double:,`. A table that is not listed here is read twice,
            first to infer its types.
        encoding: encoding of the CSV tables, `utf-8`, `utf-16` or `latin-1`; or of single tables.
        modalities: name of the modality, and the keyword arguments of its adapter. The adapter has
            the same name unless `adapter` names another. Two keys go with every adapter:
            `candidates`, a column with a list of structs, the sample's candidate recordings, of
            which the first usable one is stored; and `worse_with`, an outcome that is more common
            at the worse end of the modality's severity.
        outcomes: name of the outcome, and how this site codes it.
        subgroups: name of the subgroup, and its column.
        candidates: published candidate lists, by split.
        layouts: other forms of the source, in the order in which they are tried.
        generator: the generator of a synthetic cohort.
    """

    title: Text
    description: Text
    access: Literal["open", "registered", "credentialed", "institutional"]
    license: Text
    citation: Text
    samples: Samples
    tables: dict[Name, RelativeFile] = {}
    types: dict[Name, dict[str, ColumnType]] = {}
    encoding: Encoding = "utf-8"
    modalities: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    outcomes: dict[Name, Outcome] = {}
    subgroups: dict[Name, Subgroup] = {}
    candidates: dict[Split, CandidateTable] = {}
    layouts: dict[Name, Layout] = {}
    generator: Generator | None = None

    @model_validator(mode="after")
    def _tables_are_for_the_query(self) -> "CohortFile":
        if self.samples.sql and not self.tables:
            raise ValueError("[tables] is empty; expected the files of samples.sql. Add them.")
        if self.tables and not self.samples.sql:
            raise ValueError("[tables] is only for a query. Add samples.sql, or remove it.")
        if unknown := sorted(self.types.keys() - self.tables.keys()):
            raise ValueError(
                f"[types] names {', '.join(unknown)}, not in [tables]. Correct the name."
            )
        named: set[str] = {*self.encoding} if is_table(self.encoding) else set()
        if unknown := sorted(named - self.tables.keys() - self.samples.tables.keys()):
            raise ValueError(
                f"[encoding] names {', '.join(unknown)}, not in [tables]. Correct the name."
            )
        return self

    @model_validator(mode="after")
    def _times_are_compared(self) -> "CohortFile":
        known = [name for name, outcome in self.outcomes.items() if outcome.known]
        if known and not self.samples.measurement_hours:
            raise ValueError(
                f"outcomes.{known[0]} has 'known', and samples.measurement_hours is empty; "
                "expected the hours of the measurements. Add them, or remove 'known'."
            )
        if self.samples.at_least > len(self.modalities):
            raise ValueError(
                f"samples.at_least is {self.samples.at_least}; expected at most the number of "
                f"modalities, {len(self.modalities)}."
            )
        return self

    @model_validator(mode="after")
    def _layouts_are_of_the_same_modalities(self) -> "CohortFile":
        problems = [
            f"layouts.{name}.modalities: "
            f"{unknown_name_message(key, self.modalities, what='modality')}"
            for name, layout in self.layouts.items()
            for key in layout.modalities
            if key not in self.modalities
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self
