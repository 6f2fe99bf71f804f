"""The table of a finished `clinical-symile benchmark objectives` or `benchmark missingness`.

Run with `clinical-symile benchmark objectives --cohort synthetic --out objectives --jobs 2`, then
`python benchmarks/methods_compared.py objectives objectives`, the report and its folder; it writes
`benchmarks/results/objectives_compared.md`. The same with `missingness`. After `--tune`, it has
the setting that was chosen. A benchmark without retrieval has other columns; give its table another
name by `--out`. One with primary comparisons has a table of their pairs.
"""

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from clinical_symile.config.catalog import open_catalog
from clinical_symile.registry.families import BASELINES
from clinical_symile.reporting.benchmark_report import load_benchmark
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.primary import PRIMARY

RETRIEVAL, OUTCOME = "retrieval/cxr_given_ecg_labs", "classification/deterioration"
Columns = tuple[tuple[str, str, str], ...]  # a task, a pattern and a title
COLUMNS: Mapping[str, Columns] = {
    "objectives": (
        (RETRIEVAL, "complete", "recall, nothing missing"),
        (RETRIEVAL, "without-ecg", "without the ECG"),
        (RETRIEVAL, "without-labs", "without the labs"),
        (RETRIEVAL, "mcar-30", "30 % of each missing"),
        (OUTCOME, "complete", "AUROC, nothing missing"),
        (OUTCOME, "without-ecg", "AUROC, without the ECG"),
    ),
    "missingness": (
        (RETRIEVAL, "complete", "recall, nothing missing"),
        (RETRIEVAL, "without-ecg", "without the ECG"),
        (RETRIEVAL, "without-labs", "without the labs"),
        (RETRIEVAL, "mcar-30", "30 % of each missing"),
        (RETRIEVAL, "mnar-30", "30 %, more often by the value"),
        (RETRIEVAL, "mar-age-30", "30 %, more often at a higher age"),
        (RETRIEVAL, "labs-mcar-50", "half of the lab values"),
        (RETRIEVAL, "labs-mnar-50", "half, more often by the value"),
        (OUTCOME, "complete", "AUROC, nothing missing"),
        (OUTCOME, "mcar-30", "AUROC, 30 % of each missing"),
        (OUTCOME, "only-labs", "AUROC, labs alone"),
    ),
}
BY_HEAD = "classification/more/deterioration_by_head"
SUPERVISED: Columns = (  # of a benchmark without retrieval
    (BY_HEAD, "complete", "AUROC, nothing missing"),
    (BY_HEAD, "without-cxr", "without the X-ray"),
    (BY_HEAD, "without-ecg", "without the ECG"),
    (BY_HEAD, "without-labs", "without the labs"),
    (BY_HEAD, "only-cxr", "X-ray alone"),
    (BY_HEAD, "only-ecg", "ECG alone"),
    (BY_HEAD, "only-labs", "labs alone"),
    (BY_HEAD, "mcar-30", "30 % of each missing"),
    (BY_HEAD, "mnar-30", "30 %, more often by the value"),
)
REFERENCES = {"pair-sums": "best sum over pairs, found by search", "oracle": "oracle"}
RESULTS = Path(__file__).parent / "results"


class Interval(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", choices=COLUMNS, help="the report of the benchmark")
    parser.add_argument("folder", type=Path, help="the folder of the benchmark")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/REPORT_compared.md")
    options = parser.parse_args()
    text = page(load_benchmark(options.folder, catalog=open_catalog()), report=options.report)
    out = options.out or RESULTS / f"{options.report}_compared.md"
    out.write_text(text, encoding="utf-8")
    print(text)


def page(data: ReportData, *, report: str) -> str:
    """The values of each method, the best first, with the cost of its training."""
    columns, found = COLUMNS[report] if RETRIEVAL in data.tasks else SUPERVISED, intervals(data)
    seconds: dict[str, list[float]] = {}
    for record in data.runs:
        if record["name"] not in BASELINES:
            cost = record["costs"]["training"]["processor_s"]
            seconds.setdefault(str(record["task"]), []).append(cost)
    methods = sorted(seconds, key=lambda name: -found[name, *columns[0][:2]].value)
    chosen = {row.task: row.changes for row in data.settings if row.is_best}
    names = {name: f"`{name.removeprefix('pretraining/')}`" for name in methods}
    costs = {name: f"{mean(seconds[name]):.0f}" for name in methods}
    titles = [*(title for *_, title in columns), *["setting"] * bool(chosen), "training, s"]
    lines = [f"| method | {' | '.join(titles)} |", f"|---|{'--:|' * len(titles)}"]
    for key, name in {**names, **REFERENCES}.items():
        cells = [str(found.get((key, *column[:2]), "")) for column in columns]
        if not any(cells):
            continue  # the report does not ask for this reference
        cells += [_setting(chosen.get(key))] * bool(chosen)
        lines.append(f"| {name} | {' | '.join(cells)} | {costs.get(key, '')} |")
    return "\n".join([*lines, "", *primary_tables(data), _about(data, report), ""])


def primary_tables(data: ReportData) -> list[str]:
    """The pairs of each primary comparison, as the section of the report has them."""
    content = PRIMARY.draw(**{need: data.section_input(need) for need in PRIMARY.needs})
    lines: list[str] = []
    for panel in content.panels if content else ():
        head, *body = panel.table
        lines += [f"Primary: {panel.title}, p-values adjusted for {_pairs(data)}.", ""]
        lines += [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
        lines += [*(f"| {' | '.join(row)} |" for row in body), ""]
    return lines


def _pairs(data: ReportData) -> str:
    cells = {tuple(name.split(":")) for name in data.primary}
    rows = [row for row in data.methods_compared if (row.task, row.missingness) in cells]
    return f"the {len(rows)} primary pairs alone"


def intervals(data: ReportData) -> Mapping[tuple[str, str, str], Interval]:
    """The primary metrics by method or baseline, task and pattern: of all seeds if there are some.

    A run's interval is for other subjects; that of several seeds for other subjects and seeds.
    """
    primary = {name: str(task.get("primary")) for name, task in data.tasks.items()}
    methods = {str(record["name"]): str(record["task"]) for record in data.runs}
    found = {
        (methods.get(row.run, row.run), row.task, row.missingness): Interval(
            row.value, row.low, row.high
        )
        for row in data.results
        if row.metric == primary[row.task] and row.low is not None and row.high is not None
    }
    for row in data.seeds:
        if row.metric == primary[row.task]:
            found[row.method, row.task, row.missingness] = Interval(row.mean, row.low, row.high)
    return found


def _setting(changes: Mapping[str, Any] | None) -> str:
    """What the best setting changes of a task, without the table that a field is in."""
    if changes is None:
        return ""
    return ", ".join(f"{k.split('.')[-1]} {v}" for k, v in changes.items()) or "the task's own"


def _command(data: ReportData, report: str, tasks: Sequence[str], seeds: Sequence[int]) -> str:
    """The command that trained these tasks."""
    listed = open_catalog().path("reports", report)
    default = tomllib.loads(listed.read_text(encoding="utf-8"))["pretraining"]
    some = "" if set(tasks) == set(default) else f" --pretraining {','.join(tasks)}"
    some += "" if RETRIEVAL in data.tasks else f" --tasks {','.join(data.tasks)}"
    some += f" --primary {','.join(data.primary)}" if data.primary else ""
    generator: Mapping[str, Any] = data.cohort["generator"] or {"parameters": {}}
    drawn = generator["parameters"].get("seed", 0)
    some += f" --generate seed={drawn}" if drawn else ""
    return (
        f"clinical-symile benchmark {report} --cohort {data.cohort['cohort']} --out {report} "
        f"--jobs 2 --seeds {','.join(map(str, seeds))}{' --tune' * bool(data.settings)}{some}"
    )


def _about(data: ReportData, report: str) -> str:
    trained = [record for record in data.runs if record["name"] not in BASELINES]
    seeds = sorted({int(record["seed"]) for record in trained})
    torch = next(iter(data.results)).environment["torch"]
    took = (
        ""
        if data.elapsed_s is None
        else f" The last call of the command took {data.elapsed_s / 60:.1f} min."
    )
    spread = (
        "over subjects. One training each tells nothing of the spread over seeds: `--seeds 0,1,2` "
        "adds it"
        if len(seeds) == 1
        else "over subjects and seeds"
    )
    tasks = list(dict.fromkeys(str(record["task"]) for record in trained))
    tuned = (
        f" {len(data.settings)} settings were trained with the first seed, and the best on the "
        "tuning split was kept for all."
        if data.settings
        else ""
    )
    metric = (
        "Recall is recall@1 of the chest X-ray among ten candidates (chance 0.100)."
        if RETRIEVAL in data.tasks
        else "AUROC is for deterioration, by the head that was trained with the encoders."
    )
    return (
        f"{len(trained)} trainings, {_seeds(seeds)}, on *{data.cohort['title'].rstrip('.')}*. "
        f"{metric} Intervals are of 95 %, {spread}. Seconds are processor time of a training on "
        f"one thread, PyTorch {torch}.{tuned}{took}\n\n"
        f"Made by `{_command(data, report, tasks, seeds)}`, then "
        f"`python benchmarks/methods_compared.py {report} {report}`."
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


if __name__ == "__main__":
    main()
