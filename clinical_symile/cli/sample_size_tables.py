"""Lay out numbers of subjects that claims need as tables, one for each task."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from clinical_symile.evaluation.sample_size import ENOUGH_FOR_NORMAL, SampleSize
from clinical_symile.formatting import DASH, format_count


def sample_size_tables(
    rows: Sequence[SampleSize], *, difference: float | None, margin: float | None, power: float
) -> Iterator[Table | str]:
    """Yield what the numbers mean, then a table for each task.

    Args:
        rows: one for each comparison.
        difference: the wanted difference; None without that claim.
        margin: the margin; None without those claims.
        power: of every claim.
    """
    yield (
        f"Subjects needed for a power of {power:g}, each test two-sided at 5 % and not adjusted "
        "for others. Standard errors are those observed, and fall with the square root of the "
        "number of subjects. Numbers have two digits, rounded up."
    )
    claims = {"superior": f"differs by {difference:g}"} if difference is not None else {}
    if margin is not None:
        claims |= {
            "non_inferior": f"loss below {margin:g}",
            "equivalent": f"within {margin:g} either way",
        }
        yield "Claims with a margin suppose that there is no difference in truth."
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        metrics = ", ".join(dict.fromkeys(row.metric for row in own))
        yield f"\n[bold]{escape(f'{task}: {metrics}')}[/bold]"
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for heading in ("missingness", "runs"):
            table.add_column(heading, overflow="fold")
        for heading in ("standard error", *claims.values()):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in own:
            table.add_row(row.missingness, _pair(row), *_cells(row, [*claims]))
        yield table
        for reason in dict.fromkeys(row.reason for row in own if row.reason):
            yield f"{DASH}: {escape(reason)}"
    numbers = [getattr(row, claim) for row in rows for claim in claims]
    if any(n is not None and n < ENOUGH_FOR_NORMAL for n in numbers):
        yield (
            f"<{ENOUGH_FOR_NORMAL}: the normal distribution that these numbers rest on does not "
            "hold for so few subjects."
        )


def _cells(row: SampleSize, claims: Sequence[str]) -> list[str]:
    error = DASH if row.standard_error is None else f"{row.standard_error:.2g}"
    return [error, *(_subjects(getattr(row, claim)) for claim in claims)]


def _subjects(n: int | None) -> str:
    if n is None:
        return DASH
    return f"<{ENOUGH_FOR_NORMAL}" if n < ENOUGH_FOR_NORMAL else format_count(_rounded_up(n))


def _rounded_up(n: int) -> int:
    """Return a number with two digits: more would tell how many subjects were compared."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return -(-n // unit) * unit


def _pair(row: SampleSize) -> str:
    if row.against is not None:
        return f"{row.run}, minus {row.against}"
    return f"{row.run} - {row.baseline}"
