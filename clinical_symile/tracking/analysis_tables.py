"""What else is told of a run: rows of tidy tables, kept in its folder beside the results.

Every row says which run, cohort, task and pattern it is of, and with what digest of them. Numbers
of fewer than ten people are None.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clinical_symile.errors import warn_renamed
from clinical_symile.tracking.results import read_rows, write_rows


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a classification under one pattern, besides its metrics.

    Attributes:
        run: the run's name.
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        part: which outcome or draw of labels, of a task of several; else None.
        measure: `calibration/…`, `recalibrated/…`, `conformal/…` or `high_confidence_errors/…`; see
            docs/explanation/clinical_measures.md.
        value: the number.
        low: lower end of the 95 % interval, by bootstrap over subjects; None where too many
            resamples leave it undefined.
        high: its upper end.
        n_samples: how many samples it is of.
        digest: of task, cohort, store and candidate lists.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    part: str | None
    measure: str
    value: float
    low: float | None
    high: float | None
    n_samples: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """One point of a calibration curve: what was predicted, and what happened.

    Attributes:
        recalibrated: whether the probabilities were recalibrated on tuning samples.
        bin: its number, from 0; bins are of about equal size.
        predicted: mean probability; None, as all of them, where the bin is withheld: it is of
            fewer than ten people, or what is not told would be.
        observed: share of the samples with the outcome.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: its upper end.
        n_samples: in the bin.

    The other fields are those of `Measure`.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    part: str | None
    recalibrated: bool
    bin: int
    predicted: float | None
    observed: float | None
    low: float | None
    high: float | None
    n_samples: int | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class NetBenefit:
    """One point of a decision curve.

    Attributes:
        threshold: the risk from which one would act.
        value: net benefit of acting on the probabilities.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: its upper end.
        treat_all: net benefit of acting on everyone; acting on nobody gives 0.
        gain: value minus the better of acting on everyone and on nobody.
        gain_low: lower end of its 95 % interval.
        gain_high: its upper end.

    The other fields are those of `Measure`.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    part: str | None
    threshold: float
    value: float
    low: float
    high: float
    treat_all: float
    gain: float
    gain_low: float
    gain_high: float
    n_samples: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class ModalityValue:
    """What modalities are worth to a run on a task.

    Attributes:
        metric: the task's primary metric, turned so that more is better.
        quantity: `shapley`, `alone` or `left_out` of one modality, `interaction` of several
            (above 0 synergy, below 0 redundancy), `total` of all.
        modalities: of which ones, joined by `+`, in the order of the task.
        value: in units of the metric.
        low: lower end of the 95 % interval; all quantities are of the same resamples of subjects.
        high: its upper end.
        n_samples: how many samples were scored.
        n_subjects: how many people they belong to.

    The other fields are those of `Measure`.
    """

    run: str
    cohort: str
    task: str
    metric: str
    quantity: str
    modalities: str
    value: float
    low: float
    high: float
    n_samples: int
    n_subjects: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class SubgroupResult:
    """How one group of patients fares.

    Attributes:
        metric: the task's primary metric.
        subgroup: what groups are told apart by: a subgroup of the cohort, or `availability`.
        level: the group.
        value: the metric of its samples; None where the group is withheld.
        low: lower end of the 95 % interval, by bootstrap over subjects.
        high: its upper end.
        gap: value minus that of all other samples; None where either is withheld.
        gap_low: lower end of the gap's 95 % interval.
        gap_high: its upper end.
        p_value: of the test that there is no gap.
        p_holm: adjusted for all gaps of the run on the task.
        n_tests: how many these are.
        worst: in what share of resamples it is the worst of its subgroup.
        n_samples: of the group; None where it is withheld.
        n_subjects: whose they are; None where it is withheld.
        withheld: why; None where it is told.

    The other fields are those of `Measure`.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    metric: str
    subgroup: str
    level: str
    value: float | None
    low: float | None
    high: float | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    p_value: float | None
    p_holm: float | None
    n_tests: int
    worst: float | None
    n_samples: int | None
    n_subjects: int | None
    withheld: str | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class MaskAuroc:
    """How well an outcome is predicted from which modalities are seen, and nothing else.

    Attributes:
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        part: which outcome, of a task of several; else None.
        value: AUROC, 0.5 where what is missing says nothing.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: its upper end.
        expected: what it is in truth; None where that is not known.
        digest: of task, cohort, store and candidate lists.
    """

    cohort: str
    task: str
    missingness: str
    part: str | None
    value: float
    low: float
    high: float
    expected: float | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class SeedComponents:
    """How much of a method's number is the luck of seeds, and how much of the people.

    Attributes:
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        method: the pretraining task.
        metric: the task's primary metric.
        n_seeds: how many runs of the method there are.
        mean: over these runs.
        low: lower end of its 95 % interval, for other people and other seeds.
        high: its upper end.
        people: standard deviation of one run's number by whom it is measured on.
        seeds: by the seed, for all people alike.
        both: by what a seed does for just these people.
        between: between seeds on these people, by the seed and by both together.
        seeds_low: lower end of the 95 % interval of `between`.
        seeds_high: its upper end.
        n_samples: how many samples were scored.
        digest: of task, cohort, store and candidate lists.
    """

    cohort: str
    task: str
    missingness: str
    method: str
    metric: str
    n_seeds: int
    mean: float
    low: float
    high: float
    people: float
    seeds: float
    both: float
    between: float
    seeds_low: float
    seeds_high: float
    n_samples: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class MethodRank:
    """A method's rank among all, the mean over tasks; 1 is the best.

    Attributes:
        cohort: the cohort's name.
        method: the pretraining task.
        missingness: the pattern; `all` for the mean over all of them.
        tasks: over which it is, once for each pattern.
        rank: on all samples.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: its upper end.
        best: share of the resamples in which the method is first.
    """

    cohort: str
    method: str
    missingness: str
    tasks: list[str]
    rank: float
    low: float
    high: float
    best: float


@dataclass(frozen=True)
class RunAnalysis:
    """All of them together; each list is a file of the name of its field."""

    measures: Sequence[Measure] = field(default_factory=list)
    calibration: Sequence[CalibrationBin] = field(default_factory=list)
    net_benefit: Sequence[NetBenefit] = field(default_factory=list)
    modality_value: Sequence[ModalityValue] = field(default_factory=list)
    subgroups: Sequence[SubgroupResult] = field(default_factory=list)


# Measures of high-confidence errors, by their prefix of version 0.1 and by their own.
_OLD_PREFIX, _NEW_PREFIX = "silent/", "high_confidence_errors/"

KINDS: Mapping[str, type[Any]] = {
    "measures": Measure,
    "calibration": CalibrationBin,
    "net_benefit": NetBenefit,
    "modality_value": ModalityValue,
    "subgroups": SubgroupResult,
}


def write_analysis(folder: Path, told: RunAnalysis) -> None:
    """Write `<field>.jsonl` for each field; what was there is replaced."""
    for name in KINDS:
        write_rows(folder / f"{name}.jsonl", getattr(told, name))


def read_analysis(folder: Path) -> RunAnalysis:
    """Read what `write_analysis` wrote; a table that is not there is empty.

    Raises:
        DataError: a line is not such a row.
    """
    analysis = RunAnalysis(
        **{
            name: read_rows(path, kind) if (path := folder / f"{name}.jsonl").is_file() else []
            for name, kind in KINDS.items()
        }
    )
    old = [row.measure for row in analysis.measures if row.measure.startswith(_OLD_PREFIX)]
    if old:
        warn_renamed(f"measure '{_OLD_PREFIX}…'", f"'{_NEW_PREFIX}…'", where=str(folder))
    return replace(analysis, measures=[_with_current_name(row) for row in analysis.measures])


def _with_current_name(row: Measure) -> Measure:
    if not row.measure.startswith(_OLD_PREFIX):
        return row
    name = row.measure.removeprefix(_OLD_PREFIX)
    return replace(row, measure=_NEW_PREFIX + ("gap" if name == "silence" else name))


def merge_analyses(several: Iterable[RunAnalysis]) -> RunAnalysis:
    """The tables of several runs as one."""
    parts = list(several)
    return RunAnalysis(
        **{name: [r for part in parts for r in getattr(part, name)] for name in KINDS}
    )


def select_tasks(told: RunAnalysis, wanted: Callable[[str], bool]) -> RunAnalysis:
    """The rows of those tasks whose names are wanted."""
    return RunAnalysis(
        **{name: [r for r in getattr(told, name) if wanted(r.task)] for name in KINDS}
    )
