"""Run benchmarks, render reports, read results and export tables and figures."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from clinical_symile.api._arguments import (
    PathLike,
    Paths,
    as_names,
    choose_bar,
    open_definitions,
)
from clinical_symile.benchmarking.spec import BenchmarkSpec, plan_benchmark
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.files import make_folder
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.benchmark_report import (
    BENCHMARK_FILE,
    Benchmark,
    benchmark_tasks,
    load_benchmark,
    read_record,
    render_report,
)
from clinical_symile.reporting.cards.card_data import evaluated_runs
from clinical_symile.reporting.meds_files import MEDS_FORMAT, export_meds
from clinical_symile.reporting.results import Results, saved_about
from clinical_symile.reporting.run_data import of_synthetic_subjects, read_runs, task_table
from clinical_symile.tracking.checksums import check_tables
from clinical_symile.tracking.progress import log_line
from clinical_symile.tracking.results import Result, SkippedResult, read_rows
from clinical_symile.tracking.run import Run


def benchmark(
    spec: str | BenchmarkSpec,
    *,
    cohort: str | None = None,
    out: PathLike,
    source: PathLike | None = None,
    catalog: Paths = (),
    progress: bool = True,
    launcher: str = "local",
    jobs: int | None = None,
    threads: int | None = None,
    retries: int = 2,
    engine: Mapping[str, str] | None = None,
) -> Benchmark:
    """Prepare, train, evaluate, compare and report; what is there already is not made again.

    Args:
        spec: a name of `list_reports()`, which says what it needs; or a `BenchmarkSpec` that
            chooses tasks, seeds and settings.
        cohort: a name of `list_cohorts()`, beside the name of a report.
        out: the folder of everything that is written.
        source: the folder of the raw files; a synthetic cohort needs none.
        catalog: folders with definitions of your own.
        progress: show progress bars on a terminal or in a notebook, and print to stderr about how
            long the trainings will take.
        launcher: where runs are trained: `local` for this machine, `slurm` for a cluster.
        jobs: how many runs are trained at once, each in a process of its own; without it, one after
            another in this process, or as many as the cluster takes.
        threads: processor threads of each run, on which last digits depend; without it, the
            processors of this machine are shared among the runs that are trained at once. Other
            launchers need it.
        retries: how often a run is started again whose process was killed.
        engine: what to ask a cluster for, such as `{"partition": "gpu"}`.

    Returns:
        The folder's store, runs, results, comparisons and report.

    Raises:
        DefinitionError: a name or a setting is wrong.
        DataError: the raw files or the folder do not fit.
        ClinicalSymileError: some runs failed; the others are done, and the same call continues.

    Examples:
        >>> spec = cs.BenchmarkSpec(
        ...     cohort="synthetic",
        ...     pretraining=("pretraining/clip",),
        ...     tasks=("retrieval/cxr_given_ecg_labs",),
        ...     baselines=(),
        ...     generate=("subjects=60",),
        ...     overrides=("epochs=1", "dim=8", "encoders.ecg.sampling_rate_hz=20"),
        ... )
        >>> cs.benchmark(spec, out="demo").report.name
        'report.html'
    """
    if isinstance(spec, str):
        if cohort is None:
            raise DefinitionError(
                f"benchmark '{spec}': has no cohort. Give cohort='synthetic'.", code="CS-F024"
            )
        spec = BenchmarkSpec(report=spec, cohort=cohort)
    elif cohort is not None:
        raise DefinitionError("a BenchmarkSpec names its cohort. Leave cohort out.", code="CS-F024")
    definitions = open_definitions(catalog)
    plan_benchmark(spec, catalog=definitions)
    from clinical_symile.benchmarking.launchers.base import LaunchOptions  # PyTorch takes seconds
    from clinical_symile.benchmarking.run import complete_benchmark

    launch = LaunchOptions(
        launcher=launcher, jobs=jobs, threads=threads, retries=retries, engine=engine or {}
    )
    return complete_benchmark(
        spec,
        catalog=definitions,
        out=Path(out),
        source=None if source is None else Path(source),
        bar=choose_bar(progress),
        notify=log_line if progress else None,
        launch=launch,
    )


def report(
    report: str,
    *,
    out: PathLike,
    catalog: Paths = (),
    store: PathLike | CohortStore | None = None,
    progress: bool = True,
) -> Path:
    """Render a report of a finished benchmark again, or of the finished runs in `out/runs`.

    Args:
        report: a name of `list_reports()`.
        out: the benchmark's folder.
        catalog: folders with definitions of your own.
        store: makes a benchmark of every finished run in `out/runs`: each is evaluated on the
            report's tasks and compared. It is the store that they were trained on. A benchmark in
            `out` keeps its other runs, tasks, patterns, margin and tried settings.
        progress: show progress bars of this on a terminal or in a notebook.

    Returns:
        The HTML page.

    Raises:
        DefinitionError: there is no such report, or its template is wrong.
        DataError: the folder is not one of a finished benchmark.

    Examples:
        >>> cs.report("missingness", out="demo").name
        'missingness.html'
    """
    definitions = open_definitions(catalog)
    if store is None:
        return render_report(report, catalog=definitions, out=Path(out))
    from clinical_symile.benchmarking.finished_runs import report_finished_runs  # loads PyTorch

    made = report_finished_runs(
        report,
        catalog=definitions,
        store=open_store(store),
        out=Path(out),
        bar=choose_bar(progress),
    )
    return made.report


def open_results(folder: PathLike | Run, *, catalog: Paths = ()) -> Results:
    """Read the results of a benchmark's folder, a run's folder, or what `Results.save` wrote.

    Args:
        folder: the folder.
        catalog: folders with definitions of your own, for the tasks' primary metrics.

    Returns:
        The results, also with what could not be scored.

    Raises:
        DataError: the folder has no results, they are of another version, or files were changed.

    Examples:
        >>> cs.open_results("runs/symile-0").to_frame()["run"].unique().tolist()
        ['symile-0']
    """
    folder = folder.path if isinstance(folder, Run) else Path(folder)
    check_tables(folder)
    rows = read_rows(folder / "results.jsonl", Result)
    path = folder / "unscored.jsonl"
    skipped = read_rows(path, SkippedResult) if path.is_file() else []
    definitions, (saved, notes, synthetic) = open_definitions(catalog), saved_about(folder)
    runs = [Run(folder)]
    names = dict.fromkeys(row.task for row in rows if row.task in definitions.tasks)
    tasks = {name: read_task(definitions, name) for name in names}
    is_benchmark = (folder / BENCHMARK_FILE).is_file()
    if is_benchmark:
        about = read_record(folder)
        tasks, notes = benchmark_tasks(about, catalog=definitions), tuple(about["notes"])
        runs = [Run(path_in(folder / "runs", name)) for name in about["runs"]]
    tables = {
        name: task_table(task) for name, task in tasks.items() if not isinstance(task, Pretraining)
    }
    data = (
        partial(load_benchmark, folder, catalog=definitions)
        if is_benchmark
        else partial(read_runs, [Run(folder)], tables)
    )
    synthetic = synthetic or of_synthetic_subjects(runs)
    return Results(tuple(rows), tuple(skipped), saved | tables, notes, data, synthetic)


def export(
    folder: PathLike | Run,
    *,
    formats: str | Sequence[str] = ("csv",),
    into: PathLike | None = None,
    store: PathLike | None = None,
    time: str | None = None,
    catalog: Paths = (),
) -> list[Path]:
    """Write the tables and figures of a benchmark's or a run's folder as files.

    `meds` writes rows of patients instead: labels, splits and predictions as MEDS reads them. They
    are for the owner of the data alone, and in no bundle.

    Args:
        folder: the folder.
        formats: `csv` and `latex` for tables; `png`, `svg` and `pdf` for figures; or `meds` alone.
        into: the folder to write into; without it, `export/` inside `folder`. `meds` needs one that
            lies in no store, run or benchmark.
        store: the store of a run, for `meds`; without it, the place that the run has recorded.
        time: the column of the cohort's `keep` with the time of prediction, for `meds`.
        catalog: folders with definitions of your own, for the tasks' primary metrics.

    Returns:
        The files.

    Raises:
        DataError: the folder has no results; or, for `meds`, subjects or times do not fit.
        ValueError: there is no such format.

    Examples:
        >>> [path.name for path in cs.export("runs/symile-0", formats="csv")][0]
        'results.csv'
    """
    from clinical_symile.reporting import file_export

    formats = as_names(formats)
    choices = (*file_export.EXPORT_FORMATS, MEDS_FORMAT)
    unknown = [form for form in formats if form not in choices]
    if unknown:
        known: dict[str, str] = {form: form for form in choices}
        raise ValueError(unknown_name_message(unknown[0], known, what="format"))
    folder = folder.path if isinstance(folder, Run) else Path(folder)
    if MEDS_FORMAT in formats:
        return _export_meds(folder, formats, into=into, store=store, time=time, catalog=catalog)
    results = open_results(folder, catalog=catalog)
    file_export.check_exportable(folder, results)
    target = folder / "export" if into is None else Path(into)
    make_folder(target)
    written = []
    for form in formats:
        if form in file_export.TABLE_FORMATS:
            written += file_export.export_tables(folder, results, into=target, form=form)
        else:
            written += file_export.export_folder_figures(folder, results, into=target, form=form)
    return written


def _export_meds(
    folder: Path,
    formats: Sequence[str],
    *,
    into: PathLike | None,
    store: PathLike | None,
    time: str | None,
    catalog: Paths,
) -> list[Path]:
    """Write labels, splits and predictions of a benchmark's or a run's folder.

    Raises:
        DataError: see `export`.
    """
    if {*formats} != {MEDS_FORMAT} or into is None:
        raise DataError(
            f"{folder}: meds writes rows of patients, the other formats what may be shared. Export "
            "meds by itself, and name a folder of its own with --to.",
            code="CS-R027",
        )
    definitions = open_definitions(catalog)
    opened, runs, tasks = evaluated_runs(
        folder, store=None if store is None else Path(store), catalog=definitions
    )
    risks = {name: one for name, one in tasks.items() if isinstance(one, Classification)}
    return export_meds(opened, runs, risks, time=time, into=Path(into))
