"""Show which method leads without a modality, and which runs pass sums over pairs of them."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from clinical_symile.formatting import (
    format_difference,
    format_difference_interval,
    format_p_value,
    format_value,
    join_words,
)
from clinical_symile.registry.run_names import PAIR_SUMS
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section, result_cell
from clinical_symile.reporting.text.answers import Decision
from clinical_symile.reporting.text.findings import better_sign
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison

_WITHOUT = "without-"  # begins the patterns that hide one modality of every sample
_COMPLETE = "complete"
_NEEDS = ("scores", "comparisons", "tasks", "trained")


def objective_sentences(
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    trained: Sequence[Series],
) -> list[str]:
    """State which method leads each task without one modality, and which ones pass sums over pairs.

    Leaders that are significantly better than the next come first, and the others last. Of a task,
    the modality without which the runs are worst is before the others.
    """
    found: list[tuple[bool, str]] = []
    passing: list[str] = []
    for name, task in tasks.items():
        for pattern, values in _without_one(name, scores, task, trained):
            found.append(_leader(name, pattern, values, decisions, task))
    for name, task in tasks.items():
        rows = _against_pair_sums(name, comparisons, tasks, trained)
        if rows:
            passed = _methods_above(rows, task)
            who = join_words(passed) if passed else "no run"
            passing.append(
                f"{task_label(name, task)}, nothing missing: above the best sum over pairs "
                f"by the interval and after Holm: {who}."
            )
    decided = [sentence for is_decided, sentence in found if is_decided]
    return [*decided, *passing, *(sentence for is_decided, sentence in found if not is_decided)]


def draw_third_order(
    *,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    trained: Sequence[Series],
) -> Content | None:
    """Draw a table of each run against the ceiling of sums over pairs, with nothing missing."""
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
        ceiling = result_cell(scores.get(PAIR_SUMS, name, _COMPLETE, metric))
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
        "is trained. The ceiling knows how the data were generated. Its two tables of scores were "
        "searched for the best recall, so the true ceiling may be higher. A run clearly "
        "above it uses the interaction of three modalities.",
        panels=panels,
        caption="Differences are paired over the same samples, with 95 % intervals over subjects. "
        "p (Holm) adjusts for all differences from baselines.",
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
    pattern: str,
    values: Mapping[str, Sequence[float]],
    decisions: Sequence[Decision],
    task: Mapping[str, Any],
) -> tuple[bool, str]:
    """Return a sentence on the best method without one modality, over its seeds, and the next.

    Before it, True if they differ significantly.
    """
    metric, sign = task["primary"], 1 if task["higher_is_better"] else -1
    ranked = sorted(values, key=lambda method: -sign * mean(values[method]))
    seeds = max(map(len, values.values()))
    over = f", means of {seeds} seeds" if seeds > 1 else ""
    shown = [f"{method} ({format_value(mean(values[method]), metric)})" for method in ranked[:2]]
    words = (
        f"{task_label(name, task)}, {pattern_label(pattern)}: {shown[0]} has the best "
        f"{metric_label(metric)}{over}"
    )
    if len(ranked) == 1:
        return False, f"{words}."
    words += f", before {shown[1]}"
    found = next(
        (
            one
            for one in decisions
            if (one.task, one.pattern, set(one.methods)) == (name, pattern, set(ranked[:2]))
        ),
        None,
    )
    if found is None:
        return False, f"{words}; they were not compared on the same samples."
    if not found.better:
        return False, f"{words}; these data do not tell which of the two is better."
    return True, f"{words}; {found.better} is better {found.words}."


def _without_one(
    name: str, scores: ResultTable, task: Mapping[str, Any], trained: Sequence[Series]
) -> list[tuple[str, dict[str, list[float]]]]:
    """Return each pattern without one modality, the worst first, and the values of its methods.

    The values of a method are those of its seeds; a pattern is as bad as the mean over all runs.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for pattern in scores.patterns(name):
        for one in trained if pattern.startswith(_WITHOUT) else ():
            if (row := scores.get(one.run, name, pattern, task["primary"])) is not None:
                found.setdefault(pattern, {}).setdefault(one.method, []).append(row.value)
    sign = 1 if task["higher_is_better"] else -1

    def quality(pattern: str) -> float:
        return sign * mean(value for seeds in found[pattern].values() for value in seeds)

    return [(pattern, found[pattern]) for pattern in sorted(found, key=quality)]


def _methods_above(rows: Sequence[tuple[Series, Comparison]], task: Mapping[str, Any]) -> list[str]:
    """Return the methods with runs above the ceiling, and of several seeds, how many are."""
    above: dict[str, list[bool]] = {}
    for one, row in rows:
        above.setdefault(one.method, []).append(better_sign(row, task=task) > 0)
    labels = {one.method: one.label for one, _ in rows}
    return [
        f"{method} ({sum(runs)} of {len(runs)} seeds)" if len(runs) > 1 else labels[method]
        for method, runs in above.items()
        if any(runs)
    ]


def _against_pair_sums(
    name: str, comparisons: Sequence[Comparison], tasks: TaskTables, trained: Sequence[Series]
) -> list[tuple[Series, Comparison]]:
    """Return each run with its difference from the ceiling, with nothing missing; best first."""
    by_run = {one.run: one for one in trained}
    task = tasks[name]
    rows = [
        row
        for row in comparisons
        if row.baseline == PAIR_SUMS
        and row.run in by_run
        and (row.task, row.missingness, row.metric) == (name, _COMPLETE, task["primary"])
    ]
    return [(by_run[r.run], r) for r in sorted(rows, key=lambda row: -row.difference)]
