"""Declare how a cohort splits its samples into train, tuning and held_out."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from clinical_symile.config._validators import accept_only, is_text

Split = Literal["train", "tuning", "held_out"]
SPLITS: tuple[Split, ...] = get_args(Split)

Text = Annotated[str, StringConstraints(min_length=1)]
Code = Annotated[
    bool | int | float | str,
    accept_only(
        lambda value: isinstance(value, bool | int | float | str),
        expected="a text, a number, true or false",
    ),
]
_Share = Annotated[float, Field(ge=0, lt=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitBySubject(_Table):
    """A seeded draw of subjects; all samples of a subject are in one split.

    Attributes:
        tuning: share of the subjects.
        held_out: share of the subjects; the rest are train.
        seed: seed of the draw.
    """

    tuning: _Share
    held_out: _Share
    seed: int

    @model_validator(mode="after")
    def _leaves_some_to_train(self) -> "SplitBySubject":
        if self.tuning + self.held_out >= 1:
            raise ValueError("tuning and held_out leave nothing for train; expected a sum below 1")
        return self


class SplitByValue(_Table):
    """A split by the values of a column, such as a year; each value is in one split.

    Attributes:
        column: column of the sample's row.
        train: values of samples in train.
        tuning: values of samples in tuning.
        held_out: values of samples in held_out.
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
    """Validate a split as the kind that its keys show, so that only that kind reports problems."""
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
