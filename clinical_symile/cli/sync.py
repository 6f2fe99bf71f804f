"""`clinical-symile sync`: copy runs or a benchmark to MLflow again."""

import argparse
from pathlib import Path


def add_sync_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sync`."""
    parser.add_argument(
        "folders",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="the folder of a run or a benchmark, or one that holds runs",
    )
    parser.add_argument(
        "--uri",
        help="address of the server or database, without credentials (default: "
        "MLFLOW_TRACKING_URI, else that of the last sync, else mlflow.db beside the runs)",
    )
    parser.add_argument(
        "--nest-tasks",
        action="store_true",
        help="also make a nested run for each task, with all its numbers as metrics",
    )
    parser.add_argument(
        "--system-metrics",
        action="store_true",
        help="also send processor, memory and GPUs of each epoch of training",
    )
    parser.add_argument(
        "--log-model",
        action="store_true",
        help="also log the encoders of each trained run as a model that MLflow loads",
    )
    parser.add_argument(
        "--register", metavar="NAME", help="log the models, and register them under this name"
    )


def run_sync(options: argparse.Namespace) -> int:
    """Copy each run and print what was sent; return 1 if a run could not be copied."""
    from clinical_symile.api.sync import sync_folders
    from clinical_symile.cli.console import CONSOLE, show_sent, show_synced

    results = sync_folders(
        options.folders,
        uri=options.uri,
        nest_tasks=options.nest_tasks,
        log_model=options.log_model,
        register=options.register,
        system_metrics=options.system_metrics,
        on_result=lambda result: show_sent(result, CONSOLE),
    )
    copied = [result for result in results if result.problem is None]
    if copied:
        show_synced(copied[-1], CONSOLE)
    return 0 if len(copied) == len(results) else 1
