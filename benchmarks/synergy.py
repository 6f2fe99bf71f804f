"""Symile and CLIP from pixels, waveforms and labs, as the share of synergy grows.

The synthetic hospital is written three times. With probability p̂ an admission's synergistic X-ray
factors are the XOR of its ECG and lab factors, else they are the ECG's own. At p̂ = 0 pairs of
modalities tell everything; at p̂ = 1 only all three together do. Each time both objectives are
trained, every retrieval task is scored on complete queries, and the oracle says what is possible.
Above each point stands which of the two is better, or that these data do not tell.

Run with `python benchmarks/synergy.py`; results are in `benchmarks/results/`. What was made is kept
in `--work`, and a second run goes on from there.
"""

import argparse
import csv
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from clinical_symile.benchmarking.run import complete_benchmark
from clinical_symile.benchmarking.spec import BenchmarkSpec
from clinical_symile.config.catalog import open_catalog
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.tracking.progress import progress_bar
from clinical_symile.tracking.results import Comparison, Result, is_significant

METRIC = "recall_at_1"
DIFFERENCE = ("difference", "difference_low", "difference_high", "p_holm")  # to the other objective
COLOURS = {"symile": "#0072B2", "clip": "#D55E00", ORACLE: "#000000"}


def measure(synergy: float, *, work: Path, overrides: list[str], subjects: int) -> Benchmark:
    spec = BenchmarkSpec(
        cohort="synthetic",
        tasks=("retrieval/*", "!*/more/*"),
        generate=(f"synergy={synergy}", f"subjects={subjects}"),
        overrides=tuple(overrides),
    )
    out = work / f"synergy-{synergy:g}"
    return complete_benchmark(spec, catalog=open_catalog(), out=out, bar=progress_bar)


def complete(made: Benchmark) -> list[Result]:
    return [row for row in made.results if row.missingness == "complete" and row.metric == METRIC]


def compared(made: Benchmark) -> dict[tuple[str, str], Comparison]:
    """The difference between the two objectives, by task and by the run that comes first."""
    return {
        (row.task, row.run): row
        for row in made.comparisons
        if row.missingness == "complete" and row.metric == METRIC
    }


def verdict(row: Comparison) -> tuple[str, str]:
    """Who is better, in a word, and its colour; by the rule of the reports."""
    if not is_significant(row):
        return "not told apart", "grey"
    run = row.run if row.difference > 0 else row.baseline
    method = run.rpartition("-")[0]
    return f"{method} better", COLOURS.get(method, "grey")


def draw(
    rows: list[tuple[float, Result]], differences: list[tuple[float, Comparison]], path: Path
) -> None:
    tasks = list(dict.fromkeys(row.task for _, row in rows))
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), sharey=True), tasks, strict=True):
        for run in dict.fromkeys(row.run for _, row in rows):
            line = [(p, row) for p, row in rows if row.task == task and row.run == run]
            method = run.rpartition("-")[0] or run
            x, y = [p for p, _ in line], [row.value for _, row in line]
            low, high = [row.low for _, row in line], [row.high for _, row in line]
            colour = COLOURS.get(method)
            style = "--" if run == ORACLE else "o-"
            label = "best possible" if run == ORACLE else run
            axes.plot(x, y, style, color=colour, label=label)
            if run != ORACLE:
                axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.axhline(rows[0][1].chance or 0, color="grey", linestyle=":", label="chance")
        for p, row in differences:
            if row.task == task:
                word, colour = verdict(row)
                side = "left" if p < 0.25 else "right" if p > 0.75 else "center"
                axes.text(p, 0.94, word, color=colour, ha=side, fontsize=8)
        axes.set(title=task, xlabel="synergy p̂", ylim=(0, 1))
    figure.axes[0].set_ylabel("recall at 1 of 10, complete queries")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--work", type=Path, default=Path("demo") / "synergy")
    parser.add_argument("--synergies", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    options = parser.parse_args()
    rows: list[tuple[float, Result]] = []
    differences: list[tuple[float, Comparison]] = []
    lines: list[dict[str, object]] = []
    table = Table(title="Recall at 1 of 10 on complete queries, 95 % intervals")
    for heading in ("p̂", "task", "run", "recall at 1", "difference to the other"):
        table.add_column(heading)
    for synergy in options.synergies:
        made = measure(synergy, work=options.work, overrides=options.set, subjects=options.subjects)
        found = compared(made)
        differences += [(synergy, difference) for difference in found.values()]
        for row in complete(made):
            rows.append((synergy, row))
            lines.append({"synergy": synergy, **asdict(row)})
            del lines[-1]["hidden"]  # nothing, of complete queries
            interval = f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
            difference = ""
            if (other := found.get((row.task, row.run))) is not None:
                values = (other.difference, other.low, other.high)
                lines[-1] |= dict(zip(DIFFERENCE, (*values, other.p_holm), strict=True))
                difference = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*values)
            table.add_row(
                f"{synergy:g}",
                row.task,
                row.run,
                *(cell.replace("[", r"\[") for cell in (interval, difference)),
            )
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "synergy.csv").open("w", newline="", encoding="utf-8") as file:
        names = [field.name for field in fields(Result) if field.name != "hidden"]
        writer = csv.DictWriter(file, ["synergy", *names, *DIFFERENCE])
        writer.writeheader()
        writer.writerows(lines)
    draw(rows, differences, options.out / "synergy.svg")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
