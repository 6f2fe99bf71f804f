"""Show what runs lose where fewer recordings are trained on together, or wrong ones are."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any

from clinical_symile.config.tasks.pairs import MISMATCHED, PAIRED, parse_pairs
from clinical_symile.formatting import DASH, PERCENT, format_value, is_percentage, join_words
from clinical_symile.reporting.figures.line_chart import Band, bands
from clinical_symile.reporting.figures.picture import Legend
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    metric_sentences,
    picture_name,
    result_cell,
)
from clinical_symile.reporting.text.answers import Decision
from clinical_symile.reporting.text.findings import most_complete_pattern
from clinical_symile.reporting.text.labels import (
    CHANCE_LABEL,
    ORACLE_LABEL,
    metric_label,
    objective_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.results import Result

_MATCHED = "matched"
# Fields of a definition in which the runs of one curve may differ.
_FREE = ("pairs", "description", "settings")


@dataclass(frozen=True)
class _Kind:
    """A change of the pairs, the share in per cent that leaves all as it is, and its words."""

    name: str
    unchanged: int
    axis: str
    unit: str


_KINDS = (
    _Kind(PAIRED, 100, "% of train samples whole", "whole"),
    _Kind(MISMATCHED, 0, "% of train samples mismatched", "mismatched"),
)


@dataclass(frozen=True, repr=False)
class PairingCurve:
    """Runs of one seed whose tasks differ by `pairs` alone.

    Attributes:
        kind: `paired` or `mismatched`.
        method: the objective, or the name of the matched method where two curves share it.
        label: the method, with the seed where it has several.
        family: colour and marker.
        runs: the run of each share in per cent, the share without a change first.
    """

    kind: str
    method: str
    label: str
    family: int
    runs: Mapping[int, Series]


def pairing_curves(
    runs: Sequence[Mapping[str, Any]], trained: Sequence[Series]
) -> list[PairingCurve]:
    """Return the curves over shares, of each method first whole and then mismatched samples.

    Runs belong to one curve if they have one seed and their definitions differ by `pairs` alone.
    `matched` is the share without a change: 100 % whole, 0 % mismatched. A curve has two shares
    or more.

    Args:
        runs: the `run.toml` of each run.
        trained: the runs with their labels and colours, without baselines.
    """
    by_run = {one.run: one for one in trained}
    groups: dict[str, dict[str, dict[tuple[str, int], Series]]] = {}
    objectives: dict[str, str] = {}
    for record in runs:
        definition, name = record.get("definition", {}), str(record["name"])
        word = str(definition.get("pairs", _MATCHED))
        if name not in by_run or word == "shuffled":
            continue
        rest = {key: value for key, value in definition.items() if key not in _FREE}
        key, seed = json.dumps(rest, sort_keys=True, default=str), str(record.get("seed"))
        objectives[key] = objective_label(str(rest.get("objective", {}).get("name", "")))
        for cell in _cells(word):
            groups.setdefault(key, {}).setdefault(seed, {}).setdefault(cell, by_run[name])
    several = {key: seeds for key, seeds in groups.items() if any(map(_several, seeds.values()))}
    doubled = Counter(objectives[key] for key in several)
    curves: list[PairingCurve] = []
    for key, seeds in several.items():
        first = min((one for cells in seeds.values() for one in cells.values()), key=_family)
        method = objectives[key] if doubled[objectives[key]] == 1 else first.method
        for seed, cells in seeds.items():
            label = f"{method}, seed {seed}" if len(seeds) > 1 else method
            curves += [
                PairingCurve(kind.name, method, label, first.family, along)
                for kind in _KINDS
                if len(along := _along(cells, kind)) > 1
            ]
    return curves


def pairing_sentences(
    scores: ResultTable,
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    runs: Sequence[Mapping[str, Any]],
    trained: Sequence[Series],
) -> list[str]:
    """State what each method loses by fewer whole and by mismatched samples, and which is better.

    What is decided comes before what is not.
    """
    curves = pairing_curves(runs, trained)
    found: list[tuple[bool, str]] = []
    for name, task in tasks.items():
        pattern = most_complete_pattern(scores, name=name, task=task, series=trained)
        here = [one for one in decisions if (one.task, one.pattern) == (name, pattern)]
        heading = f"{task_label(name, task)}, {metric_label(task['primary'])}"
        for kind in _KINDS:
            of = [curve for curve in curves if curve.kind == kind.name]
            said = [
                one
                for method in dict.fromkeys(curve.method for curve in of)
                if pattern is not None
                and (one := _loss(scores, here, (name, pattern), task, kind, of, method))
            ]
            if said:
                words = " ".join(sentence for _, sentence in said)
                found.append((any(decided for decided, _ in said), f"{heading}: {words}"))
        if (compared := _compared(here, curves)) is not None:
            found.append((compared[0], f"{task_label(name, task)}: {compared[1]}"))
    found.sort(key=lambda pair: not pair[0])  # stable: the order of the tasks stays
    return [sentence for _, sentence in found]


def pairing_panels(
    scores: ResultTable,
    *,
    tasks: TaskTables,
    runs: Sequence[Mapping[str, Any]],
    trained: Sequence[Series],
) -> list[ReportPanel]:
    """Draw each task's primary metric against the share of whole and of mismatched samples."""
    curves = pairing_curves(runs, trained)
    return [
        panel
        for name, task in tasks.items()
        for pattern in scores.patterns(name)
        for kind in _KINDS
        for panel in _panels(scores, (name, pattern), task, kind, curves)
    ]


def pairing_legend(
    runs: Sequence[Mapping[str, Any]], trained: Sequence[Series], *, has_oracle: bool
) -> Legend:
    """Return the legend of the curves, the oracle and the chance level."""
    methods = {one.family: one.method for one in pairing_curves(runs, trained)}
    best = ORACLE_LABEL * has_oracle
    return Legend([*methods.items()], best=best, dotted=CHANCE_LABEL, across=True)


def draw_pairing(
    *,
    scores: ResultTable,
    tasks: TaskTables,
    runs: Sequence[Mapping[str, Any]],
    trained: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw the primary metrics against the shares, one line for each method and seed."""
    panels = pairing_panels(scores, tasks=tasks, runs=runs, trained=trained)
    if not panels:
        return None
    return Content(
        heading="How many recordings must belong together?",
        text="Runs of one line differ in the pairs that they were trained on. With shuffled "
        "batches they take the same number of steps. In figures of whole samples, the given share "
        "of train samples is whole, and each recording of the others stands alone. In figures "
        "of mismatched samples, one recording in the given share is another sample's. "
        f"Tuning and held-out samples are unchanged. {metric_sentences(tasks)}",
        panels=panels,
        legend=pairing_legend(runs, trained, has_oracle=has_oracle),
        caption="A vertical line is a 95 % confidence interval over subjects. The draws of a seed "
        "are nested: a larger share contains a smaller one. 100 % whole and 0 % mismatched are "
        "the run with unchanged pairs.",
    )


PAIRING = Section(
    "pairing",
    ("scores", "tasks", "runs", "trained", "has_oracle"),
    draw_pairing,
    display_name="whole and mismatched samples",
    description="Shows primary metrics against the share of whole and of mismatched samples.",
)


def _family(one: Series) -> int:
    return one.family


def _cells(word: str) -> list[tuple[str, int]]:
    """Return the kinds and shares, in per cent, at which a word of `pairs` stands.

    >>> _cells("matched"), _cells("paired-25")
    ([('paired', 100), ('mismatched', 0)], [('paired', 25)])
    """
    name, share = parse_pairs(word)
    if name == _MATCHED:
        return [(kind.name, kind.unchanged) for kind in _KINDS]
    return [(name, round(100 * share))]


def _several(cells: Mapping[tuple[str, int], Series]) -> bool:
    return any(len(_along(cells, kind)) > 1 for kind in _KINDS)


def _along(cells: Mapping[tuple[str, int], Series], kind: _Kind) -> dict[int, Series]:
    """Return the runs of a kind by share, from the unchanged end to the other."""
    of = {share: one for (name, share), one in cells.items() if name == kind.name}
    return dict(sorted(of.items(), key=lambda pair: abs(pair[0] - kind.unchanged)))


def _loss(
    scores: ResultTable,
    decisions: Sequence[Decision],
    cell: tuple[str, str],
    task: Mapping[str, Any],
    kind: _Kind,
    curves: Sequence[PairingCurve],
    method: str,
) -> tuple[bool, str] | None:
    """Return a sentence on a method's ends, and the shares at which it differs significantly."""
    metric = task["primary"]
    values: dict[int, list[float]] = {}
    names: dict[int, str] = {}
    for curve in curves:
        for share, one in curve.runs.items() if curve.method == method else ():
            if (row := scores.get(one.run, *cell, metric)) is not None:
                values.setdefault(share, []).append(row.value)
                names[share] = one.method
    if len(values) < 2:
        return None
    first, *others = sorted(values, key=lambda share: abs(share - kind.unchanged))
    ends = [
        f"{format_value(mean(values[share]), metric)} with {share}{PERCENT}"
        for share in (first, others[-1])
    ]
    words = f"{method} reaches {ends[0]} of the samples {kind.unit} and {ends[1]}"
    met = {frozenset(one.methods): one for one in decisions}
    pairs = {share: met.get(frozenset((names[first], names[share]))) for share in others}
    if not any(pairs.values()):
        return False, f"{words}; they were not compared on the same samples."
    lost = [s for s, one in pairs.items() if one is not None and one.better == names[first]]
    gained = [s for s, one in pairs.items() if one is not None and one.better == names[s]]
    if not lost and not gained:
        return False, f"{words}; these data show no difference at any compared share."
    said = [
        f"significantly {how} with {join_words([f'{share}' for share in shares])}{PERCENT}"
        for how, shares in (("worse", lost), ("better", gained))
        if shares
    ]
    return True, f"{words}; it is {join_words(said)}."


def _compared(
    decisions: Sequence[Decision], curves: Sequence[PairingCurve]
) -> tuple[bool, str] | None:
    """Count the shares at which a method is better than another one with the same share.

    None without two methods that were compared.
    """
    met = {frozenset(one.methods): one for one in decisions}
    found: dict[frozenset[str], tuple[str, str] | None] = {}
    for one, other in combinations(curves, 2):
        for share in one.runs.keys() & other.runs.keys() if one.kind == other.kind else ():
            names = {one.runs[share].method: one.method, other.runs[share].method: other.method}
            decision = met.get(frozenset(names))
            if len(names) > 1 and decision is not None:
                better = (
                    (names[decision.better], names[decision.worse]) if decision.better else None
                )
                found[frozenset(names)] = better
    if not found:
        return None
    wins = Counter(pair for pair in found.values() if pair is not None)
    start = "at the same share of whole or mismatched samples"
    if not wins:
        return False, f"{start}, these data do not tell which method is better at any."
    said = [
        f"{better} is better than {worse} in {count} of {len(found)} comparisons"
        for (better, worse), count in wins.most_common()
    ]
    return True, f"{start}, {join_words(said)}."


def _panels(
    scores: ResultTable,
    cell: tuple[str, str],
    task: Mapping[str, Any],
    kind: _Kind,
    curves: Sequence[PairingCurve],
) -> list[ReportPanel]:
    """Draw the curves of a kind on a task under a pattern; nothing where there are none."""
    (name, pattern), metric = cell, task["primary"]
    drawn: list[tuple[PairingCurve, dict[int, Result]]] = []
    for curve in curves:
        rows = {s: scores.get(curve.runs[s].run, *cell, metric) for s in sorted(curve.runs)}
        known = {share: row for share, row in rows.items() if row is not None}
        if curve.kind == kind.name and len(known) > 1:
            drawn.append((curve, known))
    if not drawn:
        return []
    shares = sorted({share for _, rows in drawn for share in rows})
    lines = [_band(curve.family, rows) for curve, rows in drawn]
    body = [
        [curve.label, *(result_cell(rows[s]) if s in rows else DASH for s in shares)]
        for curve, rows in drawn
    ]
    if (best := scores.best(name, pattern, metric)) is not None:
        level, ends = [best, best], [float(shares[0]), float(shares[-1])]
        lines.append(Band(None, ends, level, level, level))
        body.append(["oracle", *(format_value(best, metric, exact=True) for _ in shares)])
    words = "" if pattern == "complete" else f", {pattern_label(pattern)}"
    title = f"{task_label(name, task)}{words}: {metric_label(metric)} by {kind.unit} samples"
    picture = bands(
        lines,
        name=picture_name("pairing", kind.name, name, pattern),
        title=f"{title}; the table below has the numbers",
        x_label=kind.axis,
        y_label=metric_label(metric),
        percent=is_percentage(metric),
        reference=scores.chance(name, pattern, metric),
    )
    head = ["method", *(f"{share}{PERCENT} {kind.unit}" for share in shares)]
    return [ReportPanel(title, picture, head, body, across=True)]


def _band(family: int, rows: Mapping[int, Result]) -> Band:
    """Return results by share as a line; one without an interval has none of any length."""
    return Band(
        family,
        [float(share) for share in rows],
        [row.value for row in rows.values()],
        [row.value if row.low is None else row.low for row in rows.values()],
        [row.value if row.high is None else row.high for row in rows.values()],
    )
