"""Define, write and read the rows of results and comparisons."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_type_hints, runtime_checkable

from clinical_symile.errors import DataError, Problem
from clinical_symile.files import write_text
from clinical_symile.formatting import SMALLEST_COUNT
from clinical_symile.tracking.records import parse_json, read_lines, wrong_fields


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of a tidy table.

    Attributes:
        run: the run's name; `oracle` for the Bayes-optimal reference of a synthetic cohort.
        cohort: the cohort's name.
        task: the task's name.
        split: the evaluated split.
        missingness: the pattern that decides which modalities are visible.
        metric: the metric's name.
        value: the metric's value.
        low: lower end of the 95 % interval over subjects; None where there is none.
        high: upper end of that interval.
        interval: method of the interval: `bca`, `percentile`, `Wilson` or `score`; `none`
            without one.
        chance: chance level of the metric; None where it has none.
        n_samples: number of evaluated samples.
        n_subjects: number of their subjects.
        hidden: for each modality, or part of one, the share of its present measurements that the
            pattern hides in the evaluated samples.
        mask: digest of the availability mask of the split.
        seed: seed of the run's training.
        digest: fingerprint of task, cohort, store and candidate lists; after a dot, that of the
            file that the pattern reads.
        missing_query: the rule by which a retrieval score replaces a missing query modality; None
            for classification and for scores without such a rule.
        bank_size: number of train embeddings that the rule averages over; None where it uses none.
        no_interval: the reason, where there is no interval.
        saw_label: True if training read labels of an outcome that the task judges.
        n_smallest_class: the smallest number of samples of a class that the metric rests on, over
            its outcomes; None for retrieval.
        mask_statistics: of a pattern that draws modalities, in the evaluated samples: the shares of
            samples with all (`whole_share`) and with no query modality (`empty_share`); for each
            pair the correlation of their hiding (`correlation/ecg-labs`); for each modality the
            slope of the log odds of hiding (`slope/ecg`); for one outcome the AUROC of the mask
            alone (`auroc`); for severity whose worse end the cohort declares by an outcome, the
            AUROC of the severity for this outcome in train samples (`severity/ecg/died`). None
            where undefined or withheld.
        environment: the device, the number of threads, and the versions that the result was
            computed with; empty in results of version 0.2.1 and before.
        rounded: True if the row has left its run's folder and is of real subjects: sizes are
            rounded down to multiples of ten, and numbers to what one sample changes.
    """

    run: str
    cohort: str
    task: str
    split: str
    missingness: str
    metric: str
    value: float
    low: float | None
    high: float | None
    interval: str
    chance: float | None
    n_samples: int
    n_subjects: int
    hidden: Mapping[str, float]
    mask: str
    seed: int
    digest: str
    missing_query: str | None = None
    bank_size: int | None = None
    no_interval: str | None = None
    saw_label: bool = False
    n_smallest_class: int | None = None
    mask_statistics: Mapping[str, float | None] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    rounded: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference of two runs on the same samples.

    Attributes:
        run: the run in question.
        baseline: the run it is compared with.
        difference: value of `run` minus value of `baseline`.
        low: lower end of the 95 % interval over subjects, paired; None where there is none.
        high: upper end of that interval.
        against: the pattern of the baseline, where it differs.
        standard_error: standard error of the difference.
        detectable: smallest true difference that such data detect with a power of 80 %.
        test: the test that gives `p_value`; None where none applies.
        p_value: two-sided p-value that there is no difference.
        p_holm: p-value adjusted for the family-wise error (Holm).
        p_fdr: p-value adjusted for the false discovery rate (Benjamini and Hochberg).
        family: the tests that these are adjusted for.
        margin: largest acceptable loss; None without one.
        p_noninferior: p-value of the claim that the loss is below the margin.
        p_equivalent: p-value of the claim that the difference is below the margin either way.
        verdict: `equivalent`, `non-inferior` or `not shown`, at 2.5 % on each side.
        no_interval: the reason, where there is no interval.
        least_margin: smallest margin for which these data show non-inferiority.

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
    low: float | None
    high: float | None
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
    no_interval: str | None = None
    least_margin: float | None = None


def question_digest(digest: str) -> str:
    """Return the part of a result's digest that does not depend on its pattern."""
    return digest.partition(".")[0]


def is_withheld(row: Result) -> bool:
    """Return whether a result rests on fewer than ten samples, subjects or samples of a class.

    Its value could tell who had the outcome. It stays in the run's folder.
    """
    counts = [row.n_samples, row.n_subjects]
    counts += [] if row.n_smallest_class is None else [row.n_smallest_class]
    return min(counts) < SMALLEST_COUNT


@runtime_checkable
class TestedDifference(Protocol):
    """A difference with its interval and adjusted p-value: of two runs, or of two methods.

    The tests check annotations with beartype, which refuses a protocol without
    `@runtime_checkable`. No code asks for `isinstance`.
    """

    @property
    def metric(self) -> str:
        """The metric's name."""
        ...

    @property
    def difference(self) -> float:
        """The first value minus the second."""
        ...

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval; None where there is none."""
        ...

    @property
    def high(self) -> float | None:
        """Upper end of that interval."""
        ...

    @property
    def p_holm(self) -> float | None:
        """The p-value adjusted for the family-wise error (Holm); None without a test."""
        ...


def is_significant(row: TestedDifference) -> bool:
    """Return whether the interval excludes 0 and the adjusted p-value is below 0.05."""
    if row.low is None or row.high is None:
        return False
    apart = row.low > 0 or row.high < 0
    return apart and (row.p_holm is None or row.p_holm < 0.05)


@dataclass(frozen=True, kw_only=True)
class SkippedResult:
    """A metric that could not be computed, and why.

    Attributes:
        run: the run's name.
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        reason: one sentence.
        metric: the metric; None where no metric of the pattern could be computed.
        digest: fingerprint of task, cohort, store and candidate lists.
        code: the code of its kind of reason, which `explain` explains; None if it has none.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    reason: str
    digest: str
    metric: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        return Problem(self.reason, self.code).with_code()


if TYPE_CHECKING:
    from _typeshed import DataclassInstance
else:  # a type that exists only for type checkers
    DataclassInstance = Any

_Row = TypeVar("_Row", bound=DataclassInstance)


def write_rows(path: Path, rows: Iterable[DataclassInstance]) -> None:
    """Write one JSON object per line; the file appears only when it is complete."""
    write_text(path, rows_text(rows))


def rows_text(rows: Iterable[DataclassInstance]) -> str:
    """Return rows as `write_rows` writes them: one JSON object per line."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)


def read_rows(path: Path, kind: type[_Row]) -> list[_Row]:
    """Read what `write_rows` wrote; a field with a default may be missing in older files.

    Raises:
        DataError: the file is missing, or a line is not such a row; one message per kind.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; expected results. Run `clinical-symile evaluate`.",
            code="CS-R011",
        )
    action = f"Remove {path.name} and evaluate again."
    lines = read_lines(path, action=action, code="CS-R012")
    return parse_rows(lines, kind, where=str(path), action=action)


def parse_rows(lines: Iterable[str], kind: type[_Row], *, where: str, action: str) -> list[_Row]:
    """Parse lines that `write_rows` wrote.

    Args:
        lines: one JSON object each.
        kind: the class of the rows.
        where: the file, for messages.
        action: what to do if a line is no such row, as a sentence.

    Raises:
        DataError: a line is not such a row; one message per kind.
    """
    ordered = [field.name for field in fields(kind)]
    names = {*ordered}
    required = {
        one.name
        for one in fields(kind)
        if one.default is MISSING and one.default_factory is MISSING
    }
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
    rows: list[_Row] = []
    others: dict[str, int] = {}
    types = get_type_hints(kind)
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            others.setdefault(f"not a {what}; expected the fields {', '.join(ordered)}", number)
        elif not required <= set(row) <= names:
            found = set(row) | (names - required)
            others.setdefault(_difference(found, names, what=what), number)
        elif wrong := wrong_fields(row, {name: types[name] for name in row}):
            others.setdefault(f"not a {what}: {'; '.join(wrong)}", number)
        else:
            rows.append(kind(**row))
    if others:
        raise DataError(
            *(f"{where}, line {number}: {problem}. {action}" for problem, number in others.items()),
            code="CS-R012",
        )
    return rows


def _difference(found: set[str], names: set[str], *, what: str) -> str:
    """Describe how the fields of a line differ from those of a row."""
    differs = [
        f"{words} {', '.join(sorted(fields))}"
        for words, fields in (("lacks", names - found), ("has", found - names))
        if fields
    ]
    return f"a {what} of another version: it {' and '.join(differs)}"
