"""Define, write and read the tables of a run's analysis, which lie beside its results.

Every row names its run, cohort, task and pattern, and the fingerprint of these. Numbers that
describe fewer than ten subjects are None.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clinical_symile.errors import warn_renamed
from clinical_symile.tracking.results import read_rows, write_rows


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a classification under one pattern that is not a metric of the task.

    Attributes:
        run: the run's name.
        cohort: the cohort's name.
        task: the task's name.
        missingness: the pattern.
        part: the outcome or draw of labels, for a task with several; else None.
        measure: `calibration/…`, `recalibrated/…`, `conformal/…`, `selective/…` or
            `high_confidence_errors/…`; see docs/explanation/clinical_measures.md.
        value: the number.
        low: lower end of the 95 % interval, by bootstrap over subjects; None where too many
            resamples leave it undefined.
        high: upper end of that interval.
        n_samples: number of samples.
        digest: fingerprint of task, cohort, store and candidate lists.
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
    """One point of a calibration curve: the predicted and the observed share.

    Attributes:
        recalibrated: True if the probabilities were recalibrated on tuning samples.
        bin: number of the bin, from 0; bins have about equal size.
        predicted: mean probability. It and the other numbers are None where the bin is suppressed:
            it, or the remainder, has fewer than ten subjects.
        observed: share of the samples with the outcome.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: upper end of that interval.
        n_samples: number of samples in the bin.

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
        threshold: the risk from which a clinician would treat.
        value: net benefit of treating by the probabilities.
        low: lower end of its 95 % interval, by bootstrap over subjects.
        high: upper end of that interval.
        treat_all: net benefit of treating every subject; treating none gives 0.
        gain: value minus the better of treating all and treating none.
        gain_low: lower end of its 95 % interval.
        gain_high: upper end of that interval.

    The other fields are those of `Measure`.
        no_interval: the reason, where there is no interval.
    """

    run: str
    cohort: str
    task: str
    missingness: str
    part: str | None
    threshold: float
    value: float
    low: float | None
    high: float | None
    treat_all: float
    gain: float
    gain_low: float | None
    gain_high: float | None
    n_samples: int
    digest: str
    no_interval: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModalityValue:
    """Contribution of modalities to a run's metric on a task.

    Attributes:
        metric: the task's primary metric, negated where lower is better.
        quantity: `shapley`, `alone` or `left_out` for one modality, `interaction` for several
            (above 0 synergy, below 0 redundancy), `total` for all.
        modalities: the modalities, joined by `+`, in the order of the task.
        value: in units of the metric.
        low: lower end of the 95 % interval; all quantities use the same resamples of subjects.
        high: upper end of that interval.
        n_samples: number of evaluated samples.
        n_subjects: number of their subjects.

    The other fields are those of `Measure`.
    """

    run: str
    cohort: str
    task: str
    metric: str
    quantity: str
    modalities: str
    value: float
    low: float | None
    high: float | None
    n_samples: int
    n_subjects: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class SubgroupResult:
    """A metric in one subgroup of samples.

    Attributes:
        metric: the task's primary metric.
        subgroup: what divides the samples: a subgroup of the cohort, or `availability`.
        level: the group's value.
        value: the metric of the group; None where the group is suppressed.
        low: lower end of the 95 % interval, by bootstrap over subjects.
        high: upper end of that interval.
        gap: value minus that of all other samples; None where either is suppressed.
        gap_low: lower end of the gap's 95 % interval.
        gap_high: upper end of that interval.
        p_value: p-value of the test that there is no gap.
        p_holm: p-value adjusted for all gaps of the run on the task.
        n_tests: number of these gaps.
        worst: share of resamples in which the group is the worst of its subgroup.
        n_samples: number of samples in the group; None where it is suppressed.
        n_subjects: number of their subjects; None where it is suppressed.
        withheld: why the group is suppressed; None where it is not.

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


@dataclass(frozen=True)
class RunAnalysis:
    """The tables of an analysis; each field is a file `<field>.jsonl`.

    Attributes:
        measures: rows of `Measure`.
        calibration: rows of `CalibrationBin`.
        net_benefit: rows of `NetBenefit`.
        modality_value: rows of `ModalityValue`.
        subgroups: rows of `SubgroupResult`.
    """

    measures: Sequence[Measure] = field(default_factory=list)
    calibration: Sequence[CalibrationBin] = field(default_factory=list)
    net_benefit: Sequence[NetBenefit] = field(default_factory=list)
    modality_value: Sequence[ModalityValue] = field(default_factory=list)
    subgroups: Sequence[SubgroupResult] = field(default_factory=list)


EVALUATE = "`clinical-symile evaluate` writes the new name."
"""Advice for an old word in a table that an evaluation writes."""
# Measures of high-confidence errors, by their prefix of version 0.1 and by their own.
_OLD_PREFIX, _NEW_PREFIX = "silent/", "high_confidence_errors/"

ANALYSIS_TABLES: Mapping[str, type[Any]] = {
    "measures": Measure,
    "calibration": CalibrationBin,
    "net_benefit": NetBenefit,
    "modality_value": ModalityValue,
    "subgroups": SubgroupResult,
}


def write_analysis(folder: Path, analysis: RunAnalysis) -> None:
    """Write `<field>.jsonl` for each field, replacing earlier files."""
    for name in ANALYSIS_TABLES:
        write_rows(folder / f"{name}.jsonl", getattr(analysis, name))


def read_analysis(folder: Path) -> RunAnalysis:
    """Read what `write_analysis` wrote; a missing file is an empty table.

    Raises:
        DataError: a line is not such a row.
    """
    analysis = RunAnalysis(
        **{
            name: read_rows(path, kind) if (path := folder / f"{name}.jsonl").is_file() else []
            for name, kind in ANALYSIS_TABLES.items()
        }
    )
    old = [row.measure for row in analysis.measures if row.measure.startswith(_OLD_PREFIX)]
    if old:
        warn_renamed(
            f"measure '{_OLD_PREFIX}…'", f"'{_NEW_PREFIX}…'", where=str(folder), advice=EVALUATE
        )
    return replace(analysis, measures=[_with_current_name(row) for row in analysis.measures])


def _with_current_name(row: Measure) -> Measure:
    if not row.measure.startswith(_OLD_PREFIX):
        return row
    name = row.measure.removeprefix(_OLD_PREFIX)
    return replace(row, measure=_NEW_PREFIX + ("gap" if name == "silence" else name))


def merge_analyses(several: Iterable[RunAnalysis]) -> RunAnalysis:
    """Concatenate the tables of several analyses."""
    parts = list(several)
    return RunAnalysis(
        **{name: [r for part in parts for r in getattr(part, name)] for name in ANALYSIS_TABLES}
    )


def select_tasks(analysis: RunAnalysis, wanted: Callable[[str], bool]) -> RunAnalysis:
    """Return the rows of the tasks whose names satisfy a condition."""
    return RunAnalysis(
        **{name: [r for r in getattr(analysis, name) if wanted(r.task)] for name in ANALYSIS_TABLES}
    )
