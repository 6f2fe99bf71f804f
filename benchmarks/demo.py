"""The table of a finished `make demo`, as the README quotes it.

Run with `make demo && .venv/bin/python benchmarks/demo.py`; it writes `benchmarks/results/demo.md`.
"""

import argparse
from pathlib import Path

from clinical_symile.config.catalog import open_catalog
from clinical_symile.registry.families import BASELINES
from clinical_symile.reporting.benchmark_report import load_benchmark
from clinical_symile.tracking.results import Result

HEAD = "| task | missingness | n | {runs} | chance |\n|---|---|--:|{rule}--:|\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "demo.md")
    options = parser.parse_args()
    data = load_benchmark(options.folder, catalog=open_catalog())
    primary = {name: task["primary"] for name, task in data.tasks.items()}
    scored = [row for row in data.results if row.metric == primary[row.task]]
    lines = _table([row for row in scored if row.run not in BASELINES], primary)
    lines.append("\nBaselines, on the tasks that predict an outcome:\n\n")
    lines += _table([row for row in scored if row.run in BASELINES], primary)
    lines.append("\nDifferences on the same queries, paired bootstrap over subjects:\n\n")
    lines.append("| task | missingness | difference |\n|---|---|--:|\n")
    lines += [
        f"| {row.task} ({row.metric}) | {row.missingness} | {row.run} - {row.baseline}: "
        f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}] |\n"
        for row in data.comparisons
        if row.baseline not in BASELINES
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("".join(lines), encoding="utf-8")
    print(options.out)


def _table(rows: list[Result], primary: dict[str, str]) -> list[str]:
    """A row for each task and pattern, a column for each run."""
    runs = list(dict.fromkeys(row.run for row in rows))
    lines = [HEAD.format(runs=" | ".join(runs), rule="--:|" * len(runs))]
    for task, missingness in dict.fromkeys((row.task, row.missingness) for row in rows):
        found = [row for row in rows if (row.task, row.missingness) == (task, missingness)]
        by_run = {row.run: f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in found}
        cells = " | ".join(by_run.get(run, "not scored") for run in runs)
        chance = found[0].chance
        lines.append(
            f"| {task} ({primary[task]}) | {missingness} | {found[0].n_samples} | {cells} | "
            f"{'' if chance is None else f'{chance:.3f}'} |\n"
        )
    return lines


if __name__ == "__main__":
    main()
