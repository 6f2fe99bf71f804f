"""Hold all that a report is made from: results of many subjects, never a row of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.result_lookup import (
    DIAGNOSTIC,
    MethodLines,
    ResultTable,
    Series,
    TaskTables,
    mean_over_seeds,
    method_series,
)
from clinical_symile.reporting.text.answers import Decision, method_decisions
from clinical_symile.reporting.text.primary import primary_sentences
from clinical_symile.tracking.analysis_tables import RunAnalysis
from clinical_symile.tracking.benchmark_tables import (
    MaskAuroc,
    MethodComparison,
    MethodRank,
    NetBenefitDifference,
    Robustness,
    SeedComponents,
    TriedSetting,
)
from clinical_symile.tracking.results import Comparison, Result, SkippedResult

REPORT_TYPES: Mapping[str, Any] = {
    "tasks": list[str],
    "notes": list[str],
    "runs": list[dict[str, Any]],
    "baselines": dict[str, str],
    "histories": dict[str, list[dict[str, float]]],
    "cohort": dict[str, Any],
    "tested": int,
    "primary": list[str] | None,
    "oracle": dict[str, Any] | None,
    "versions": dict[str, str],
    "elapsed_s": float | None,
}
"""The types of what `report_data.json` of a bundle has beside the tables."""


@dataclass(frozen=True, kw_only=True)
class QueryExample:
    """One synthetic query and the answers of each run.

    A measurement is an image `[h, w]` or `[1, h, w]` of bytes, an ECG `[12, time]` in mV at 500 Hz,
    or a list of (analyte, value, unit).

    Attributes:
        task: the retrieval task.
        query: the query's measurements, by modality.
        answers: for each run its first candidates, the best first, and whether each is correct.
    """

    task: str
    query: Mapping[str, Any]
    answers: Mapping[str, Sequence[tuple[Any, bool]]]


@dataclass(frozen=True, repr=False)
class ReportFacts:
    """The facts of a report that its first screen shows beside the answers.

    Attributes:
        series: the runs, as figures draw them.
        runs: the records of the trained runs.
        results: all results but those of diagnostics.
        cohort: the manifest of the cohort.
        has_oracle: True if the cohort's oracle is known.
        baselines: the baselines by run; figures' legends leave them out.
        notes: what else a reader must know.
        primary: what the primary comparisons found, in sentences.
    """

    series: Sequence[Series]
    runs: Sequence[Mapping[str, Any]]
    results: Sequence[Result]
    cohort: Mapping[str, Any]
    has_oracle: bool
    baselines: Mapping[str, str]
    notes: Sequence[str]
    primary: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that the sections of a report may need; results and tasks suffice for figures.

    Attributes:
        results: of all runs, and of `oracle` where there is one.
        tasks: for each evaluated task: kind, description, primary, higher_is_better; query and
            target, or inputs and outcome. Diagnostics have no higher_is_better.
        comparisons: paired differences between runs.
        losses: each run under each pattern minus the same run with nothing missing.
        seeds: variance over seeds and over subjects, of methods with several seeds.
        ranks: of methods, over tasks.
        methods_compared: differences of methods over subjects and seeds.
        net_benefit_differences: differences of net benefit between runs.
        settings: the settings of each method that were tried on the tuning split.
        robustness: retained shares, areas under degradation curves, and effective robustness.
        masks: AUROC of outcomes predicted from the missingness mask alone.
        analysis: calibration, decision curves, modality values and subgroups, of all runs.
        results_by_rule: primary metric of retrieval by each rule for a missing query modality.
        unscored: results that could not be computed, with the reason.
        notes: further remarks, such as tasks that do not apply.
        runs: the `run.toml` of each trained or external run.
        baselines: the description of each run that is a baseline.
        histories: each run's line per epoch, by its name.
        cohort: title, description, access, digest, counts, left_out, rejected and generator, as in
            the store's manifest.
        above_best: primary results above the oracle's: the difference on the same samples, with
            simultaneous 95 % intervals for all tested results.
        primary: the comparisons that were set before results were known, each as `TASK:PATTERN`.
        tested: how many primary results were compared with the oracle's.
        oracle: exact values of the synthetic world: total_correlation_nats, and for each complete
            task recall_at_1 or auroc; None if unknown.
        gallery: examples of queries; drawn only if the cohort is open and synthetic.
        versions: of the packages used.
        elapsed_s: seconds of the last call of the command; what earlier calls left is reused and
            not counted. None if unknown.
    """

    results: Sequence[Result]
    tasks: TaskTables
    comparisons: Sequence[Comparison] = ()
    losses: Sequence[Comparison] = ()
    seeds: Sequence[SeedComponents] = ()
    ranks: Sequence[MethodRank] = ()
    methods_compared: Sequence[MethodComparison] = ()
    net_benefit_differences: Sequence[NetBenefitDifference] = ()
    robustness: Sequence[Robustness] = ()
    masks: Sequence[MaskAuroc] = ()
    settings: Sequence[TriedSetting] = ()
    analysis: RunAnalysis = field(default_factory=RunAnalysis)
    results_by_rule: Sequence[Result] = ()
    unscored: Sequence[SkippedResult] = ()
    notes: Sequence[str] = ()
    runs: Sequence[Mapping[str, Any]] = ()
    baselines: Mapping[str, str] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Mapping[str, int | float]]] = field(default_factory=dict)
    cohort: Mapping[str, Any] = field(default_factory=dict)
    above_best: Sequence[Comparison] = ()
    tested: int = 0
    primary: Sequence[str] = ()
    oracle: Mapping[str, Any] | None = None
    gallery: Sequence[QueryExample] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    elapsed_s: float | None = None

    @cached_property
    def scores(self) -> ResultTable:
        """The results, looked up by run, task, pattern and metric."""
        return ResultTable(self.results)

    @cached_property
    def series(self) -> list[Series]:
        """Each run with its label and colour."""
        compared = (name for row in self.comparisons for name in (row.run, row.baseline))
        lost = (row.run for row in self.losses)
        return method_series(self.runs, [*(row.run for row in self.results), *compared, *lost])

    @cached_property
    def trained(self) -> list[Series]:
        """Each run that is no baseline, with its label and colour."""
        return [one for one in self.series if one.run not in self.baselines]

    @cached_property
    def lines(self) -> MethodLines:
        """The results of a figure with one line for each method."""
        return mean_over_seeds(
            self.scores, self.seeds, methods=self.methods_by_task, trained=self.trained
        )

    @cached_property
    def decisions(self) -> list[Decision]:
        """The comparison of each two methods on each task under each pattern; without baselines."""
        return method_decisions(
            self.comparisons,
            tasks=self.tasks,
            series=self.trained,
            methods_compared=self.methods_compared,
            methods=self.methods_by_task,
        )

    @cached_property
    def methods(self) -> list[Series]:
        """Each method once, with its label and colour."""
        return list({one.method: one for one in reversed(self.series)}.values())[::-1]

    @cached_property
    def methods_by_task(self) -> dict[str, Series]:
        """Each method by the names of its runs and of its pretraining task."""
        by_run = {one.run: one for one in self.series}
        by_task = {str(record.get("task")): str(record["name"]) for record in self.runs}
        return {**by_run, **{task: by_run[name] for task, name in by_task.items()}}

    @property
    def diagnostics(self) -> TaskTables:
        """The tasks that describe models; no section but their own shows their results."""
        return {name: task for name, task in self.tasks.items() if task["kind"] == DIAGNOSTIC}

    def section_input(self, name: str) -> Any:
        """Return what a section needs by this name; `tasks` and `results` without diagnostics."""
        apart = self.diagnostics
        if name == "tasks":
            return {key: task for key, task in self.tasks.items() if key not in apart}
        if name == "results":
            return [row for row in self.results if row.task not in apart]
        return getattr(self, name)

    @property
    def facts(self) -> ReportFacts:
        """The facts that a first screen shows beside its answers."""
        return ReportFacts(
            self.series,
            self.runs,
            self.section_input("results"),
            self.cohort,
            self.has_oracle,
            self.baselines,
            self.notes,
            primary_sentences(self.primary, self.decisions, tasks=self.tasks),
        )

    @property
    def has_oracle(self) -> bool:
        """Return whether any result of an oracle is known."""
        return any(row.run == ORACLE for row in self.results)

    @property
    def synthetic(self) -> bool:
        """Return whether the subjects are synthetic."""
        return is_synthetic(self.cohort)


def data_names() -> set[str]:
    """Return the names that a section may need."""
    derived = (cached_property, property)
    properties = [name for name, value in vars(ReportData).items() if isinstance(value, derived)]
    return {*(one.name for one in fields(ReportData)), *properties}
