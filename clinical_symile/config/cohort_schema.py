"""What a cohort's file may hold: the fields of the tables below are the documentation of it."""

from itertools import combinations, pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from clinical_symile.config._validators import accept_only, is_number, is_text
from clinical_symile.registry import unknown_name_message

Split = Literal["train", "tuning", "held_out"]
SPLITS: tuple[Split, ...] = get_args(Split)

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Code = Annotated[
    bool | int | float | str,
    accept_only(
        lambda value: isinstance(value, bool | int | float | str),
        expected="a text, a number, true or false",
    ),
]
SettingValue = Annotated[int | float, accept_only(is_number, expected="a number")]
ColumnType = Literal["BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitBySubject(_Table):
    """A split drawn here, whole subjects at a time.

    Attributes:
        tuning: share of the subjects.
        held_out: share of the subjects; the rest are for training.
        seed: of the draw.
    """

    tuning: Share
    held_out: Share
    seed: int

    @model_validator(mode="after")
    def _leaves_some_to_train(self) -> "SplitBySubject":
        if self.tuning + self.held_out >= 1:
            raise ValueError("tuning and held_out leave nobody to train on; expected a sum below 1")
        return self


class SplitByValue(_Table):
    """A split told by the values of a column, such as a year; each value is in one of the three.

    Attributes:
        column: of the sample's row.
        train: its values whose samples are for training.
        tuning: likewise.
        held_out: likewise.
    """

    column: Text
    train: Annotated[tuple[Code, ...], Field(min_length=1)]
    tuning: tuple[Code, ...]
    held_out: tuple[Code, ...]

    @model_validator(mode="after")
    def _no_value_twice(self) -> "SplitByValue":
        values = [*self.train, *self.tuning, *self.held_out]
        if twice := sorted({str(value) for value in values if values.count(value) > 1}):
            raise ValueError(f"{', '.join(twice)} is in two splits; expected each value in one.")
        return self


def _split(value: Any) -> Any:
    """A split by the kind that its keys are of, so that only that kind says what is wrong."""
    if isinstance(value, dict):
        kind = SplitByValue if {"column", "train"} & value.keys() else SplitBySubject
        return kind.model_validate(value)
    return value


Splitting = Annotated[
    Text | SplitBySubject | SplitByValue,
    BeforeValidator(_split),
    accept_only(
        lambda value: is_text(value) or isinstance(value, dict | SplitBySubject | SplitByValue),
        expected="a column, { tuning, held_out, seed } or { column, train, tuning, held_out }",
    ),
]


class Samples(_Table):
    """Where one row per sample comes from: a query, or tables that are there already.

    Attributes:
        sql: file beside `cohort.toml` with one DuckDB query over the tables of `[tables]`.
        tables: instead, one table per split under the source folder: CSV, CSV.gz or Parquet.
        sample: column that tells samples apart. Rows that repeat one in full are one sample.
        subject: column of the person, who may be in one split only.
        split: column that holds train, tuning or held_out, or how to draw it, or which values of
            a column stand for which; with `sql` only.
        at_least: how many modalities a sample must have.
        required: columns that must hold a value, or the sample is left out.
        measured: columns with the hours after the start at which modalities were measured; the last
            of them is when a prediction is made.
        keep: further columns to keep, as `kept_<column>`.
        ranges: of kept columns that hold numbers, such as ages and hours, the lowest and the
            highest that can be; `audit` counts what is beyond.
        left_out: column with a reason, in one word, for rows that are no samples; they are counted
            by it. Empty for samples.
    """

    sql: Text | None = None
    tables: dict[Split, Text] = {}
    sample: Text
    subject: Text
    split: Splitting | None = None
    at_least: Annotated[int, Field(ge=1)] = 1
    required: tuple[Text, ...] = ()
    measured: tuple[Text, ...] = ()
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
            raise ValueError("'tables' are splits already; expected no 'split'. Remove it.")
        if self.sql is not None and self.split is None:
            raise ValueError("has no 'split'; expected a column, or { tuning, held_out, seed }.")
        return self


class Outcome(_Table):
    """A clinical event or finding; any value that is not below is unknown, and counted.

    Attributes:
        column: of a sample's row.
        positive: values that say yes.
        negative: values that say no.
        known: column with the hours after the start at which the answer is known. Where that is not
            after the last of `samples.measured`, what was measured may show the answer: the outcome
            is unknown there, and counted.
        uncertain: values that say perhaps, such as -1 of CheXpert; a task says what they count as.
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
    """What patients are told apart by, to see whether a model does as well for all of them.

    Attributes:
        column: of a sample's row; a value that is missing is in no group.
        bands: for numbers, where one group ends and the next begins: 18 and 65 make `<18`, `18-64`
            and `65+`. Without it every value is a group.
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
        query: column with the sample that asks.
        candidate: column with the sample that may be the answer.
    """

    table: Text
    query: Text
    candidate: Text


class Layout(_Table):
    """Another form in which a source may lie, read instead wherever it is all there.

    Attributes:
        needs: files or folders under the source folder.
        modalities: tables that take the place of those of the same name.
    """

    needs: Annotated[tuple[Text, ...], Field(min_length=1)]
    modalities: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]


class Generator(_Table):
    """What writes the raw files of a made-up cohort, and knows its right answers.

    Attributes:
        write: `package.module:function`, called as `write(folder, **parameters)` with a folder that
            does not exist yet, and which is removed if it fails.
        oracle: `package.module:Class`, called as `Oracle(store)`.
        parameters: of `write`.
    """

    write: Text
    oracle: Text | None = None
    parameters: dict[str, Any] = {}


class CohortFile(_Table):
    """`cohort.toml`.

    Attributes:
        title: what people call the cohort.
        description: one sentence.
        access: who may have the data.
        license: under which terms.
        citation: how to cite it.
        samples: where one row per sample comes from.
        tables: name in the query and file under the source folder.
        types: of columns of a table, as DuckDB names them; the table's other columns are text. A
            table without is read twice, first to tell its types.
        modalities: name, and the keyword arguments of its adapter, which is of the same name unless
            `adapter` says otherwise; and `candidates`, see `ModalityDefinition`.
        outcomes: name, and how this site codes it.
        subgroups: name, and how patients are told apart by it.
        candidates: published lists, by split.
        layouts: other forms of the source, in the order in which they are looked for.
        generator: of a made-up cohort.
    """

    title: Text
    description: Text
    access: Literal["open", "registered", "credentialed", "institutional"]
    license: Text
    citation: Text
    samples: Samples
    tables: dict[Name, Text] = {}
    types: dict[Name, dict[str, ColumnType]] = {}
    modalities: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    outcomes: dict[Name, Outcome] = {}
    subgroups: dict[Name, Subgroup] = {}
    candidates: dict[Split, CandidateTable] = {}
    layouts: dict[Name, Layout] = {}
    generator: Generator | None = None

    @model_validator(mode="after")
    def _tables_are_for_the_query(self) -> "CohortFile":
        if self.samples.sql and not self.tables:
            raise ValueError("samples.sql reads no [tables]. Name the files that the query reads.")
        if self.tables and not self.samples.sql:
            raise ValueError("[tables] are read by a query only. Give samples.sql, or remove them.")
        if strangers := sorted(self.types.keys() - self.tables.keys()):
            raise ValueError(f"types of {', '.join(strangers)}, not in [tables]. Correct the name.")
        return self

    @model_validator(mode="after")
    def _times_are_compared(self) -> "CohortFile":
        known = [name for name, outcome in self.outcomes.items() if outcome.known]
        if known and not self.samples.measured:
            raise ValueError(
                f"outcomes.{known[0]} has 'known', and samples.measured is empty; expected when "
                "things were measured. Add it, or remove 'known'."
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
