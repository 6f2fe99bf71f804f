"""Show how performance falls when modalities are missing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from markupsafe import Markup

from clinical_symile.formatting import (
    DASH,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.missingness.severities import mechanism_rates, part_curves
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.figures.heatmap import heat
from clinical_symile.reporting.figures.line_chart import Band, bands
from clinical_symile.reporting.result_lookup import (
    ResultTable,
    Series,
    TaskTables,
    declared_severity,
    depends_on_severity,
)
from clinical_symile.reporting.sections.base import (
    MECHANISM_LABELS,
    PART_AXES,
    Content,
    ReportPanel,
    Section,
    method_legend,
    metric_sentences,
    picture_name,
    result_cell,
)
from clinical_symile.reporting.text.labels import (
    CHANCE_LABEL,
    ORACLE_LABEL,
    metric_label,
    outcome_label,
    part_words,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.results import Comparison, Result, is_significant

# What a severity of a curve counts, where it is not what is missing.
_COUNTED = {"marker": "tied", "noise": "noise"}


def draw_degradation(
    *,
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw each task's primary metric against how much is missing, of each modality or within."""
    panels = degradation_panels(scores, tasks=tasks, series=series)
    if not panels:
        return None
    oracle = (
        " There, missingness is informative: the dashed line uses measurements only, and a model "
        "that also uses the mask can lie above it."
    )
    return Content(
        heading="How fast does performance fall?",
        text="The same tasks on the same admissions, with each modality hidden ever more often, or "
        "ever more of one modality, or with ever more noise. "
        f"{metric_sentences(tasks)}",
        panels=panels,
        legend=method_legend(
            methods, best=ORACLE_LABEL * has_oracle, dotted=CHANCE_LABEL, across=True
        ),
        caption="A vertical line is a 95 % confidence interval over subjects. An admission that "
        "loses every modality is answered at chance level."
        + " The dashed line is the oracle."
        * has_oracle
        + " “More often by their own values” refers to the direction in which patients differ "
        "most. The further a measurement lies towards one end, the more often it is hidden. "
        + _worse_end(scores, tasks)
        + oracle * has_oracle,
    )


def _worse_end(scores: ResultTable, tasks: TaskTables) -> str:
    """Return the sentence on which end of severity is worse."""
    masks = [
        row.mask_statistics
        for name in tasks
        for pattern in scores.patterns(name)
        if depends_on_severity(pattern)
        for row in scores.of(task=name, pattern=pattern)
    ]
    declared = [declared_severity(numbers) for numbers in masks]
    outcomes = dict.fromkeys(outcome for one in declared for outcome, _ in one.values())
    if not outcomes:
        return "Which end is worse is arbitrary."
    sentence = (
        "It is the worse end: the one at which, in the train split, "
        f"{outcome_label(list(outcomes))} is more common. The table of masks says how clearly."
    )
    if any(
        name.removeprefix("slope/") not in one
        for numbers, one in zip(masks, declared, strict=True)
        for name in numbers
        if name.startswith("slope/")
    ):
        sentence += " For modalities without such an outcome the end is arbitrary."
    return sentence


def draw_trained_with(
    *,
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
) -> Content | None:
    """Draw each task's primary metric by training method and missingness pattern."""
    panels = trained_with_panels(scores, comparisons, tasks=tasks, series=series)
    if not panels:
        return None
    families = dict.fromkeys(row.family for row in comparisons if row.family)
    adjusted = join_words([str(name) for name in families] or ["comparisons"])
    return Content(
        heading="Training method against missingness pattern",
        text=Markup(
            "A column is a training method, a row a missingness pattern of the evaluation: darker "
            "is higher. <strong>Bold</strong> is the best of its row, and each run that cannot be "
            "told from it. The interval of their difference includes 0, or p is not below 0.05 "
            "after adjusting for all {}."
        ).format(adjusted),
        panels=panels,
        caption="Proportions are in per cent. The table under each figure has the same numbers "
        "with their intervals.",
    )


def draw_retained_share(
    *,
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw the share of the complete-data performance above chance that each run retains."""
    panels = retained_share_panels(scores, tasks=tasks, series=series)
    if not panels:
        return None
    return Content(
        heading="How much performance is retained?",
        text="The primary metric above its chance level under each pattern, divided by the same "
        "with nothing missing: 100 % loses nothing, 0 % is chance level. The points have no "
        "interval; the losses on the same samples have one.",
        panels=panels,
        legend=method_legend(methods, best="oracle" * has_oracle, dotted="nothing lost"),
    )


DEGRADATION = Section(
    "degradation",
    ("scores", "tasks", "series", "methods", "has_oracle"),
    draw_degradation,
    display_name="degradation",
    description="Shows each task's primary metric against the rate of missing modalities.",
)
TRAINED_WITH = Section(
    "trained_with",
    ("scores", "comparisons", "tasks", "series"),
    draw_trained_with,
    display_name="training method against pattern",
    description="Shows each task's primary metric by training method and missingness pattern.",
)
RETAINED_SHARE = Section(
    "retained_share",
    ("scores", "tasks", "series", "methods", "has_oracle"),
    draw_retained_share,
    display_name="retained performance",
    description="Shows the share of performance above chance that each run retains.",
)


def degradation_panels(
    scores: ResultTable, *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw one panel for each task and kind of pattern with two severities or more."""
    panels = []
    for name, task in tasks.items():
        curves = [
            _Curve(f", missing {how}", mechanism, "% of each modality missing", "% missing", at)
            for mechanism, how in MECHANISM_LABELS.items()
            if len(at := _rates(scores.patterns(name), mechanism)) > 1
        ]
        curves += [
            _Curve(
                f" ({part_words(list(curve.patterns.values())[-1])})",
                curve.name,
                PART_AXES[curve.part],
                f"{curve.unit} {_COUNTED.get(curve.part.partition('-')[0], 'missing')}",
                curve.patterns,
            )
            for curve in part_curves(scores.patterns(name))
        ]
        panels += [_degradation_panel(scores, name, task, series, curve) for curve in curves]
    return panels


def _rates(patterns: Iterable[str], mechanism: str) -> dict[float, str]:
    """Return the patterns of a mechanism by their rate, as severities of a curve."""
    return {float(rate): name for rate, name in mechanism_rates(patterns, mechanism).items()}


@dataclass(frozen=True)
class _Curve:
    """Patterns by severity: words for the title, the picture's name, the axis and the columns."""

    words: str
    name: str
    axis: str
    column: str
    patterns: dict[float, str]


def _degradation_panel(
    scores: ResultTable, name: str, task: Mapping[str, Any], series: Sequence[Series], curve: _Curve
) -> ReportPanel:
    """Draw a task's primary metric against the severity of the patterns of a curve."""
    metric, at = task["primary"], curve.patterns
    drawn = [(one.family, one.run) for one in series] + [(None, ORACLE)]
    lines = [_band(scores, family, run, name, metric, at) for family, run in drawn]
    title = f"{task_label(name, task)}{curve.words}: {metric_label(metric)}"
    picture = bands(
        [line for line in lines if line.x],
        name=picture_name("degradation", name, curve.name),
        title=f"{title}; the table below has the numbers",
        x_label=curve.axis,
        y_label=metric_label(metric),
        percent=is_percentage(metric),
        reference=scores.chance(name, "complete", metric),
    )
    body = [
        [one.label, *(result_cell(scores.get(one.run, name, p, metric)) for p in at.values())]
        for one in series
    ]
    best = [scores.best(name, pattern, metric) for pattern in at.values()]
    if any(one is not None for one in best):
        body.append(["oracle", *(format_value(b, metric, exact=True) for b in best)])
    head = ["run", *(f"{severity:g} {curve.column}" for severity in at)]
    return ReportPanel(title, picture, head, body, across=True)


def trained_with_panels(
    scores: ResultTable,
    comparisons: Iterable[Comparison],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
) -> list[ReportPanel]:
    """Draw one heat map for each task; the best of a row and its equals are bold."""
    significant = {
        (row.task, row.missingness, row.metric, frozenset({row.run, row.baseline}))
        for row in comparisons
        if is_significant(row)
    }
    panels = []
    for name, task in tasks.items():
        patterns, metric = scores.patterns(name), task["primary"]
        if len(patterns) < 2:
            continue
        rows = [[scores.get(one.run, name, p, metric) for one in series] for p in patterns]
        first = [_best_runs(line, significant, higher=task["higher_is_better"]) for line in rows]
        title = f"{task_label(name, task)}: {metric_label(metric)}"
        words = [pattern_label(pattern) for pattern in patterns]
        picture = heat(
            [[None if row is None else row.value for row in line] for line in rows],
            rows=words,
            columns=[one.label for one in series],
            texts=[[_short(row) for row in line] for line in rows],
            bold=[
                [row is not None and row.run in best for row in line]
                for line, best in zip(rows, first, strict=True)
            ],
            name=picture_name("trained_with", name),
            title=f"{title}; the table below has the numbers",
        )
        labels = {one.run: one.label for one in series}
        body = [
            [pattern, *(result_cell(row) for row in line), join_words([labels[r] for r in best])]
            for pattern, line, best in zip(words, rows, first, strict=True)
        ]
        head = ["evaluated with", *(one.label for one in series), "best, or not told from it"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def retained_share_panels(
    scores: ResultTable, *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw one panel for each task whose primary metric has a chance level."""
    panels = []
    for name, task in tasks.items():
        patterns, metric = scores.patterns(name), task["primary"]
        drawn = [p for p in patterns if p not in ("complete", "observed")]
        rows, body = [], []
        for pattern in drawn:
            shares = {one.run: _retained(scores, one.run, name, pattern, task) for one in series}
            marks = [
                Mark(one.family, share, share, share)
                for one in series
                if (share := shares[one.run]) is not None
            ]
            best = _retained(scores, ORACLE, name, pattern, task)
            if marks:
                rows.append(DotRow(pattern_label(pattern), marks, best, 1.0))
            cells = [_percent(shares[one.run]) for one in series]
            body.append([pattern_label(pattern), *cells, _percent(best)])
        if not rows:
            continue
        ends = [mark.value for row in rows for mark in row.marks]
        ends += [row.best for row in rows if row.best is not None]
        title = f"{task_label(name, task)}: retained share of {metric_label(metric)} above chance"
        picture = dots(
            rows,
            name=picture_name("retained_share", name),
            title=f"{title}; the table has the numbers",
            limits=axis_limits([0.0, 1.0, *ends]),
            percent=True,
            x_label="retained share",
        )
        head = ["modalities", *(one.label for one in series), "oracle"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def _best_runs(
    line: Sequence[Result | None],
    significant: set[tuple[str, str, str, frozenset[str]]],
    *,
    higher: bool,
) -> list[str]:
    """Return the run with the best value, and those that do not differ from it significantly."""
    known = [row for row in line if row is not None and not isnan(row.value)]
    if not known:
        return []
    best = (max if higher else min)(known, key=lambda row: row.value)
    return [
        row.run
        for row in known
        if (row.task, row.missingness, row.metric, frozenset({row.run, best.run}))
        not in significant
    ]


def _band(
    scores: ResultTable,
    family: int | None,
    run: str,
    task: str,
    metric: str,
    rates: Mapping[float, str],
) -> Band:
    found = {x: scores.get(run, task, pattern, metric) for x, pattern in rates.items()}
    known = {x: row for x, row in found.items() if row is not None}
    rows = list(known.values())
    return Band(
        family,
        [float(x) for x in known],
        [row.value for row in rows],
        [row.value if row.low is None else row.low for row in rows],
        [row.value if row.high is None else row.high for row in rows],
    )


def _short(row: Result | None) -> str:
    if row is None or isnan(row.value):
        return ""
    return f"{100 * row.value:.0f}" if is_percentage(row.metric) else f"{row.value:.2f}"


def _retained(
    scores: ResultTable, run: str, name: str, pattern: str, task: Mapping[str, Any]
) -> float | None:
    metric, sign = task["primary"], 1 if task["higher_is_better"] else -1
    complete = scores.get(run, name, "complete", metric)
    here = scores.get(run, name, pattern, metric)
    if complete is None or here is None or complete.chance is None or here.chance is None:
        return None
    above = sign * (complete.value - complete.chance)
    return sign * (here.value - here.chance) / above if above > 0 else None


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.0f} %"
