"""Methods against each other: who comes first how surely, and how much is luck of training."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_interval,
    format_value,
    is_percentage,
)
from clinical_symile.reporting.figures.charts import Mark, Row, dots, limits
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.overview import Panel, Tasks
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.analysis_tables import MethodRank, SeedComponents

TOGETHER = "all"
WHOLE = "complete"


def ranks(rows: Sequence[MethodRank], *, methods: Mapping[str, Series]) -> list[Panel]:
    """The rank of each method over all tasks and patterns, with its interval.

    Args:
        rows: of every pattern, and of all of them together.
        methods: by the names of `rows`.
    """
    patterns = list(dict.fromkeys(row.missingness for row in rows))
    by_cell = {(row.method, row.missingness): row for row in rows if row.method in methods}
    names = list(dict.fromkeys(name for name, _ in by_cell))
    shown = {row.method: row for row in rows if row.missingness == TOGETHER and row.method in names}
    if len(shown) < 2:
        return []
    ordered = sorted(shown.values(), key=lambda row: row.rank)
    picture = dots(
        [
            Row(
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
    return [Panel("Over all tasks and patterns together", Markup(picture), head, body)]


def seeds(
    rows: Sequence[SeedComponents], *, methods: Mapping[str, Series], tasks: Tasks
) -> list[Panel]:
    """How far a number moves with other people and with another seed, with nothing missing.

    Args:
        rows: of methods that were trained several times.
        methods: by the names of `rows`.
        tasks: what was asked.
    """
    panels = []
    for name, task in tasks.items():
        of = [row for row in rows if row.task == name and row.method in methods]
        patterns = dict.fromkeys(row.missingness for row in of)
        if not of:
            continue
        shown = WHOLE if WHOLE in patterns else next(iter(patterns))
        here, metric = [row for row in of if row.missingness == shown], of[0].metric
        lines = [Row(methods[row.method].method, _deviations(row, methods)) for row in here]
        most = max(mark.high for line in lines for mark in line.marks)
        title = f"{task_label(name, task)}: {pattern_label(shown)}"
        picture = dots(
            lines,
            name=f"seeds-{len(panels)}",
            title=f"{title}; standard deviations of {metric_label(metric)}; the table has them",
            limits=(0.0, limits([0.0, most])[1]),
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
        head = ["method", "mean", "other people", "another seed, on these people"]
        head += ["of it, for all people", "of it, for just these"]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def _rank(row: MethodRank | None) -> str:
    if row is None:
        return DASH
    return f"{row.rank:.1f} ({row.low:.1f} to {row.high:.1f}), {100 * row.best:.0f} %"


def _words(pattern: str) -> str:
    return "all together" if pattern == TOGETHER else pattern_label(pattern)


def _deviations(row: SeedComponents, methods: Mapping[str, Series]) -> list[Mark]:
    """Grey for other people; in the method's colour, with its interval, for another seed."""
    return [
        Mark(None, row.people, row.people, row.people),
        Mark(methods[row.method].family, row.between, row.seeds_low, row.seeds_high),
    ]


def _unsigned(value: float, metric: str) -> str:
    return format_difference(value, metric, signed=False)
