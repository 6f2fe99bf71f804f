"""Draw the first screen of a report: answers, one figure, the subjects and a caveat."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clinical_symile.missingness.part_patterns import SHIFTED_MARKER
from clinical_symile.reporting.cohort_counts import subjects_sentence
from clinical_symile.reporting.figures.picture import Legend
from clinical_symile.reporting.report_data import ReportFacts
from clinical_symile.reporting.result_lookup import (
    MethodLines,
    ResultTable,
    Series,
    TaskTables,
)
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
)
from clinical_symile.reporting.sections.best_method import (
    best_method_sentences,
    best_methods,
    training_costs,
)
from clinical_symile.reporting.sections.interpolation import (
    interpolation_legend,
    interpolation_panels,
    interpolation_sentences,
)
from clinical_symile.reporting.sections.marker_shift import shift_sentences
from clinical_symile.reporting.sections.missingness import degradation_panels
from clinical_symile.reporting.sections.modality_mismatch import (
    mismatch_matrices,
    mismatch_panel,
    mismatch_sentences,
)
from clinical_symile.reporting.sections.pairing import (
    pairing_legend,
    pairing_panels,
    pairing_sentences,
)
from clinical_symile.reporting.sections.performance import primary_metric_panels
from clinical_symile.reporting.sections.third_order import objective_sentences
from clinical_symile.reporting.text.answers import (
    MOST_ANSWERS,
    Decision,
    answer_sentences,
    retained_answers,
)
from clinical_symile.reporting.text.caveats import (
    main_caveat,
    seed_caveat,
)
from clinical_symile.reporting.text.findings import (
    finding_sentences,
    most_complete_pattern,
)
from clinical_symile.reporting.text.labels import CHANCE_LABEL, ORACLE_LABEL
from clinical_symile.tracking.benchmark_tables import MethodComparison
from clinical_symile.tracking.results import Comparison, SkippedResult


def draw_findings(
    *,
    comparisons: Sequence[Comparison],
    methods_compared: Sequence[MethodComparison],
    methods_by_task: Mapping[str, Series],
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    facts: ReportFacts,
) -> Content:
    """Answer the report's question: at most three sentences, one figure, subjects, one caveat."""
    # Baselines are in figures and tables; a sentence on each pair would hide the others.
    details = finding_sentences(
        scores,
        comparisons,
        tasks=tasks,
        series=trained,
        methods_compared=methods_compared,
        methods=methods_by_task,
    )
    answers = answer_sentences(scores, decisions, tasks=tasks, series=trained)
    panel = _leading_panel(scores, decisions, tasks=tasks, series=trained)
    return _first_screen(answers, panel, facts, details=details)


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


def _degradation_panel(lines: MethodLines, tasks: TaskTables) -> ReportPanel | None:
    """Draw the first curve over severities, with a line for each method."""
    panels = degradation_panels(lines.scores, tasks=tasks, series=lines.series)
    if not panels or not lines.words:
        return next(iter(panels), None)
    first, picture = panels[0], panels[0].picture
    title, head = f"{first.title}{lines.words}", ["method", *first.head[1:]]
    if picture is not None:
        picture = replace(picture, title=f"{title}; the table below has the numbers")
    return replace(first, title=title, head=head, picture=picture)


def draw_retained(
    *,
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    facts: ReportFacts,
    lines: MethodLines,
) -> Content:
    """Answer what is retained when modalities are missing."""
    found = retained_answers(scores, decisions, tasks=tasks, series=trained)
    return _first_screen(found, _degradation_panel(lines, tasks), facts)


def draw_objective_findings(
    *,
    comparisons: Sequence[Comparison],
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    facts: ReportFacts,
    lines: MethodLines,
) -> Content:
    """Answer which objective leads without a modality, and which ones pass sums over pairs."""
    found = objective_sentences(scores, comparisons, decisions, tasks=tasks, trained=trained)
    return _first_screen(found, _degradation_panel(lines, tasks), facts)


def draw_method_findings(
    *,
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    facts: ReportFacts,
    lines: MethodLines,
) -> Content:
    """Answer which method holds up, for which kind of missingness, and how sure that is."""
    best = best_methods(scores, decisions, tasks=tasks, trained=trained)
    found = best_method_sentences(best, training_costs(facts.runs, trained), scores, tasks=tasks)
    found += retained_answers(scores, decisions, tasks=tasks, series=trained)
    return _first_screen(found, _degradation_panel(lines, tasks), facts)


def draw_mismatch_findings(
    *,
    unscored: Sequence[SkippedResult],
    scores: ResultTable,
    tasks: TaskTables,
    facts: ReportFacts,
) -> Content:
    """Answer what is lost when a model meets other modalities than it was trained with."""
    matrices = mismatch_matrices(scores, facts.runs, unscored, tasks=tasks)
    found = mismatch_sentences(matrices, tasks)
    panel = mismatch_panel(matrices[0], tasks) if matrices else None
    return replace(_first_screen(found, panel, facts), legend=None)  # a heat map has none


def draw_interpolation_findings(
    *,
    comparisons: Sequence[Comparison],
    scores: ResultTable,
    tasks: TaskTables,
    facts: ReportFacts,
) -> Content:
    """Answer what lies between two runs, and which share of each tuning samples choose."""
    found = interpolation_sentences(scores, comparisons, tasks=tasks, runs=facts.runs)
    panels = interpolation_panels(scores, tasks=tasks, runs=facts.runs)
    legend = interpolation_legend(scores, tasks=tasks, runs=facts.runs)
    return _first_screen(found, next(iter(panels), None), facts, legend=legend)


def draw_pairing_findings(
    *,
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    facts: ReportFacts,
) -> Content:
    """Answer what fewer whole samples and mismatched ones cost, and which method loses least."""
    found = pairing_sentences(scores, decisions, tasks=tasks, runs=facts.runs, trained=trained)
    panels = pairing_panels(scores, tasks=tasks, runs=facts.runs, trained=trained)
    panel = next(iter(panels), None)
    legend = pairing_legend(facts.runs, trained, has_oracle=facts.has_oracle)
    return _first_screen(found, panel, facts, legend=legend)


def draw_shift_findings(
    *,
    losses: Sequence[Comparison],
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    facts: ReportFacts,
) -> Content:
    """Answer what is lost where a marker follows the outcome, but not in held-out samples."""
    found = shift_sentences(scores, losses, decisions, tasks=tasks, trained=trained)
    panels = degradation_panels(scores, tasks=tasks, series=trained)
    panel = next(
        (one for one in panels if one.picture and SHIFTED_MARKER in one.picture.name), None
    )
    return _first_screen(found, panel, facts)


def _first_screen(
    found: Sequence[str],
    panel: ReportPanel | None,
    facts: ReportFacts,
    *,
    details: Sequence[str] = (),
    legend: Legend | None = None,
) -> Content:
    """Return the first screen of a report; its figure is named `answer`.

    Args:
        found: sentences, the most important first; those after `MOST_ANSWERS` are folded.
        panel: the figure; None for none.
        facts: what is shown beside the answers; what primary comparisons found comes first.
        details: further sentences that are folded.
        legend: of the figure, if it is not that of the methods.
    """
    panels = []
    if panel is not None and panel.picture is not None:
        panels = [replace(panel, picture=replace(panel.picture, name="answer"))]
        trained = [one for one in facts.series if one.run not in facts.baselines]
        methods = {one.method: one for one in reversed(trained)}
        best = ORACLE_LABEL * facts.has_oracle
        legend = legend or method_legend(
            [*methods.values()][::-1], best=best, dotted=CHANCE_LABEL, across=panel.across
        )
    return Content(
        heading="Answer",
        panels=panels,
        legend=legend if panels else None,
        caption=main_caveat(facts.results, series=facts.series, runs=facts.runs, notes=facts.notes),
        values={
            "sentences": [*facts.primary, *found[:MOST_ANSWERS]],
            "details": [*found[MOST_ANSWERS:], *details],
            "subjects": subjects_sentence(facts.cohort),
            "seeds": _seed_caveat(facts.series, facts.runs),
        },
    )


def _seed_caveat(series: Sequence[Series], runs: Sequence[Mapping[str, Any]]) -> str:
    trained = {record["name"] for record in runs}
    return seed_caveat([one for one in series if one.run in trained]) or ""


_NEEDS = ("scores", "decisions", "tasks", "trained", "facts")

FINDING_SENTENCES = Section(
    "findings",
    ("comparisons", "methods_compared", "methods_by_task", *_NEEDS),
    draw_findings,
    "sections/sentences.j2",
    display_name="findings",
    description="Answers the question in three sentences, with a figure, subjects and a caveat.",
)

OBJECTIVE_FINDINGS = Section(
    "objective_findings",
    ("comparisons", *_NEEDS, "lines"),
    draw_objective_findings,
    "sections/sentences.j2",
    display_name="objectives, in sentences",
    description="States which objective leads without a modality, and which pass sums over pairs.",
)

METHOD_FINDINGS = Section(
    "method_findings",
    (*_NEEDS, "lines"),
    draw_method_findings,
    "sections/sentences.j2",
    display_name="methods, in sentences",
    description="States which method holds up, for which kind of missingness, and how sure it is.",
)

MISMATCH_FINDINGS = Section(
    "mismatch_findings",
    ("unscored", "scores", "tasks", "facts"),
    draw_mismatch_findings,
    "sections/sentences.j2",
    display_name="modalities of training against those met, in sentences",
    description="States what is lost when modalities are missing, added or exchanged in use.",
)

INTERPOLATION_FINDINGS = Section(
    "interpolation_findings",
    ("comparisons", "scores", "tasks", "facts"),
    draw_interpolation_findings,
    "sections/sentences.j2",
    display_name="between two runs (WiseFT), in sentences",
    description="States what runs between two runs reach, and which one tuning samples choose.",
)

PAIRING_FINDINGS = Section(
    "pairing_findings",
    _NEEDS,
    draw_pairing_findings,
    "sections/sentences.j2",
    display_name="whole and mismatched samples, in sentences",
    description="States what fewer whole samples and mismatched ones cost each method.",
)

SHIFT_FINDINGS = Section(
    "shift_findings",
    ("losses", *_NEEDS),
    draw_shift_findings,
    "sections/sentences.j2",
    display_name="shift of a marker, in sentences",
    description="States what is lost where a marker no longer follows the outcome.",
)

RETAINED = Section(
    "retained",
    (*_NEEDS, "lines"),
    draw_retained,
    "sections/sentences.j2",
    display_name="retained performance, in sentences",
    description="States how much performance is retained when modalities are missing.",
)
