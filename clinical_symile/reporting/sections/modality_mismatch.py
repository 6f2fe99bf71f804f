"""Show runs that were trained with each set of modalities, met with each set.

Source: McKinzie et al., "On robustness in multimodal learning", 2023,
https://arxiv.org/abs/2304.04385: modalities that are missing, added or others in use.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import mean
from typing import Any

from clinical_symile.formatting import DASH, format_value, is_percentage, join_words
from clinical_symile.missingness.patterns import every_pattern, parse_pattern
from clinical_symile.registry.families import CLASSIFICATION_METRICS
from clinical_symile.reporting.figures.heatmap import heat
from clinical_symile.reporting.result_lookup import ResultTable, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    metric_sentences,
    picture_name,
    result_cell,
)
from clinical_symile.reporting.text.labels import (
    metric_label,
    modality_label,
    objective_label,
    task_label,
)
from clinical_symile.tracking.results import Result, SkippedResult

MATCHED, MISSING, ADDED, TRANSFER, EXCHANGED = (
    "the same",
    "missing",
    "added",
    "transferred",
    "exchanged",
)
# Fields that may differ between the runs of one matrix.
_FREE = ("missingness", "selection", "settings", "description", "name")
_UNTRAINED = "CS-S020"

ModalitySet = tuple[str, ...]


@dataclass(frozen=True)
class MismatchMatrix:
    """One task's primary metric by the modalities of training and those met in use.

    Attributes:
        task: the task's name.
        method: the objective, as a label.
        supervised: True if the objective predicts labels, so that one modality can train it.
        metric: the primary metric.
        higher_is_better: True if a higher value is better.
        every: all sets of modalities, the largest first.
        trained: the sets that runs were trained with.
        met: the sets that are met in use.
        results: for each pair of sets, the result of each seed.
        impossible: the pairs that cannot be scored since training met nothing of what is left.
    """

    task: str
    method: str
    supervised: bool
    metric: str
    higher_is_better: bool
    every: Sequence[ModalitySet]
    trained: Sequence[ModalitySet]
    met: Sequence[ModalitySet]
    results: Mapping[tuple[ModalitySet, ModalitySet], Sequence[Result]]
    impossible: frozenset[tuple[ModalitySet, ModalitySet]]

    def value(self, trained: ModalitySet, met: ModalitySet) -> float | None:
        """Return the mean over seeds; None if there is no result."""
        values = [row.value for row in self.results.get((trained, met), ())]
        return mean(values) if values and not any(map(isnan, values)) else None

    def drop(self, trained: ModalitySet, met: ModalitySet) -> float | None:
        """Return the relative drop from the run that was trained with what is met.

        None if one of the two has no result, or the matched one's is 0.
        """
        matched, here = self.value(met, met), self.value(trained, met)
        if matched is None or here is None or matched == 0:
            return None
        sign = 1 if self.higher_is_better else -1
        return sign * (matched - here) / matched


def relation(trained: ModalitySet, met: ModalitySet) -> str:
    """Return how the modalities met in use relate to those of training.

    Examples:
        >>> relation(("cxr", "ecg"), ("ecg",)), relation(("cxr",), ("cxr", "ecg"))
        ('missing', 'added')
        >>> relation(("cxr",), ("ecg",)), relation(("cxr", "ecg"), ("ecg", "labs"))
        ('transferred', 'exchanged')
    """
    of_training, in_use = {*trained}, {*met}
    if of_training == in_use:
        return MATCHED
    if in_use < of_training:
        return MISSING
    if in_use > of_training:
        return ADDED
    return TRANSFER if of_training.isdisjoint(in_use) else EXCHANGED


def mismatch_matrices(
    scores: ResultTable,
    runs: Sequence[Mapping[str, Any]],
    unscored: Sequence[SkippedResult],
    *,
    tasks: TaskTables,
) -> list[MismatchMatrix]:
    """Return a matrix for each task and each objective with runs on two sets of modalities.

    Runs of one matrix differ in their pattern of training and their seed alone. The pattern hides
    the same modalities in all samples.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        definition = run.get("definition", {})
        if _trained_set(definition):
            fixed = {key: value for key, value in definition.items() if key not in _FREE}
            groups.setdefault(json.dumps(fixed, sort_keys=True, default=str), []).append(run)
    made = [
        _matrix(name, task, group, scores, unscored)
        for name, task in tasks.items()
        for group in groups.values()
    ]
    return [one for one in made if len({trained for trained, _ in one.results}) > 1]


def _trained_set(definition: Mapping[str, Any]) -> ModalitySet:
    """Return the modalities of a training that hides the same ones of all samples; else none."""
    pattern = parse_pattern(str(definition.get("missingness", "observed")))
    if not pattern.complete or pattern.mechanism:
        return ()
    return tuple(pattern.visible_modalities(definition.get("modalities", ())))


def _matrix(
    name: str,
    task: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    scores: ResultTable,
    unscored: Sequence[SkippedResult],
) -> MismatchMatrix:
    """Look up the results of some runs on a task, and the reasons where there is none."""
    definition, metric = runs[0]["definition"], task["primary"]
    order = tuple(definition["modalities"])
    every = [tuple(parse_pattern(p).visible_modalities(order)) for p in every_pattern(order)]
    asked = {pattern: _met_set(task, pattern, order) for pattern in scores.patterns(name)}
    asked |= {
        row.missingness: _met_set(task, row.missingness, order)
        for row in unscored
        if row.task == name
    }
    patterns = {pattern: met for pattern, met in asked.items() if met in every}
    results: dict[tuple[ModalitySet, ModalitySet], list[Result]] = {}
    impossible = set[tuple[ModalitySet, ModalitySet]]()
    for run in runs:
        trained = _trained_set(run["definition"])
        for pattern, met in patterns.items():
            row = scores.get(str(run["name"]), name, pattern, metric)
            if row is not None:
                results.setdefault((trained, met), []).append(row)
        impossible |= {
            (trained, patterns[row.missingness])
            for row in unscored
            if (row.task, row.run, row.code) == (name, run["name"], _UNTRAINED)
            and row.missingness in patterns
        }
    rows = {_trained_set(run["definition"]) for run in runs}
    return MismatchMatrix(
        name,
        objective_label(str(definition["objective"]["name"])),
        definition.get("selection", {}).get("metric") in CLASSIFICATION_METRICS,
        metric,
        task["higher_is_better"],
        every,
        [one for one in every if one in rows],
        [one for one in every if one in patterns.values()],
        results,
        frozenset(impossible),
    )


def _met_set(task: Mapping[str, Any], pattern: str, order: ModalitySet) -> ModalitySet:
    """Return what a model reads under a fixed pattern, a target included; none under others."""
    parsed = parse_pattern(pattern)
    if not parsed.complete or parsed.mechanism:
        return ()
    left = parsed.visible_modalities(task["query"] if "query" in task else task["inputs"])
    return tuple(one for one in order if one in {*left, task.get("target")})


def draw_modality_mismatch(
    *,
    scores: ResultTable,
    runs: Sequence[Mapping[str, Any]],
    unscored: Sequence[SkippedResult],
    tasks: TaskTables,
) -> Content | None:
    """Draw each task by the modalities of training and those met, with means and worst cases."""
    matrices = mismatch_matrices(scores, runs, unscored, tasks=tasks)
    if not matrices:
        return None
    used = {one.task: tasks[one.task] for one in matrices}
    return Content(
        heading="Trained with one set of modalities, met with another",
        text="A row is a set of modalities in training, a column a set in use: darker is higher. "
        "Bold, on the diagonal, is a run met with what it was trained with: its plain evaluation. "
        "In use, modalities can be missing, added, or all others than in training (transferred); "
        "exchanged is some of each. A blank cell has no result. All runs of a figure learn from "
        f"the same admissions. {metric_sentences(used)}",
        panels=[
            panel
            for matrix in matrices
            for panel in (mismatch_panel(matrix, tasks), _summary_panel(matrix, tasks))
        ],
        caption="The relative drop is one minus the value divided by that of the run that was "
        "trained with what is met. Means and worst cases are over cells, and over seeds if there "
        "are several; they have no interval, and a worst of many cells looks worse than it is. "
        "Where a modality is added, its encoder learned nothing, unless the run starts from one "
        "that did. "
        "Not possible: training met nothing of what is left, or not the target. "
        f"{' '.join(_untrained_sentences(matrices))}".rstrip(),
    )


def mismatch_panel(matrix: MismatchMatrix, tasks: TaskTables) -> ReportPanel:
    """Draw a matrix as a heat map, with a table of its intervals."""
    trained, met, metric = matrix.trained, matrix.met, matrix.metric
    values = [[matrix.value(row, column) for column in met] for row in trained]
    title = f"{_title(matrix, tasks)}: {metric_label(metric)}"
    picture = heat(
        values,
        rows=[_words(one) for one in trained],
        columns=[_words(one) for one in met],
        texts=[["" if v is None else _short(v, metric) for v in line] for line in values],
        bold=[[row == column for column in met] for row in trained],
        name=picture_name("modality_mismatch", matrix.task, matrix.method),
        title=f"{title}; the table has the numbers",
    )
    body = [[_words(row), *(_cell(matrix, row, column) for column in met)] for row in trained]
    return ReportPanel(title, picture, ["trained with", *(_words(one) for one in met)], body)


def mismatch_sentences(matrices: Sequence[MismatchMatrix], tasks: TaskTables) -> list[str]:
    """State the means and worst cases of each matrix, and what cannot be scored or trained."""
    found = []
    for matrix in matrices:
        cells = _cells(matrix)
        parts = [
            f"{format_value(mean(values), matrix.metric)} on average where modalities are {kind}, "
            f"worst {format_value(worst, matrix.metric)} (trained with {_words(row)}; met with "
            f"{_words(column)})"
            for kind in (MISSING, ADDED, TRANSFER)
            if (values := [value for value, _, _ in cells[kind] if value is not None])
            for worst, row, column in [_worst(matrix, cells[kind])]
        ]
        same = [value for value, _, _ in cells[MATCHED] if value is not None]
        if not same or not parts:
            continue
        if cells[TRANSFER] and _impossible(matrix, cells[TRANSFER]):
            parts.append("transfer to other modalities is not possible")
        found.append(
            f"{_title(matrix, tasks)}: {metric_label(matrix.metric)} is "
            f"{format_value(mean(same), matrix.metric)} on average with the modalities of "
            f"training; {join_words(parts)}."
        )
    return [*found, *_untrained_sentences(matrices)]


MODALITY_MISMATCH = Section(
    "modality_mismatch",
    ("scores", "runs", "unscored", "tasks"),
    draw_modality_mismatch,
    display_name="modalities of training against those met",
    description="Shows runs trained with each set of modalities, met with each set.",
)

_Cell = tuple[float | None, ModalitySet, ModalitySet]


def _cells(matrix: MismatchMatrix) -> dict[str, list[_Cell]]:
    """Return the cells of each relation: the value and the two sets."""
    found: dict[str, list[_Cell]] = {
        kind: [] for kind in (MATCHED, MISSING, ADDED, TRANSFER, EXCHANGED)
    }
    for row in matrix.trained:
        for column in matrix.met:
            found[relation(row, column)].append((matrix.value(row, column), row, column))
    return found


def _impossible(matrix: MismatchMatrix, cells: Sequence[_Cell]) -> bool:
    """Return whether training met nothing of what each cell needs; others may be unscored."""
    return all((row, column) in matrix.impossible for _, row, column in cells)


def _worst(
    matrix: MismatchMatrix, cells: Sequence[_Cell]
) -> tuple[float, ModalitySet, ModalitySet]:
    """Return the worst cell that has a value; there is one."""
    known = [(value, row, column) for value, row, column in cells if value is not None]
    sign = 1 if matrix.higher_is_better else -1
    return min(known, key=lambda cell: sign * cell[0])


def _summary_panel(matrix: MismatchMatrix, tasks: TaskTables) -> ReportPanel:
    """Return a table of the mean, the worst case and the relative drop of each relation."""
    body, metric = [], matrix.metric
    for kind, cells in _cells(matrix).items():
        if not cells:
            continue
        values = [value for value, _, _ in cells if value is not None]
        drops = [drop for _, row, column in cells if (drop := matrix.drop(row, column)) is not None]
        line = [kind, f"{len(values)} of {len(cells)}"]
        if values:
            worst, row, column = _worst(matrix, cells)
            line += [
                format_value(mean(values), metric, exact=True),
                format_value(worst, metric, exact=True),
                f"{_words(row)}; met with {_words(column)}",
            ]
        else:
            words = "not possible" if _impossible(matrix, cells) else "not scored"
            line += [words, DASH, DASH]
        line += [_percent(mean(drops)), _percent(max(drops))] if drops else [DASH, DASH]
        body.append(line)
    head = ["modalities in use", "cells scored", "mean", "worst", "worst: trained with"]
    head += ["mean relative drop", "largest"]
    return ReportPanel(f"{_title(matrix, tasks)}, means and worst cases", None, head, body)


def _untrained_sentences(matrices: Sequence[MismatchMatrix]) -> list[str]:
    """Say which sets of modalities have no run, and why, once for each objective."""
    found = dict[str, str]()
    for matrix in matrices:
        lacking = [one for one in matrix.every if one not in matrix.trained]
        alone = [one for one in lacking if len(one) == 1 and not matrix.supervised]
        others = [one for one in lacking if one not in alone]
        words = []
        if alone:
            words.append(
                f"{matrix.method} cannot be trained with {_listed(alone)} alone: a contrastive "
                "loss compares two modalities or more."
            )
        if others:
            words.append(f"{matrix.method} has no run trained with {_listed(others)} here.")
        if words:
            found[matrix.method] = " ".join(words)
    return list(found.values())


def _cell(matrix: MismatchMatrix, trained: ModalitySet, met: ModalitySet) -> str:
    """Return a value with its interval, the mean over several seeds, or why there is none."""
    rows = matrix.results.get((trained, met), ())
    if not rows:
        return "not possible" if (trained, met) in matrix.impossible else "not scored"
    if len(rows) == 1:
        return result_cell(rows[0])
    value = format_value(matrix.value(trained, met), matrix.metric, exact=True)
    return f"{value} (mean of {len(rows)} seeds)"


def _title(matrix: MismatchMatrix, tasks: TaskTables) -> str:
    return f"{task_label(matrix.task, tasks[matrix.task])}, {matrix.method}"


def _words(modalities: ModalitySet) -> str:
    return join_words([modality_label(one) for one in modalities])


def _listed(sets: Sequence[ModalitySet]) -> str:
    return "; ".join(_words(one) for one in sets)


def _short(value: float, metric: str) -> str:
    return f"{100 * value:.0f}" if is_percentage(metric) else f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
