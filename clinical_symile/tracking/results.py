"""`Result`: one number with everything needed to say it; `Comparison`: one difference."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clinical_symile.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of a tidy table.

    Attributes:
        run: the run's name; `oracle` for the best that is possible, where it is known.
        cohort: the cohort's name.
        task: the task's name.
        split: the split that was scored.
        missingness: the pattern of modalities that queries could use.
        metric: the metric's name.
        value: the number.
        low: lower end of the 95 % interval, by bootstrap over subjects.
        high: its upper end.
        interval: how the ends were found: `bca`, or `percentile`.
        chance: what a model that knows nothing scores; None where the metric has no such value.
        n_samples: how many samples were scored.
        n_subjects: how many people they belong to.
        hidden: of each modality, or part of one, the share that the pattern hid of what was there
            in the samples that were scored.
        mask: digest of what was seen of which samples of the split.
        seed: seed of the run's training.
        digest: of task, cohort, store and candidate lists; behind a dot, of the table that the
            pattern reads.
    """

    run: str
    cohort: str
    task: str
    split: str
    missingness: str
    metric: str
    value: float
    low: float
    high: float
    interval: str
    chance: float | None
    n_samples: int
    n_subjects: int
    hidden: Mapping[str, float]
    mask: str
    seed: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How much better one run is than another on the same samples.

    Attributes:
        run: the one that is asked about.
        baseline: the one it is compared with.
        difference: value of `run` minus value of `baseline`.
        low: lower end of the 95 % interval, by paired bootstrap over subjects.
        high: its upper end.
        against: the pattern of the baseline, where it is not the same.
        standard_error: of the difference, over resamples.
        detectable: the true difference that data like these tell from 0 in four of five cases.
        test: which one `p_value` is of; None where none can be made.
        p_value: two-sided, that there is no difference.
        p_holm: adjusted so that any false claim in the family is rare.
        p_fdr: adjusted so that few claims in the family are false (Benjamini and Hochberg).
        family: which tests these were adjusted for.
        margin: what may be lost; None where nobody said.
        p_noninferior: of the claim that less than the margin is lost.
        p_equivalent: of the claim that the difference is below the margin either way.
        verdict: `equivalent`, `non-inferior` or `not shown`, at 2.5 % on each side.

    The other fields are those of `Result`.
    """

    run: str
    baseline: str
    cohort: str
    task: str
    split: str
    missingness: str
    metric: str
    difference: float
    low: float
    high: float
    n_samples: int
    n_subjects: int
    digest: str
    against: str | None = None
    standard_error: float | None = None
    detectable: float | None = None
    test: str | None = None
    p_value: float | None = None
    p_holm: float | None = None
    p_fdr: float | None = None
    family: str | None = None
    margin: float | None = None
    p_noninferior: float | None = None
    p_equivalent: float | None = None
    verdict: str | None = None


def question_digest(digest: str) -> str:
    """The part of a result's digest that is of more than its pattern."""
    return digest.partition(".")[0]


def is_significant(row: Comparison) -> bool:
    """Whether a difference is told from 0: by its interval, and after adjusting for its family."""
    apart = row.low > 0 or row.high < 0
    return apart and (row.p_holm is None or row.p_holm < 0.05)


@dataclass(frozen=True, kw_only=True)
class SkippedResult:
    """A number that could not be had, and why.

    Attributes:
        run: the run's name.
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        reason: one sentence.
        metric: the metric; None where the whole pattern could not be scored.
        digest: of task, cohort, store and candidate lists.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    reason: str
    digest: str
    metric: str | None = None


if TYPE_CHECKING:
    from _typeshed import DataclassInstance
else:  # a type that only checkers know
    DataclassInstance = Any

Row = TypeVar("Row", bound=DataclassInstance)


def write_rows(path: Path, rows: Iterable[DataclassInstance]) -> None:
    """Write one JSON object per line; the file appears only when it is whole."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
    partial.replace(path)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote.

    Raises:
        DataError: the file is missing, or a line is not such a row; one line is told of each kind.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected results. Run `clinical-symile evaluate`.")
    ordered = [field.name for field in fields(kind)]
    names = {*ordered}
    what = kind.__name__.lower()
    rows: list[Row] = []
    others: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            others.setdefault(f"not a {what}; expected the fields {', '.join(ordered)}", number)
        elif set(row) != names:
            others.setdefault(_difference(set(row), names, what=what), number)
        else:
            rows.append(kind(**row))
    if others:
        raise DataError(
            *(
                f"{path}, line {number}: {problem}. Remove {path.name} and evaluate again."
                for problem, number in others.items()
            )
        )
    return rows


def _difference(found: set[str], names: set[str], *, what: str) -> str:
    """How the fields of a line differ from those of a row, as another version may write them."""
    differs = [
        f"{words} {', '.join(sorted(fields))}"
        for words, fields in (("lacks", names - found), ("has", found - names))
        if fields
    ]
    return f"a {what} of another version: it {' and '.join(differs)}"
