"""The figure of the missing-data study, from the tables that `methods_compared.py` wrote.

Run with `python benchmarks/methods_drawn.py`. It reads `missingness_compared*.md` in
`benchmarks/results/`, one table for each world of the synthetic cohort, and writes
`missingness_compared.svg` beside them. A row is a way to train with missing modalities, with Symile
and with CLIP; a column is what is missing when the model is used.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clinical_symile.reporting.figures.picture import PALETTE

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    "recall, nothing missing",
    "without the ECG",
    "without the labs",
    "30 % of each missing",
    "AUROC, 30 % of each missing",
)
REFERENCES = {"oracle": "-", "best sum over pairs, found by search": ":"}  # line styles
CELL = re.compile(r"([\d.]+) \[([\d.]+), ([\d.]+)\]")
LOOKS = {"Symile": (PALETTE[0], "o", -0.15), "CLIP": (PALETTE[1], "s", 0.15)}
Values = Mapping[str, Mapping[str, tuple[float, float, float]]]  # by method and column


def read_table(text: str) -> Values:
    """The values and intervals of a table of `methods_compared.py`."""
    lines = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name, *cells in rows:
        of = found.setdefault(name.strip("`").removeprefix("missingness/"), {})
        for column, cell in zip(head[1:], cells, strict=False):
            if column in COLUMNS and (match := CELL.fullmatch(cell)):
                value, low, high = map(float, match.groups())
                of[column] = (value, low, high)
    return found


def title(text: str) -> str:
    """The cohort that a table is about."""
    match = re.search(r"on \*(.+?)\*", text)
    assert match is not None, "the table does not say its cohort"
    return match[1]


def by_way(values: Values) -> dict[str, dict[str, str]]:
    """The methods of each way, by objective; the plain task `clip` leaves missing ones out."""
    ways: dict[str, dict[str, str]] = {}
    for method in values:
        if method in REFERENCES:
            continue
        if method == "clip" or method.startswith("clip/"):
            way = "masked_cube" if method == "clip" else method.removeprefix("clip/")
            ways.setdefault(way, {})["CLIP"] = method
        else:
            ways.setdefault(method, {})["Symile"] = method
    return ways


def draw_panel(axes: Axes, values: Values, ways: Mapping[str, Mapping[str, str]], column: str):
    for place, methods in enumerate(ways.values()):
        for objective, method in methods.items():
            if column not in values[method]:
                continue
            colour, marker, shift = LOOKS[objective]
            value, low, high = values[method][column]
            y = place + shift
            axes.plot([low, high], [y, y], color=colour, linewidth=1.2)
            axes.plot(value, y, marker, color=colour, markersize=4)
    for name, style in REFERENCES.items():
        if column in values.get(name, {}):
            axes.axvline(values[name][column][0], color="grey", linestyle=style, linewidth=1)
    axes.set_ylim(len(ways) - 0.4, -0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.grid(axis="x", color="#e6e6e0", linewidth=0.8)
    axes.set_axisbelow(True)


def draw(tables: Sequence[str]) -> Figure:
    """One row of panels for each table."""
    read = [(title(text), read_table(text)) for text in tables]
    sizes = [len(by_way(values)) + 1.5 for _, values in read]
    figure = Figure(figsize=(9.5, 0.25 * sum(sizes) + 1.2), layout="constrained")
    grid = figure.subplots(
        len(read),
        len(COLUMNS),
        sharex="col",
        sharey="row",
        squeeze=False,
        gridspec_kw={"height_ratios": sizes},
    )
    for (name, values), row in zip(read, grid, strict=True):
        ways = by_way(values)
        for column, axes in zip(COLUMNS, row, strict=True):
            draw_panel(axes, values, ways, column)
        row[0].set_yticks(range(len(ways)), list(ways))
        row[0].set_title(" ", fontsize=10, pad=8)  # keeps the height that the heading takes
        heading = row[0].annotate(
            name, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points"
        )
        heading.set(fontweight="bold", fontsize=10)
        heading.set_in_layout(False)  # it reaches over the next panels
    for column, axes in zip(COLUMNS, grid[-1], strict=True):
        label = column if "AUROC" in column else f"recall@1, {column.removeprefix('recall, ')}"
        axes.set_xlabel(label.replace(", ", ",\n"), fontsize=9)
    handles = [
        *(Line2D([], [], color=c, marker=m, label=name) for name, (c, m, _) in LOOKS.items()),
        Line2D([], [], color="grey", label="oracle"),
        Line2D([], [], color="grey", linestyle=":", label="best sum over pairs"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    results = parser.parse_args().results
    paths = sorted(results.glob("missingness_compared*.md"))
    figure = draw([path.read_text(encoding="utf-8") for path in paths])
    figure.savefig(results / "missingness_compared.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
