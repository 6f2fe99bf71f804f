"""Do the demo's conclusions stay the same with `precision = "auto"`?

Run with `make demo`, then `clinical-symile benchmark benchmark --cohort synthetic --out auto --set
precision=auto`, then `python benchmarks/precision_on_demo.py demo auto`; it writes
`benchmarks/results/precision_on_demo.md`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from clinical_symile.config.catalog import open_catalog
from clinical_symile.reporting.benchmark_report import load_benchmark
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.tracking.results import Result

OUT = Path(__file__).parent / "results" / "precision_on_demo.md"
_EACH = ("retrieval/cxr_given_ecg_labs", "classification/deterioration")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("float32", type=Path, help="the folder of the demo")
    parser.add_argument("auto", type=Path, help='the folder of the demo with precision = "auto"')
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    catalog = open_catalog()
    folders = (options.float32, options.auto)
    text = page(*(load_benchmark(folder, catalog=catalog) for folder in folders))
    options.out.write_text(text, encoding="utf-8")
    print(text)


def page(plain: ReportData, auto: ReportData) -> str:
    """The primary metrics side by side, and how many decisions between methods are the same."""
    before, after = primary_results(plain), primary_results(auto)
    used = sorted({str(record["precision"]) for record in auto.runs if "precision" in record})
    lines = [
        f"| run | task | pattern | float32 | auto ({', '.join(used)}) |",
        "|---|---|---|--:|--:|",
        *(
            f"| {run} | `{task}` | `{pattern}` | {_cell(before[key])} | {_cell(after[key])} |"
            for key in before
            for run, task, pattern in (key,)
            if key in after and task in _EACH
        ),
    ]
    if before.keys() != after.keys():
        raise SystemExit("the two benchmarks have other runs, tasks or patterns")
    apart = sum(
        row.low is None or row.high is None or not row.low <= after[key].value <= row.high
        for key, row in before.items()
    )
    answers, others = decided(plain), decided(auto)
    kinds = {"same": 0, "decided by one": 0, "opposite": 0}
    for key, better in answers.items():
        other = others[key]
        kinds[
            "same" if better == other else "opposite" if better and other else "decided by one"
        ] += 1
    return "\n".join(
        [
            f"{len(answers)} comparisons of Symile with CLIP: {kinds['same']} come out the same, "
            f"{kinds['decided by one']} are decided by one precision alone, {kinds['opposite']} "
            f"are decided the other way. Of {len(before)} values, {apart} with `auto` lie outside "
            "the 95 % interval of the same value with float32. Tasks that are not shown below are "
            "counted.",
            "",
            *lines,
            "",
            "Made by `make demo`, `clinical-symile benchmark benchmark --cohort synthetic --out "
            "auto --set precision=auto` and `python benchmarks/precision_on_demo.py demo auto`.",
            "",
        ]
    )


def primary_results(data: ReportData) -> Mapping[tuple[str, str, str], Result]:
    """The primary metric of each trained run, by run, task and pattern."""
    primary = {name: task.get("primary") for name, task in data.tasks.items()}
    trained = {str(record["name"]) for record in data.runs}
    return {
        (row.run, row.task, row.missingness): row
        for row in data.results
        if row.run in trained and row.metric == primary[row.task]
    }


def decided(data: ReportData) -> Mapping[tuple[str, str], str]:
    """The method that is significantly better, by task and pattern; empty if neither is."""
    return {(one.task, one.pattern): one.better for one in data.decisions}


def _cell(row: Result) -> str:
    return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"


if __name__ == "__main__":
    main()
