"""Load a finished benchmark's folder and render its report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.report_file import benchmark_requirements
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.evaluation.task_selection import EvaluationTask, scored_tasks, with_patterns
from clinical_symile.files import lock_folder
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.oracle_comparison import results_above_oracle
from clinical_symile.reporting.query_examples import query_examples
from clinical_symile.reporting.render import render
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.run_data import (
    read_exact_runs,
    task_table,
    with_rounded_data,
)
from clinical_symile.tracking.benchmark_tables import (
    MaskAuroc,
    MethodComparison,
    MethodRank,
    NetBenefitDifference,
    Robustness,
    SeedComponents,
    TriedSetting,
)
from clinical_symile.tracking.checksums import check_tables
from clinical_symile.tracking.disclosure import shareable, withheld_patterns, without_withheld
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.records import read_json, wrong_fields
from clinical_symile.tracking.results import (
    Comparison,
    Result,
    SkippedResult,
    read_rows,
)
from clinical_symile.tracking.run import Run

BENCHMARK_FILE = "benchmark.json"
# The values of `benchmark.json` and `oracle.json` that are read.
BENCHMARK_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("report", "store", "description"), str),
    **dict.fromkeys(("runs", "notes"), list[str]),
    "definitions": dict[str, dict[str, Any]],
    "versions": dict[str, str],
    "primary": list[str] | None,
    "elapsed_s": float,
}
_ORACLE_TYPES: Mapping[str, Any] = {
    "total_correlation_nats": float,
    **dict.fromkeys(("recall_at_1", "auroc"), dict[str, float]),
}


@dataclass(frozen=True, repr=False)
class Benchmark:
    """A finished benchmark and the content of its folder.

    Attributes:
        out: the folder.
        store: the prepared cohort.
        runs: trained and external runs, baselines, and the oracle if there is one.
        results: the results of all runs.
        comparisons: the comparisons of each pair of runs with the same seed.
        unscored: results that could not be computed, with the reason.
        tasks: the evaluated tasks.
        notes: tasks that do not apply to the cohort, with the reason.
        report: the rendered report.
        synced: where MLflow has the runs, or the first problem with copying them.
    """

    out: Path
    store: CohortStore
    runs: list[Run]
    results: list[Result]
    comparisons: list[Comparison]
    unscored: list[SkippedResult]
    tasks: list[EvaluationTask]
    notes: list[str]
    report: Path
    synced: SyncResult


def render_report(report: str, *, catalog: Catalog, out: Path) -> Path:
    """Render a report of a finished benchmark's folder and return the page's path.

    Raises:
        DefinitionError: there is no such report, or its definition or template has a problem.
        DataError: the folder is not one of a finished benchmark.
    """
    template = catalog.path("reports", report)
    benchmark_requirements(template)
    page, data = report_page(out, report), load_benchmark(out, catalog=catalog)
    with lock_folder(out):
        render(template, data=data, out=page)
    return page


def report_page(out: Path, report: str) -> Path:
    """Return the path of a rendered report in a benchmark's folder.

    Args:
        out: the folder.
        report: name of the report.
    """
    return out / ("report.html" if report == "benchmark" else f"{report.replace('/', '-')}.html")


def load_benchmark(out: Path, *, catalog: Catalog) -> ReportData:
    """Read the data of a report from the folder that `benchmark` wrote.

    Numbers on real subjects are rounded, as in all that leaves the folder.

    Args:
        out: the folder.
        catalog: where the tasks are.

    Raises:
        DataError: the folder is not one of a finished benchmark.
    """
    if not (out / BENCHMARK_FILE).is_file():
        raise DataError(
            f"{out}: has no {BENCHMARK_FILE}; expected the folder of a finished benchmark. Run "
            "`clinical-symile benchmark` first.",
            code="CS-R013",
        )
    check_tables(out)
    record = read_record(out)
    store = open_recorded_store(out, record)
    runs = [Run(path_in(out / "runs", name)) for name in record["runs"]]
    for run in runs:
        check_tables(run.path)
    scored = benchmark_tasks(record, catalog=catalog)
    results, withheld = without_withheld(read_rows(out / "results.jsonl", Result))
    hidden = withheld_patterns(row for run in runs for row in run.results)
    judged = {task.name: task for task in scored_tasks(scored.values())}
    above_best, tested = results_above_oracle(results, runs, judged, store=store)
    data = replace(
        read_exact_runs(runs, {name: task_table(task) for name, task in scored.items()}),
        results=results,
        comparisons=shareable(read_rows(out / "comparisons.jsonl", Comparison), hidden),
        losses=shareable(read_rows(out / "losses.jsonl", Comparison), hidden),
        seeds=shareable(read_rows(out / "seeds.jsonl", SeedComponents), hidden),
        ranks=read_rows(out / "ranks.jsonl", MethodRank),
        methods_compared=shareable(
            _read_if_there(out / "method_comparisons.jsonl", MethodComparison), hidden
        ),
        net_benefit_differences=shareable(
            _read_if_there(out / "net_benefit_differences.jsonl", NetBenefitDifference), hidden
        ),
        robustness=shareable(_read_if_there(out / "robustness.jsonl", Robustness), hidden),
        masks=shareable(_read_if_there(out / "masks.jsonl", MaskAuroc), hidden),
        settings=_read_if_there(out / "settings.jsonl", TriedSetting),
        unscored=[*read_rows(out / "unscored.jsonl", SkippedResult), *withheld],
        notes=record["notes"],
        cohort={**store.manifest, "description": record["description"]},
        above_best=above_best,
        tested=tested,
        primary=record.get("primary") or (),
        oracle=_oracle(out / "runs" / ORACLE / "oracle.json"),
        gallery=query_examples(store, [run for run in runs if run.is_trained], scored),
        versions=record["versions"],
        elapsed_s=record["elapsed_s"],
    )
    return data if data.synthetic else with_rounded_data(data, runs)


def read_record(out: Path) -> dict[str, Any]:
    """Read `benchmark.json` of a benchmark's folder.

    Raises:
        DataError: it cannot be read.
    """
    return read_json(
        out / BENCHMARK_FILE,
        types=BENCHMARK_TYPES,
        action="Run `clinical-symile benchmark` again, which writes it anew.",
    )


def open_recorded_store(out: Path, record: Mapping[str, Any]) -> CohortStore:
    """Open the store of a benchmark: where its record says, else `store` in the benchmark's folder.

    A benchmark that was moved or copied together with its store finds it there.

    Args:
        out: the benchmark's folder.
        record: the content of `benchmark.json`.

    Raises:
        DataError: there is no store in either place, it cannot be opened, or it is another one.
    """
    places = (Path(str(record["store"])), out / "store")
    found = next((path for path in places if (path / "manifest.json").is_file()), None)
    if found is None:
        raise DataError(
            f"{out / BENCHMARK_FILE}: the store is neither at {places[0]} nor at {places[1]}. Move "
            "it to one of these places, or run `clinical-symile benchmark` again.",
            code="CS-R013",
        )
    store = open_store(found)
    expected = _trained_on(out, record) or {store.digest}
    if store.digest not in expected:
        raise DataError(
            f"{found}: is store {store.digest} of cohort '{store.cohort}', but the runs of {out} "
            f"have store {', '.join(sorted(expected))}; put that store at {places[0]} or at "
            f"{places[1]}, or run `clinical-symile benchmark` again.",
            code="CS-R013",
        )
    return store


def _trained_on(out: Path, record: Mapping[str, Any]) -> set[str]:
    """Return the digests of the stores that a benchmark's runs have recorded."""
    runs = [Run(path_in(out / "runs", name)) for name in record["runs"]]
    kept = [run.metadata for run in runs if (run.path / "run.toml").is_file()]
    return {str(about["store_digest"]) for about in kept if about.get("store_digest")}


def _read_if_there(path: Path, kind: type[Any]) -> list[Any]:
    """Read a table that folders of earlier versions may lack."""
    return read_rows(path, kind) if path.is_file() else []


def benchmark_tasks(record: Mapping[str, Any], *, catalog: Catalog) -> dict[str, EvaluationTask]:
    """Return a benchmark's tasks: from the catalog, else from the benchmark's own record.

    Their missingness patterns are always those of the record: a report may name its own.

    Args:
        record: the content of `benchmark.json`.
        catalog: where tasks are.

    Raises:
        DefinitionError: a task has a problem.
        DataError: the record has no patterns of a task.
    """
    tasks: dict[str, EvaluationTask] = {}
    for name, table in record["definitions"].items():
        if name in catalog.tasks:
            task = read_task(catalog, name)
        else:
            task = parse_task(table, name=name, where=f"{BENCHMARK_FILE}, {name}")
        if not isinstance(task, Pretraining):
            if problems := wrong_fields(table, {"missingness": list[str]}):
                raise DataError(
                    f"{BENCHMARK_FILE}, {name}: {'; '.join(problems)}. Run `clinical-symile "
                    "benchmark` again, which writes it anew.",
                    code="CS-R013",
                )
            tasks[name] = with_patterns(task, table["missingness"])
    return tasks


def _oracle(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    action = "Remove the run's folder and run `clinical-symile benchmark` again."
    return read_json(path, types=_ORACLE_TYPES, action=action)
