"""Lay out results and differences as tables that fit the width of a terminal, one for each task."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from clinical_symile.formatting import SMALLEST_COUNT, format_p_value
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.tracking.results import (
    Comparison,
    Result,
    SkippedResult,
    is_significant,
    is_withheld,
)
from clinical_symile.tracking.rounding import ROUNDED, sizes_in_words

_WITHHELD = f"withheld (<{SMALLEST_COUNT})"
_NOT_SCORED = "not scored"
_GAP = 3  # characters between two cells


def result_tables(
    results: Sequence[Result],
    unscored: Sequence[SkippedResult],
    *,
    primary: Mapping[str, str],
    width: int,
    beside: Sequence[Result] = (),
) -> Iterator[Table | str]:
    """Yield a table for each task: its primary metric by pattern and run.

    Intervals are shown if all runs then fit beside each other. Runs that do not fit follow in
    further tables.

    Args:
        results: of any runs, on one cohort.
        unscored: what could not be scored; the table says so in its place.
        primary: for each task its primary metric.
        width: of the terminal, in characters.
        beside: results that are shown too, so that no small count follows from both tables.
    """
    rows = [row for row in results if row.metric == primary.get(row.task)]
    runs = list(dict.fromkeys(row.run for row in rows))
    sizes = sizes_in_words((*rows, *beside))
    shown = (*rows, *unscored)
    patterns = max((len(row.missingness) for row in shown), default=0)
    room = width - patterns - _GAP - max(map(len, sizes.values()), default=0)
    names = _short_names(runs, at_most=room // max(len(runs), 1) - _GAP)
    with_chance = {task for task in primary if len(_chances(rows, task)) > 1}
    room -= (len("chance") + _GAP) * bool(with_chance)
    intervals = sum(max(len(name), len(_cell(rows[0]))) + _GAP for name in names.values()) <= room
    yield (
        "95 % intervals in brackets, by bootstrap over subjects"
        if intervals
        else f"{len(runs)} runs; their intervals are in results.jsonl and in the report"
    )
    if any(row.rounded for row in rows):
        yield ROUNDED
    blocks = [runs] if intervals else _blocks(runs, names, room)
    for task in dict.fromkeys(row.task for row in shown):
        of_task = [row for row in rows if row.task == task]
        chances = _chances(rows, task)
        chance = f", chance {chances[0]}" if len(chances) == 1 else ""
        for block in blocks:
            yield _title(f"{task}: {primary.get(task, '')}{chance}")
            yield _result_table(
                chances,
                of_task,
                dict.fromkeys(row.missingness for row in shown if row.task == task),
                {run: names[run] for run in block},
                sizes,
                intervals=intervals,
            )


def _result_table(
    chances: Sequence[str],
    rows: Sequence[Result],
    patterns: Iterable[str],
    runs: Mapping[str, str],
    sizes: Mapping[int, str],
    *,
    intervals: bool,
) -> Table:
    table = _table()
    table.add_column("missingness", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for name in runs.values():
        table.add_column(name, justify="right", overflow="fold", min_width=5)
    if len(chances) > 1:
        table.add_column("chance", justify="right", no_wrap=True)
    cells = {(row.missingness, row.run): row for row in rows}
    for pattern in patterns:
        found = [cells.get((pattern, run)) for run in runs]
        some = next((row for row in found if row), None)
        table.add_row(
            pattern,
            sizes[some.n_samples] if some else "",
            *((_cell(row) if intervals else _value(row)).replace("[", r"\[") for row in found),
            *([_chance(some)] if len(chances) > 1 else []),
        )
    return table


def comparison_tables(comparisons: Sequence[Comparison]) -> Iterator[Table | str]:
    """Yield a table for each task: the difference of each pair of runs, with its interval."""
    yield "Differences on the same queries; intervals by paired bootstrap over subjects"
    with_margin = any(row.margin is not None for row in comparisons)
    for task in dict.fromkeys(row.task for row in comparisons):
        rows = [row for row in comparisons if row.task == task]
        about = list(dict.fromkeys((row.metric, row.test or "no test") for row in rows))
        yield _title(f"{task}: {', '.join(about[0]) if len(about) == 1 else ''}".rstrip(": "))
        table = _table()
        headings = ["missingness", "runs", "difference", "p", "Holm"]
        headings += ["within margin"] * with_margin + ["metric and test"] * (len(about) > 1)
        for heading in headings:
            right = heading in ("difference", "p", "Holm")
            table.add_column(
                heading, justify="right" if right else "left", no_wrap=right, overflow="fold"
            )
        for row in rows:
            is_small = min(row.n_samples, row.n_subjects) < SMALLEST_COUNT
            difference = _WITHHELD if is_small else _difference(row)
            if is_significant(row) and not is_small:
                difference = f"[bold]{difference}[/bold]"
            table.add_row(
                row.missingness,
                _pair(row),
                difference,
                *(format_p_value(None if is_small else p) for p in (row.p_value, row.p_holm)),
                *([_verdict(row, is_small=is_small)] if with_margin else []),
                *([f"{row.metric}, {row.test or 'no test'}"] if len(about) > 1 else []),
            )
        yield table


def _title(words: str) -> str:
    """Return the line above a table, which may be wider than the table."""
    return f"\n[bold]{escape(words)}[/bold]"


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _blocks(runs: Sequence[str], names: Mapping[str, str], room: int) -> list[list[str]]:
    """Divide runs into as few groups as fit beside each other."""
    blocks: list[list[str]] = [[]]
    left = room
    for run in runs:
        needed = max(len(names[run]), len(_NOT_SCORED)) + _GAP
        if needed > left and blocks[-1]:
            blocks.append([])
            left = room
        blocks[-1].append(run)
        left -= needed
    return blocks


def _short_names(runs: Sequence[str], *, at_most: int) -> dict[str, str]:
    """Return names of runs; where whole names are too long, without words that all share."""
    names = {run: "oracle (ceiling)" if run == ORACLE else run for run in runs}
    if max(map(len, names.values()), default=0) <= at_most:
        return names
    some = {run: run.split("-") for run in runs if run != ORACLE}
    for end in (0, -1):
        if len(some) > 1 and len({words[end] for words in some.values()}) == 1:
            some = {run: words[1:] if end == 0 else words[:-1] for run, words in some.items()}
        if not all(some.values()):
            return names
    return names | {run: "-".join(words) for run, words in some.items()}


def _chances(rows: Sequence[Result], task: str) -> list[str]:
    return list(dict.fromkeys(_chance(row) for row in rows if row.task == task if _chance(row)))


def _difference(row: Comparison) -> str:
    return rf"{row.difference:+.3f} \{_ends(row.low, row.high, sign='+')}"


def _pair(row: Comparison) -> str:
    if row.against is not None:
        return f"{row.run}, minus {row.against}"
    return f"{row.run} - {row.baseline}"


def _verdict(row: Comparison, *, is_small: bool) -> str:
    if row.margin is None:
        return ""
    return f"{_WITHHELD if is_small else row.verdict} ({row.margin:g})"


def _ends(low: float | None, high: float | None, *, sign: str = "") -> str:
    if low is None or high is None:
        return "[no interval]"
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def _cell(row: Result | None) -> str:
    if row is None or is_withheld(row):
        return _NOT_SCORED if row is None else _WITHHELD
    return f"{row.value:.3f} {_ends(row.low, row.high)}"


def _value(row: Result | None) -> str:
    if row is None or is_withheld(row):
        return _NOT_SCORED if row is None else _WITHHELD
    return f"{row.value:.3f}"


def _chance(row: Result | None) -> str:
    if row is None or row.chance is None or is_withheld(row):
        return ""
    return f"{row.chance:.3f}"
