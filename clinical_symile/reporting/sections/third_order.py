"""Show which objective holds up without a modality, and which ones pass sums over pairs."""

from collections.abc import Mapping, Sequence

from clinical_symile.formatting import (
    format_difference,
    format_difference_interval,
    format_p_value,
    format_value,
    join_words,
)
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section, result_cell
from clinical_symile.reporting.text.findings import better_sign
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison

_PAIR_SUMS = "pair-sums"  # the run of evaluation.pair_sum_ceiling
_WITHOUT = "without-ecg"
_COMPLETE = "complete"
_NEEDS = ("scores", "comparisons", "tasks", "series", "baselines")


def draw_objective_findings(
    *,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    baselines: Mapping[str, str],
) -> Content | None:
    """State which run leads each task without the ECG, and which runs pass sums over pairs."""
    trained = [one for one in series if one.run not in baselines]
    sentences: list[str] = []
    for name in tasks:
        sentences += _leader(name, scores, comparisons, tasks, trained)
    for name in tasks:
        rows = _against_pair_sums(name, comparisons, tasks, trained)
        if rows:
            passed = [one.label for one, row in rows if better_sign(row, task=tasks[name]) > 0]
            who = join_words(passed) if passed else "no run"
            sentences.append(
                f"{task_label(name, tasks[name])}, nothing missing: above the best sum over pairs "
                f"by the interval and after Holm: {who}."
            )
    return Content(values={"sentences": sentences}) if sentences else None


def draw_third_order(
    *,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    baselines: Mapping[str, str],
) -> Content | None:
    """Draw a table of each run against the ceiling of sums over pairs, with nothing missing."""
    trained = [one for one in series if one.run not in baselines]
    panels = []
    for name, task in tasks.items():
        rows = _against_pair_sums(name, comparisons, tasks, trained)
        if not rows:
            continue
        metric = task["primary"]
        body = [
            [
                one.label,
                result_cell(scores.get(one.run, name, _COMPLETE, metric)),
                format_difference(row.difference, metric),
                format_difference_interval(row.low, row.high, metric),
                format_p_value(row.p_holm),
                "yes" if better_sign(row, task=task) > 0 else "not shown",
            ]
            for one, row in rows
        ]
        ceiling = result_cell(scores.get(_PAIR_SUMS, name, _COMPLETE, metric))
        body.append(["best sum over pairs", ceiling, "", "", "", ""])
        if (best := scores.best(name, _COMPLETE, metric)) is not None:
            body.append(["oracle", format_value(best, metric, exact=True), "", "", "", ""])
        if (chance := scores.chance(name, _COMPLETE, metric)) is not None:
            body.append(["chance", format_value(chance, metric, exact=True), "", "", "", ""])
        head = ["run", metric_label(metric), "difference", "95 % interval", "p (Holm)", "above"]
        panels.append(ReportPanel(task_label(name, task), None, head, body))
    if not panels:
        return None
    return Content(
        heading="Which objectives learn what no pair of modalities tells?",
        text="A score that is a sum over pairs of modalities cannot exceed a ceiling, however it "
        "is trained. The ceiling knows how the data were generated: its two tables of scores were "
        "searched for the best recall, so the true ceiling may be slightly higher. A run clearly "
        "above it uses the interaction of three modalities.",
        panels=panels,
        caption="Differences are paired over the same samples, with 95 % intervals over subjects. "
        "p (Holm) adjusts for all differences from baselines.",
    )


OBJECTIVE_FINDINGS = Section(
    "objective_findings",
    _NEEDS,
    draw_objective_findings,
    "sections/sentences.j2",
    display_name="objectives, in sentences",
    description="States which objective leads without the ECG, and which pass sums over pairs.",
)
THIRD_ORDER = Section(
    "third_order",
    _NEEDS,
    draw_third_order,
    display_name="third order",
    description="Compares each run with the best score that is a sum over pairs of modalities.",
)


def _leader(
    name: str,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    trained: Sequence[Series],
) -> list[str]:
    """Return a sentence on the best run without the ECG and the next one of another method."""
    task = tasks[name]
    metric, sign = task["primary"], 1 if task["higher_is_better"] else -1
    found = [(one, scores.get(one.run, name, _WITHOUT, metric)) for one in trained]
    known = sorted(
        ((one, row) for one, row in found if row is not None), key=lambda r: -sign * r[1].value
    )
    if not known:
        return []
    first, best = known[0]
    words = (
        f"{task_label(name, task)}, {pattern_label(_WITHOUT)}: {first.label} is first with "
        f"{metric_label(metric)} {result_cell(best)}"
    )
    others = [(one, row) for one, row in known if one.method != first.method]
    if not others:
        return [f"{words}."]
    second, row = others[0]
    words += f", {second.label} next with {result_cell(row)}"
    pair = {first.run, second.run}
    compared = [
        one
        for one in comparisons
        if {one.run, one.baseline} == pair
        and (one.task, one.missingness, one.metric) == (name, _WITHOUT, metric)
    ]
    if not compared:
        return [f"{words}; they were not compared on the same samples with one seed."]
    apart = better_sign(compared[0], task=task) != 0
    end = (
        "the difference is significant"
        if apart
        else "these data do not tell which of the two is better"
    )
    p_value = format_p_value(compared[0].p_holm)
    return [f"{words}; {end} (p (Holm) {p_value})."]


def _against_pair_sums(
    name: str, comparisons: Sequence[Comparison], tasks: TaskTables, trained: Sequence[Series]
) -> list[tuple[Series, Comparison]]:
    """Return each run with its difference from the ceiling, with nothing missing; best first."""
    by_run = {one.run: one for one in trained}
    task = tasks[name]
    rows = [
        row
        for row in comparisons
        if row.baseline == _PAIR_SUMS
        and row.run in by_run
        and (row.task, row.missingness, row.metric) == (name, _COMPLETE, task["primary"])
    ]
    return [(by_run[r.run], r) for r in sorted(rows, key=lambda row: -row.difference)]
