"""The table of a finished `clinical-symile benchmark objectives`.

Run with `clinical-symile benchmark objectives --cohort synthetic --out objectives --jobs 2`, then
`python benchmarks/objectives_compared.py objectives`; it writes
`benchmarks/results/objectives_compared.md`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from clinical_symile.config.catalog import open_catalog
from clinical_symile.registry.families import BASELINES
from clinical_symile.reporting.benchmark_report import load_benchmark
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.tracking.results import Result

RETRIEVAL, OUTCOME = "retrieval/cxr_given_ecg_labs", "classification/deterioration"
COLUMNS = (
    (RETRIEVAL, "complete", "recall, nothing missing"),
    (RETRIEVAL, "without-ecg", "without the ECG"),
    (RETRIEVAL, "without-labs", "without the labs"),
    (RETRIEVAL, "mcar-30", "30 % of each missing"),
    (OUTCOME, "complete", "AUROC, nothing missing"),
    (OUTCOME, "without-ecg", "AUROC, without the ECG"),
)
REFERENCES = {"pair-sums": "best sum over pairs, found by search", "oracle": "oracle"}
OUT = Path(__file__).parent / "results" / "objectives_compared.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the benchmark")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    data = load_benchmark(options.folder, catalog=open_catalog())
    text = page(data)
    options.out.write_text(text, encoding="utf-8")
    print(text)


def page(data: ReportData) -> str:
    """The values of each objective, the best first, with the cost of its training."""
    primary = {name: str(task["primary"]) for name, task in data.tasks.items()}
    found = {
        (row.run, row.task, row.missingness): row
        for row in data.results
        if row.metric == primary.get(row.task)
    }
    records = {str(record["name"]): record for record in data.runs}
    first = COLUMNS[0][:2]
    trained = [run for run in records if (run, *first) in found and run not in BASELINES]
    trained.sort(key=lambda run: -found[run, *first].value)
    lines = [
        f"| objective | {' | '.join(name for *_, name in COLUMNS)} | training, s |",
        f"|---|{'--:|' * (len(COLUMNS) + 1)}",
    ]
    for run in trained:
        seconds = records[run]["costs"]["training"]["processor_s"]
        name = str(records[run]["task"]).removeprefix("pretraining/").removeprefix("objectives/")
        lines.append(f"| `{name}` | {_cells(found, run)} | {seconds:.0f} |")
    for run, name in REFERENCES.items():
        lines.append(f"| {name} | {_cells(found, run)} | |")
    seeds = sorted({int(records[run]["seed"]) for run in trained})
    versions = found[trained[0], *first].environment
    return "\n".join([*lines, "", _about(data, trained, seeds, versions["torch"]), ""])


def _cells(found: dict[tuple[str, str, str], Result], run: str) -> str:
    rows = [found.get((run, task, pattern)) for task, pattern, _ in COLUMNS]
    return " | ".join(
        "" if row is None else f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows
    )


def _about(data: ReportData, trained: Sequence[str], seeds: Sequence[int], torch: str) -> str:
    took = "" if data.elapsed_s is None else f" The benchmark took {data.elapsed_s / 60:.1f} min."
    return (
        f"{len(trained)} trainings, one setting each, seed {', '.join(map(str, seeds))}, on "
        f"*{data.cohort['title'].rstrip('.')}*. Recall is recall@1 of the chest X-ray among ten "
        "candidates (chance 0.100), with 95 % intervals over subjects. Seconds are processor time "
        f"of a training on one thread, PyTorch {torch}.{took} One training each tells nothing of "
        "the spread over seeds: `--seeds 0,1,2` adds it.\n\n"
        "Made by `clinical-symile benchmark objectives --cohort synthetic --out objectives "
        "--jobs 2`, then `python benchmarks/objectives_compared.py objectives`."
    )


if __name__ == "__main__":
    main()
