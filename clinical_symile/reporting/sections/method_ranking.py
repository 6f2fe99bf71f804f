"""Show the ranks of methods, and how much results vary between seeds and between subjects."""

from collections.abc import Mapping, Sequence

from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_interval,
    format_value,
    is_percentage,
)
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section, picture_name
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.benchmark_tables import MethodRank, SeedComponents

_ALL_PATTERNS = "all"


def draw_method_ranking(
    *,
    ranks: Sequence[MethodRank],
    seeds: Sequence[SeedComponents],
    methods_by_task: Mapping[str, Series],
    tasks: TaskTables,
) -> Content | None:
    """Draw the ranks of methods, and the variance over seeds and subjects."""
    ranked = rank_panels(ranks, methods=methods_by_task)
    varying = seed_panels(seeds, methods=methods_by_task, tasks=tasks)
    if not ranked and not varying:
        return None
    return Content(
        heading="Which method ranks first, and how much depends on the seed?",
        text="Methods are ranked on each task and pattern, and the ranks are averaged. The line is "
        "a 95 % confidence interval from a bootstrap over subjects. “First” is how often a "
        "method leads. Two equal methods lead half the time each: a rank is not a test."
        if ranked
        else "",
        panels=ranked,
        more=varying,
        more_text="The standard deviation of the metric over subjects (grey), and over seeds of "
        "the same method (in colour, with its 95 % confidence interval; with few seeds it is "
        "wide). A difference smaller than the coloured mark may come from the seeds alone.",
    )


METHOD_RANKING = Section(
    "method_ranking",
    ("ranks", "seeds", "methods_by_task", "tasks"),
    draw_method_ranking,
    display_name="ranks of methods",
    description="Shows the ranks of methods, and the variation over seeds and over subjects.",
)


def rank_panels(rows: Sequence[MethodRank], *, methods: Mapping[str, Series]) -> list[ReportPanel]:
    """Draw the rank of each method over all tasks and patterns, with its interval.

    Args:
        rows: of every pattern, and of all of them together.
        methods: by the names of `rows`.
    """
    patterns = list(dict.fromkeys(row.missingness for row in rows))
    by_cell = {(row.method, row.missingness): row for row in rows if row.method in methods}
    names = list(dict.fromkeys(name for name, _ in by_cell))
    shown = {
        row.method: row for row in rows if row.missingness == _ALL_PATTERNS and row.method in names
    }
    if len(shown) < 2:
        return []
    ordered = sorted(shown.values(), key=lambda row: row.rank)
    picture = dots(
        [
            DotRow(
                f"{methods[row.method].method}, first in {100 * row.best:.0f} %",
                [Mark(methods[row.method].family, row.rank, row.low, row.high)],
            )
            for row in ordered
        ],
        name="ranks",
        title="Mean rank of each method over all tasks and patterns; the table has the numbers",
        limits=(0.5, len(names) + 0.5),
        x_label="mean rank, 1 is the best",
    )
    body = [
        [_words(pattern), *(_rank(by_cell.get((name, pattern))) for name in names)]
        for pattern in patterns
    ]
    head = ["rank, and how often first", *(methods[name].method for name in names)]
    return [ReportPanel("Over all tasks and patterns together", picture, head, body)]


def seed_panels(
    rows: Sequence[SeedComponents], *, methods: Mapping[str, Series], tasks: TaskTables
) -> list[ReportPanel]:
    """Draw the standard deviation of the primary metric over subjects and over seeds.

    Args:
        rows: of methods with several seeds.
        methods: by the names of `rows`.
        tasks: definitions.
    """
    panels = []
    for name, task in tasks.items():
        of = [row for row in rows if row.task == name and row.method in methods]
        patterns = dict.fromkeys(row.missingness for row in of)
        if not of:
            continue
        shown = "complete" if "complete" in patterns else next(iter(patterns))
        here, metric = [row for row in of if row.missingness == shown], of[0].metric
        lines = [DotRow(methods[row.method].method, _deviations(row, methods)) for row in here]
        most = max(mark.ends[1] for line in lines for mark in line.marks)
        title = f"{task_label(name, task)}: {pattern_label(shown)}"
        picture = dots(
            lines,
            name=picture_name("seeds", name),
            title=f"{title}; standard deviations of {metric_label(metric)}; the table has them",
            limits=(0.0, axis_limits([0.0, most])[1]),
            percent=is_percentage(metric),
            x_label=f"standard deviation of {metric_label(metric)}",
        )
        body = [
            [
                f"{methods[row.method].method}, {pattern_label(row.missingness)}",
                f"{format_value(row.mean, metric, exact=True)} "
                f"({format_interval(row.low, row.high, metric, exact=True)})",
                _unsigned(row.people, metric),
                f"{_unsigned(row.between, metric)} ({_unsigned(row.seeds_low, metric)} to "
                f"{_unsigned(row.seeds_high, metric)})",
                f"{_unsigned(row.seeds, metric)} ({row.n_seeds} seeds)",
                _unsigned(row.both, metric),
            ]
            for row in of
        ]
        head = ["method", "mean", "SD over subjects", "SD over seeds, these subjects"]
        head += ["of it, for all subjects", "of it, for these subjects only"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def _rank(row: MethodRank | None) -> str:
    if row is None:
        return DASH
    ends = "no interval"
    if row.low is not None and row.high is not None:
        ends = f"{row.low:.1f} to {row.high:.1f}"
    return f"{row.rank:.1f} ({ends}), {100 * row.best:.0f} %"


def _words(pattern: str) -> str:
    return "all patterns" if pattern == _ALL_PATTERNS else pattern_label(pattern)


def _deviations(row: SeedComponents, methods: Mapping[str, Series]) -> list[Mark]:
    """Return the deviation over subjects in grey, and over seeds in the method's colour."""
    return [
        Mark(None, row.people, row.people, row.people),
        Mark(methods[row.method].family, row.between, row.seeds_low, row.seeds_high),
    ]


def _unsigned(value: float, metric: str) -> str:
    return format_difference(value, metric, signed=False)
