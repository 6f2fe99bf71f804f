"""Show the sentences of a report: answers, warnings, methods, provenance and missing results."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clinical_symile.formatting import mask_small_counts
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
)
from clinical_symile.reporting.sections.missingness import degradation_panels
from clinical_symile.reporting.sections.performance import primary_metric_panels
from clinical_symile.reporting.text.answers import (
    MOST_ANSWERS,
    Decision,
    answer_sentences,
    method_decisions,
    retained_answers,
    subjects_sentence,
)
from clinical_symile.reporting.text.caveats import (
    above_oracle_sentences,
    code_difference_sentence,
    interval_sentence,
    main_caveat,
    seed_caveat,
)
from clinical_symile.reporting.text.findings import (
    finding_sentences,
    most_complete_pattern,
    oracle_sentences,
)
from clinical_symile.reporting.text.labels import CHANCE_LABEL, ORACLE_LABEL
from clinical_symile.tracking.benchmark_tables import MethodComparison
from clinical_symile.tracking.results import Comparison, Result, SkippedResult


def draw_findings(
    *,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    runs: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, str],
    methods_compared: Sequence[MethodComparison],
    methods_by_task: Mapping[str, Series],
    results: Sequence[Result],
    cohort: Mapping[str, Any],
    has_oracle: bool,
) -> Content:
    """Answer the report's question: at most three sentences, one figure, subjects, one caveat."""
    # Baselines are in figures and tables; a sentence on each pair would hide the others.
    without_baselines = [one for one in series if one.run not in baselines]
    decisions = method_decisions(
        comparisons,
        tasks=tasks,
        series=without_baselines,
        methods_compared=methods_compared,
        methods=methods_by_task,
    )
    details = finding_sentences(
        scores,
        comparisons,
        tasks=tasks,
        series=without_baselines,
        methods_compared=methods_compared,
        methods=methods_by_task,
    )
    answers = answer_sentences(scores, decisions, tasks=tasks, series=without_baselines)
    panel = _leading_panel(scores, decisions, tasks=tasks, series=without_baselines)
    return _answer(answers, details, panel, series, runs, results, cohort, has_oracle, baselines)


def _leading_panel(
    scores: ResultTable,
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
) -> ReportPanel | None:
    """Draw the task of the first answer: the best decided of each kind's first task."""
    drawn: dict[str, tuple[float, ReportPanel]] = {}
    for name, task in tasks.items():
        kind = str(task["kind"])
        if kind in drawn:
            continue
        found = primary_metric_panels(scores, {name: task}, series, kind=kind, complete=False)
        reference = most_complete_pattern(scores, name=name, task=task, series=series)
        strengths = [
            one.strength for one in decisions if (one.task, one.pattern) == (name, reference)
        ]
        if found:
            drawn[kind] = (max(strengths, default=0.0), found[0])
    return max(drawn.values(), key=lambda pair: pair[0], default=(0.0, None))[1]


def draw_retained(
    *,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    runs: Sequence[Mapping[str, Any]],
    results: Sequence[Result],
    cohort: Mapping[str, Any],
    has_oracle: bool,
) -> Content:
    """Answer what is retained when modalities are missing."""
    decisions = method_decisions(comparisons, tasks=tasks, series=series)
    sentences = retained_answers(scores, decisions, tasks=tasks, series=series)
    panel = next(iter(degradation_panels(scores, tasks=tasks, series=series)), None)
    details = sentences[MOST_ANSWERS:]
    answers = sentences[:MOST_ANSWERS]
    return _answer(answers, details, panel, series, runs, results, cohort, has_oracle, {})


def _answer(
    answers: Sequence[str],
    details: Sequence[str],
    panel: ReportPanel | None,
    series: Sequence[Series],
    runs: Sequence[Mapping[str, Any]],
    results: Sequence[Result],
    cohort: Mapping[str, Any],
    has_oracle: bool,
    baselines: Mapping[str, str],
) -> Content:
    """Return the first screen of a report; its figure is named `answer`."""
    legend, panels = None, []
    if panel is not None and panel.picture is not None:
        panels = [replace(panel, picture=replace(panel.picture, name="answer"))]
        methods = {one.method: one for one in reversed(series) if one.run not in baselines}
        best = ORACLE_LABEL * has_oracle
        legend = method_legend(
            [*methods.values()][::-1], best=best, dotted=CHANCE_LABEL, across=panel.across
        )
    return Content(
        heading="Answer",
        panels=panels,
        legend=legend,
        caption=main_caveat(results, series=series, runs=runs),
        values={
            "sentences": answers,
            "details": details,
            "subjects": subjects_sentence(cohort),
            "seeds": _seed_caveat(series, runs),
        },
    )


def draw_above_oracle(
    *,
    above_best: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    tested: int,
) -> Content | None:
    """Warn of results that are better than the oracle's by more than chance explains."""
    sentences = above_oracle_sentences(above_best, tasks=tasks, series=series)
    if not sentences:
        return None
    return Content(
        heading="Better than is possible.",
        text=f"{tested} results were compared with the oracle on the same samples, with intervals "
        "that hold simultaneously. By chance alone, about one report in forty has such a line. A "
        "label or an answer probably leaks: find the leak before you use these results.",
        values={"sentences": sentences},
    )


def draw_methods(*, runs: Sequence[Mapping[str, Any]], series: Sequence[Series]) -> Content | None:
    """Describe how each run copes with missing modalities."""
    by_run = {one.run: one for one in series}
    known = [(by_run[str(run["name"])], run["definition"]) for run in runs]
    if not known:
        return None
    return Content(
        heading="Which methods are compared",
        text="The same model, trained in different ways to cope with missing modalities. “On 50 % "
        "missing” is the pattern during training; without it, training used what was recorded.",
        values={"methods": known},
    )


def draw_oracle(
    *, oracle: Mapping[str, Any] | None, cohort: Mapping[str, Any], tasks: TaskTables
) -> Content | None:
    """Return the exact values of the synthetic world."""
    sentences = oracle_sentences(oracle, cohort=cohort, tasks=tasks)
    if not sentences:
        return None
    return Content(
        heading="What is possible",
        text="The distribution of the synthetic cohort is known, so these values are exact: over "
        "all possible subjects, with nothing missing. The oracle of the figures is evaluated on "
        "the held-out samples.",
        values={"sentences": sentences},
    )


def draw_not_scored(
    *, unscored: Sequence[SkippedResult], notes: Sequence[str], synthetic: bool
) -> Content | None:
    """List the results that could not be computed, with the reason."""
    if not unscored and not notes:
        return None
    rows = [
        row if synthetic else replace(row, reason=mask_small_counts(row.reason)) for row in unscored
    ]
    return Content(heading="What could not be computed", values={"rows": rows, "notes": notes})


def draw_provenance(
    *,
    runs: Sequence[Mapping[str, Any]],
    results: Sequence[Result],
    series: Sequence[Series],
    tasks: TaskTables,
    cohort: Mapping[str, Any],
    versions: Mapping[str, str],
    elapsed_s: float | None,
) -> Content:
    """List runs, digests, versions and how intervals were computed."""
    return Content(
        heading="How the results were made",
        caption=code_difference_sentence(runs) or "",
        values={
            "runs": runs,
            "results": results,
            "labels": {one.run: one.label for one in series},
            "tasks": tasks,
            "cohort": cohort,
            "versions": versions,
            "elapsed_s": elapsed_s,
            "intervals": interval_sentence(results, tasks=tasks),
        },
    )


def _seed_caveat(series: Sequence[Series], runs: Sequence[Mapping[str, Any]]) -> str:
    trained = {record["name"] for record in runs}
    return seed_caveat([one for one in series if one.run in trained]) or ""


_PROVENANCE_NEEDS = ("runs", "results", "series", "tasks", "cohort", "versions", "elapsed_s")

FINDING_SENTENCES = Section(
    "findings",
    (
        "scores",
        "comparisons",
        "tasks",
        "series",
        "runs",
        "baselines",
        "methods_compared",
        "methods_by_task",
        "results",
        "cohort",
        "has_oracle",
    ),
    draw_findings,
    "sections/sentences.j2",
    display_name="findings",
    description="Answers the question in three sentences, with a figure, subjects and a caveat.",
)
RETAINED = Section(
    "retained",
    (
        "scores",
        "comparisons",
        "tasks",
        "series",
        "runs",
        "results",
        "cohort",
        "has_oracle",
    ),
    draw_retained,
    "sections/sentences.j2",
    display_name="retained performance, in sentences",
    description="States how much performance is retained when modalities are missing.",
)
ABOVE_ORACLE = Section(
    "above_oracle",
    ("above_best", "tasks", "series", "tested"),
    draw_above_oracle,
    "sections/above_oracle.j2",
    display_name="results above the oracle",
    description=(
        "Warns of results that are better than the oracle's by more than chance explains."
    ),
)
METHODS = Section(
    "methods",
    ("runs", "series"),
    draw_methods,
    "sections/methods.j2",
    display_name="methods",
    description="Describes how each run treats missing modalities.",
)
ORACLE_VALUES = Section(
    "oracle",
    ("oracle", "cohort", "tasks"),
    draw_oracle,
    "sections/oracle.j2",
    display_name="exact values",
    description="States the exact values of the synthetic cohort's distribution.",
)
NOT_SCORED = Section(
    "not_scored",
    ("unscored", "notes", "synthetic"),
    draw_not_scored,
    "sections/not_scored.j2",
    display_name="missing results",
    description="Lists the results that could not be computed, with the reason.",
)
PROVENANCE = Section(
    "provenance",
    _PROVENANCE_NEEDS,
    draw_provenance,
    "sections/provenance.j2",
    display_name="provenance",
    description="Lists runs, digests, versions, and how intervals were computed.",
)
HIDDEN = Section(
    "hidden",
    _PROVENANCE_NEEDS,
    draw_provenance,
    "sections/hidden.j2",
    display_name="hidden measurements",
    description="Lists the runs, and the share of each modality that each pattern hides.",
)
