"""Write the tables of small studies in the documentation from the results of `coverage_study.py`.

Run from a checkout: `.venv/bin/python benchmarks/coverage_table.py`. It replaces the part of
`docs/explanation/statistics.md` between two markers; a test holds that page and results agree.
"""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from coverage_study import (
    ENOUGH,
    LEAST_SIZE,
    LEAST_STUDIES,
    MOST_COVERAGE,
    OUT,
    Cell,
    below_bar,
    is_measured,
    mean_coverage,
    mean_sizes,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "statistics.md"
BEGIN, END = "<!-- small studies: begin -->\n", "<!-- small studies: end -->\n"
_HEADS = {
    "coverage": "95 % interval of | subjects | cells | lowest coverage | mean | highest",
    "size": "test at 5 % (non-inferiority at 2.5 %) without a true difference | subjects | cells "
    "| lowest | mean | highest",
    "miss": "conformal sets that may miss 10 % | subjects | cells | lowest | mean | highest",
}


def read_cells(path: Path = OUT) -> list[Cell]:
    """Read the cells of the grid."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Cell(
                family=row["family"],
                subjects=int(row["subjects"]),
                cluster=row["cluster"],
                value=float(row["value"]),
                events=float(row["events"]),
                kind=row["kind"],
                share=float(row["share"]),
                given=float(row["given"]),
                studies=int(row["studies"]),
            )
            for row in csv.DictReader(file)
        ]


def page_part(cells: Sequence[Cell]) -> str:
    """Return the part of the page between the markers: tables, and the bars met and missed."""
    parts = [_table(cells, kind) for kind in _HEADS]
    return "\n".join([*parts, _bars(cells)])


def with_part(page: str, part: str) -> str:
    """Return a page with its part between the markers replaced."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + part + "\n" + END + rest.split(END)[1]


def _table(cells: Iterable[Cell], kind: str) -> str:
    found: dict[tuple[str, int], list[float]] = {}
    for cell in cells:
        if cell.kind == kind and is_measured(cell):
            found.setdefault((cell.family, cell.subjects), []).append(cell.share)
    lines = [f"| {_HEADS[kind]} |", "|---|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {family} | {subjects} | {len(shares)} | {_percent(min(shares))} | "
        f"{_percent(float(np.mean(shares)))} | {_percent(max(shares))} |"
        for (family, subjects), shares in found.items()
    ]
    return "\n".join(lines) + "\n"


def _bars(cells: Sequence[Cell]) -> str:
    """Say which bars are met and missed, and name each cell that misses one."""
    missed = {
        kind: [c for c in cells if c.kind == kind and below_bar(c) is not None] for kind in _HEADS
    }
    asked = {kind: sum(c.kind == kind and is_measured(c) for c in cells) for kind in _HEADS}
    mean, sizes = mean_coverage(cells), mean_sizes(cells)
    lines = [
        "| bar | measured | |",
        "|---|---|---|",
        f"| coverage of each cell | {len(missed['coverage'])} of {asked['coverage']} below | "
        f"{_verdict(not missed['coverage'])} |",
        f"| mean coverage at most {_percent(MOST_COVERAGE)} | {_percent(mean, 2)} | "
        f"{_verdict(mean <= MOST_COVERAGE)} |",
        f"| size of each cell | {len(missed['size'])} of {asked['size']} above | "
        f"{_verdict(not missed['size'])} |",
        f"| conformal sets | {len(missed['miss'])} of {asked['miss']} above | "
        f"{_verdict(not missed['miss'])} |",
    ]
    lines += [
        f"| mean size of {family} at least {_percent(LEAST_SIZE)}, with {ENOUGH} events or more | "
        f"{_percent(size)} | {_verdict(size >= LEAST_SIZE)} |"
        for family, size in sizes.items()
    ]
    unmeasured = sum(not is_measured(cell) for cell in cells)
    lines += [
        "",
        f"{unmeasured} of {len(cells)} cells are not judged. Fewer than {LEAST_STUDIES} of their "
        "studies have an interval or a test, as net benefit with hardly any sample above the "
        "threshold.",
    ]
    fails = [cell for several in missed.values() for cell in several]
    lines += ["", "*Where it fails.*" if fails else "No cell misses its bar."]
    lines += [""] if fails else []
    lines += [f"- {_named(cell)}: {_reason(cell)}." for cell in fails]
    return "\n".join(lines) + "\n"


def _named(cell: Cell) -> str:
    events = "" if np.isnan(cell.events) else f", {cell.events:g} events"
    return f"{cell.family}, {cell.subjects} subjects ({cell.cluster}), value {cell.value:g}{events}"


def _reason(cell: Cell) -> str:
    reason = below_bar(cell)
    assert reason is not None
    return reason


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def main() -> None:
    """Replace the tables of the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_part(page, page_part(read_cells())), encoding="utf-8")


if __name__ == "__main__":
    main()
