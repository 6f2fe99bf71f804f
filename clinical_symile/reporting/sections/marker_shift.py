"""Show what runs lose where a marker follows the outcome, but not in held-out samples.

The tie of a pattern is that of the samples that the probe is fitted on. It says nothing of what the
encoders were trained on: that is the pattern of their own task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_symile.formatting import (
    DASH,
    PERCENT,
    format_difference,
    format_difference_interval,
    format_p_value,
    join_words,
)
from clinical_symile.missingness.part_patterns import SHIFTED_MARKER
from clinical_symile.missingness.severities import PartCurve, part_curves
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    metric_sentences,
    result_cell,
)
from clinical_symile.reporting.text.answers import Decision
from clinical_symile.reporting.text.findings import better_sign, size_in_words
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison

_KEPT, _COMPLETE = "marker", "complete"


@dataclass(frozen=True)
class _Loss:
    """The losses of a method under a pattern: how many of its runs, and how much.

    Attributes:
        method: the method.
        lost: the number of its runs, one for each seed, with a significant loss.
        runs: the number of its runs.
        size: the loss of the first run with its interval, in words.
    """

    method: str
    lost: int
    runs: int
    size: str

    @property
    def is_shown(self) -> bool:
        """True if a run of the method loses significantly."""
        return self.lost > 0

    @property
    def words(self) -> str:
        """The method with its loss."""
        if self.runs == 1:
            return f"{self.method} {self.size}"
        seeds = "each" if self.lost == self.runs else str(self.lost)
        return f"{self.method} with {seeds} of {self.runs} seeds"


def shift_sentences(
    scores: ResultTable,
    losses: Sequence[Comparison],
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    trained: Sequence[Series],
) -> list[str]:
    """State which methods lose under the strongest shift, what a marker itself costs, who is best.

    Of a method with several seeds, the number with a significant loss is said; no loss is shown
    only if there is none with any seed.
    """
    found: list[str] = []
    for name, task in tasks.items():
        for curve in _curves(scores, name, SHIFTED_MARKER):
            tie, pattern = list(curve.patterns.items())[-1]
            lost = _losses(losses, (name, pattern), task, trained)
            if not lost:
                continue
            shown = [one.words for one in lost if one.is_shown]
            others = [one.method for one in lost if not one.is_shown]
            metric = metric_label(task["primary"])
            fewer = "less" if task["higher_is_better"] else "worse"
            words = f"significantly {fewer} {metric}: {join_words(shown)}" if shown else ""
            rest = f"of {join_words(others)}, these data show no loss" if others else ""
            found.append(
                f"{task_label(name, task)}, where a marker follows the outcome by {tie:g}{PERCENT} "
                f"where the probe is fitted and not at all in held-out samples: "
                f"{'; '.join(part for part in (words, rest) if part)}."
            )
            found += _control(losses, (name, curve.patterns[0.0]), task, trained)
            found += _best(decisions, (name, pattern), len(lost))
    return found


def _control(
    losses: Sequence[Comparison],
    cell: tuple[str, str],
    task: Mapping[str, Any],
    trained: Sequence[Series],
) -> list[str]:
    """Return the sentence on a marker that tells nothing; none where it was not evaluated."""
    lost = _losses(losses, cell, task, trained)
    if not lost:
        return []
    shown = [one.words for one in lost if one.is_shown]
    what = "A marker that tells nothing, neither where the probe is fitted nor held out,"
    if shown:
        return [f"{what} costs by itself: {join_words(shown)}."]
    return [f"{what} costs none of the {len(lost)} methods anything that these data show."]


def _best(decisions: Sequence[Decision], cell: tuple[str, str], methods: int) -> list[str]:
    """Return the sentence on which methods differ under the strongest shift."""
    here = [one for one in decisions if (one.task, one.pattern) == cell]
    if not here or methods < 2:
        return []
    best = max(here, key=lambda one: one.strength)
    decided = sum(bool(one.better) for one in here)
    if not best.better:
        return ["Under this shift, these data do not tell which method is better."]
    than = f"{best.better} is better than {best.worse} {best.words}"
    return [f"Under this shift, {than}; {decided} of {len(here)} pairs differ."]


def draw_shift(
    *,
    scores: ResultTable,
    losses: Sequence[Comparison],
    tasks: TaskTables,
    trained: Sequence[Series],
    runs: Sequence[Mapping[str, Any]],
) -> Content | None:
    """Draw a table of each run with the marker's tie kept and lost, for each tie.

    The pattern that the encoders were trained under is from the definition in `runs`.
    """
    patterns = {run["name"]: run.get("definition", {}).get("missingness") for run in runs}
    trained_under = {name: pattern_label(one) for name, one in patterns.items() if one}
    panels = [
        _panel(scores, losses, name, task, trained, trained_under, curve)
        for name, task in tasks.items()
        for curve in _curves(scores, name, SHIFTED_MARKER)
    ]
    if not panels:
        return None
    return Content(
        heading="What does each method lose by a marker that no longer tells the outcome?",
        text="A black square lies at the lower edge of each X-ray, left or right. Where the "
        "probe is fitted, its side follows the outcome: with a tie of 90 %, 95 of 100 markers are "
        "on the outcome's side, with 0 % half of them. The encoders were trained before, under a "
        "pattern of their own, with such a marker or without. Kept, the side follows the outcome "
        "in held-out samples as well; lost, it is drawn there at random. A method that reads the "
        f"marker gains where it is kept, and loses where it is lost. {metric_sentences(tasks)}",
        panels=panels,
        caption="The difference is the value with the tie lost minus that without a marker, paired "
        "on the same samples, with 95 % intervals over subjects: "
        f"{_loss_signs(tasks)}. p (Holm) adjusts for all losses of "
        "the page. Probes are fitted under the same pattern.",
    )


SHIFT = Section(
    "shift",
    ("scores", "losses", "tasks", "trained", "runs"),
    draw_shift,
    display_name="shift of a marker",
    description="Compares runs where a marker follows the outcome, but not in held-out samples.",
)


def _curves(scores: ResultTable, name: str, part: str) -> list[PartCurve]:
    return [curve for curve in part_curves(scores.patterns(name)) if curve.part == part]


def _losses(
    losses: Sequence[Comparison],
    cell: tuple[str, str],
    task: Mapping[str, Any],
    trained: Sequence[Series],
) -> list[_Loss]:
    """Return the losses of the methods under a pattern; none of methods without all results."""
    found = {
        row.run: row
        for row in losses
        if (row.task, row.missingness) == cell and row.metric == task["primary"]
    }
    made: list[_Loss] = []
    for method in dict.fromkeys(one.method for one in trained):
        rows = [found[one.run] for one in trained if one.method == method and one.run in found]
        if rows:
            size, ends = size_in_words(rows[0])
            words = f"by {size} ({ends})" if ends else f"by {size}"
            lost = sum(better_sign(row, task=task) < 0 for row in rows)
            made.append(_Loss(method, lost, len(rows), words))
    return made


def _panel(
    scores: ResultTable,
    losses: Sequence[Comparison],
    name: str,
    task: Mapping[str, Any],
    trained: Sequence[Series],
    trained_under: Mapping[str, str],
    curve: PartCurve,
) -> ReportPanel:
    metric = task["primary"]
    kept = {
        severity: pattern
        for one in _curves(scores, name, _KEPT)
        if one.name == curve.name.replace(SHIFTED_MARKER, _KEPT, 1)
        for severity, pattern in one.patterns.items()
    }
    found = {(row.run, row.missingness): row for row in losses if row.task == name}
    body: list[list[str]] = []
    for one in trained:
        for tie, pattern in curve.patterns.items():
            if pattern == _COMPLETE or scores.get(one.run, name, pattern, metric) is None:
                continue
            loss = found.get((one.run, pattern))
            body.append(
                [
                    f"{one.label}, {tie:g}{PERCENT} tied",
                    trained_under.get(one.run, DASH),
                    result_cell(scores.get(one.run, name, _COMPLETE, metric)),
                    result_cell(scores.get(one.run, name, kept.get(tie, ""), metric)),
                    result_cell(scores.get(one.run, name, pattern, metric)),
                    *_cells(loss, metric),
                ]
            )
    label = metric_label(metric)
    head = ["method, and tie where the probe is fitted", "encoders trained under"]
    head += [f"{label}, no marker", "tie kept", "tie lost", "tie lost minus no marker"]
    title = f"{task_label(name, task)}: {label}"
    return ReportPanel(title, None, [*head, "95 % interval", "p (Holm)"], body)


def _loss_signs(tasks: TaskTables) -> str:
    """Return which sign of the difference is a loss, by whether lower values are better."""
    lower = [metric_label(one["primary"]) for one in tasks.values() if not one["higher_is_better"]]
    if not lower:
        return "a loss is negative"
    of = f"a loss of {join_words(list(dict.fromkeys(lower)))} is positive"
    return of if len(lower) == len(tasks) else f"{of}, any other is negative"


def _cells(loss: Comparison | None, metric: str) -> list[str]:
    if loss is None or loss.metric != metric:
        return [DASH] * 3
    return [
        format_difference(loss.difference, metric),
        format_difference_interval(loss.low, loss.high, metric),
        format_p_value(loss.p_holm),
    ]
