"""Field types and checks that several kinds of task share."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clinical_symile.config._tables import is_list
from clinical_symile.config._validators import accept_only, is_text
from clinical_symile.config.component import unknown_objects
from clinical_symile.config.splits import Split
from clinical_symile.errors import DefinitionError
from clinical_symile.missingness.patterns import expand, parse_pattern
from clinical_symile.registry.base import Family

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Candidates = Annotated[
    int | Literal["all", "published"],
    accept_only(
        lambda value: (
            value in ("all", "published")
            or (isinstance(value, int) and not isinstance(value, bool) and value >= 2)
        ),
        expected="a whole number from 2, 'all' or 'published'",
    ),
]
Outcomes = Annotated[
    str | tuple[str, ...],
    accept_only(
        lambda value: (
            is_text(value) or (is_list(value) and len(value) > 0 and all(map(is_text, value)))
        ),
        expected="the name of an outcome, or a list of names",
    ),
]

Checked = TypeVar("Checked", bound=BaseModel)


class TaskTable(BaseModel):
    """A table of a task's file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EvaluationFields(TaskTable):
    """Fields of every task that evaluates a model.

    Attributes:
        name: the task's name, from its path.
        description: one sentence.
        split: the split whose samples are evaluated.
        seed: seed of every random draw of the task: missingness patterns, candidates, label
            subsets.
        missingness: missingness patterns; the model is evaluated under each.
        metrics: names of metrics.
        primary: the metric to read first.
        interval: how confidence intervals are built from bootstrap resamples of subjects: `bca`
            corrects for bias and skewness, `percentile` does not. By default, as each metric says.
        default: False leaves the task out unless it is named: by `evaluate`, `compare` and reports.
        margin: non-inferiority margin on the primary metric; no such claim without it.
    """

    name: str
    description: str
    split: Split
    seed: Seed = 0
    missingness: Names
    metrics: Names
    primary: str
    interval: Literal["bca", "percentile"] | None = None
    margin: Positive | None = None
    default: bool = Field(default=True, exclude=True)

    @property
    def input_modalities(self) -> tuple[str, ...]:
        """The modalities that a model receives, and that missingness patterns hide."""
        raise NotImplementedError(f"{type(self).__name__} has no `input_modalities`; define it.")

    @model_validator(mode="after")
    def _written_out(self) -> "EvaluationFields":
        patterns = expand(self.missingness, self.input_modalities)
        object.__setattr__(self, "missingness", patterns)
        return self

    def metric_problems(self, family: Family) -> list[str]:
        """Return what is wrong with `metrics` and `primary`, a sentence each.

        Args:
            family: the metrics for this kind of task.
        """
        return [*unknown_objects(self.metrics, family), *self.primary_problems()]

    def primary_problems(self) -> list[str]:
        """Return a sentence if `primary` is not one of the metrics."""
        if self.primary in self.metrics:
            return []
        return [
            f"primary '{self.primary}' is not one of the metrics: {', '.join(self.metrics)}. "
            "Add it there, or choose one of them."
        ]


def pattern_problems(patterns: Sequence[str], modalities: Sequence[str]) -> list[str]:
    """Return what is wrong with missingness patterns of some modalities, a sentence each."""
    problems: list[str] = []
    for pattern in patterns:
        try:
            parse_pattern(pattern).check(tuple(modalities))
        except DefinitionError as error:
            problems += error.problems
    return problems


def raise_problems(problems: Sequence[str], checked: Checked) -> Checked:
    """Return the checked model, or raise all problems as the one error that pydantic reports.

    Raises:
        ValueError: there are problems.
    """
    if problems:
        raise ValueError("\n".join(problems))
    return checked
