"""Copy runs and benchmarks to MLflow."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clinical_symile.api._arguments import PathLike, as_run
from clinical_symile.errors import DataError
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.benchmark_report import (
    BENCHMARK_FILE,
    read_record,
    report_page,
)
from clinical_symile.reporting.summary import report_summary
from clinical_symile.tracking.mlflow import Study, SyncResult, sync_run, sync_study
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import default_uri, is_run_folder


def sync_mlflow(
    run: PathLike | Run,
    *,
    uri: str | None = None,
    nest_tasks: bool = False,
    log_model: bool = False,
    register: str | None = None,
    system_metrics: bool = False,
) -> SyncResult:
    """Copy a run's record, curves and results to MLflow; the run's folder stays the record.

    Args:
        run: a run or its folder.
        uri: the tracking server; None for `MLFLOW_TRACKING_URI`, else the place of the last sync,
            else an SQLite database in the folder of runs.
        nest_tasks: also make a nested run for each task, with its numbers as metrics. Later syncs
            keep them up to date.
        log_model: also log the run's encoders as a model, with a signature and an example of random
            numbers.
        register: also register that model under this name.
        system_metrics: also send processor, memory and GPUs of each epoch, from the run's record.
            Later syncs keep them up to date.

    Returns:
        Where the copy is, or why there is none.

    Raises:
        DataError: the folder is not a run, or has no model to log.

    Examples:
        >>> cs.sync_mlflow("runs/symile-0", uri="sqlite:///mlflow.db").problem is None
        True
    """
    found = as_run(run)
    if not log_model and register is None:
        return sync_run(found, uri=uri, nest_tasks=nest_tasks, system_metrics=system_metrics)
    from clinical_symile.training.served_model import write_served_model  # loads PyTorch

    with TemporaryDirectory() as folder:
        model = replace(write_served_model(found, Path(folder)), register=register)
        return sync_run(
            found, uri=uri, nest_tasks=nest_tasks, model=model, system_metrics=system_metrics
        )


def sync_folders(
    folders: Sequence[PathLike],
    *,
    uri: str | None = None,
    nest_tasks: bool = False,
    log_model: bool = False,
    register: str | None = None,
    system_metrics: bool = False,
    on_result: Callable[[SyncResult], object] = lambda result: None,
) -> list[SyncResult]:
    """Copy runs, the runs of benchmarks and all runs of a folder to MLflow.

    Args:
        folders: of runs or benchmarks, or folders that hold runs.
        uri: the tracking server; None for `MLFLOW_TRACKING_URI`, else the place of each run's last
            sync, else an SQLite database in the benchmark's folder or the folder of runs.
        nest_tasks: also make a nested run for each task; see `sync_mlflow`.
        log_model: also log the model of each trained run; see `sync_mlflow`.
        register: also register each model under this name.
        system_metrics: also send the system metrics of each run; see `sync_mlflow`.
        on_result: called with the result of each run.

    Returns:
        The result of each run, and of each benchmark after its runs.

    Raises:
        DataError: a folder holds no run.
    """
    found = [(Path(folder), list(_runs_in(Path(folder)))) for folder in folders]
    results = []
    for folder, runs in found:
        synced = []
        for run, place in runs:
            model: dict[str, Any] = {"log_model": log_model, "register": register}
            named = {"system_metrics": system_metrics, **(model if run.is_trained else {})}
            synced.append(sync_mlflow(run, uri=uri or place, nest_tasks=nest_tasks, **named))
            on_result(synced[-1])
        if (folder / BENCHMARK_FILE).is_file() and not any(one.problem for one in synced):
            synced.append(_sync_benchmark(folder, [run for run, _ in runs], uri or runs[0][1]))
            on_result(synced[-1])
        results += synced
    return results


def _sync_benchmark(folder: Path, runs: Sequence[Run], uri: str) -> SyncResult:
    """Group the copies of a benchmark's runs, and send its report."""
    name = read_record(folder)["report"]
    page = report_page(folder, name)
    study = Study(
        name=name,
        folder=folder,
        runs=runs,
        finding=report_summary(page) if page.is_file() else "",
        page=page if page.is_file() else None,
    )
    return sync_study(study, uri=uri)


def _runs_in(folder: Path) -> Iterator[tuple[Run, str]]:
    """Yield each run of a folder, and where it is copied to by default."""
    if (folder / BENCHMARK_FILE).is_file():
        for name in read_record(folder)["runs"]:
            run = Run(path_in(folder / "runs", name))
            yield run, default_uri(run.path if run.mlflow_copy else folder)
        return
    if (folder / "runs").is_dir() and not is_run_folder(folder):  # of a benchmark that was stopped
        benchmark, folder = folder, folder / "runs"
    else:
        benchmark = None
    runs = (
        [folder]
        if is_run_folder(folder)
        else sorted(one for one in _folders(folder) if is_run_folder(one))
    )
    if not runs:
        raise DataError(
            f"{folder}: holds no run; expected a folder of `clinical-symile train` or "
            "`benchmark`. Correct the path.",
            code="CS-R001",
        )
    for path in runs:
        run = Run(path)
        is_new = benchmark is not None and run.mlflow_copy is None
        yield run, default_uri(benchmark if is_new and benchmark is not None else path)


def _folders(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if one.is_dir()] if folder.is_dir() else []
