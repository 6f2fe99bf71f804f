"""`clinical-symile train`: train encoders as a pretraining task defines."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import (
    RUNS,
    add_devices,
    add_offline,
    add_overrides,
    add_store,
    natural_number,
    offer,
    run_folder_name,
)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    task = parser.add_argument(
        "task", metavar="TASK", help="name of the pretraining task, such as pretraining/symile"
    )
    offer(task, "tasks")
    add_store(parser)
    parser.add_argument("--out", metavar="RUNS", type=Path, required=True, help=RUNS)
    parser.add_argument(
        "--name", type=run_folder_name, help="name of the run (default: from the task and the seed)"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=natural_number,
        default=0,
        help="seed of weights, batches and masks (default: 0)",
    )
    add_overrides(parser)
    add_devices(parser)
    add_offline(parser)


def run_train(options: argparse.Namespace) -> int:
    """Train a run, copy it to MLflow and print the epoch that was kept."""
    if options.offline:
        from clinical_symile.tracking.offline import go_offline

        go_offline()
    from clinical_symile.api.runs import train
    from clinical_symile.api.sync import sync_mlflow
    from clinical_symile.cli.console import CONSOLE, show_synced, show_training

    run = train(
        options.task,
        options.store,
        out=options.out,
        name=options.name,
        seed=options.seed,
        overrides=options.set,
        accelerator=options.accelerator,
        devices=options.devices,
        nodes=options.nodes,
        deterministic=options.deterministic,
        catalog=options.catalog,
        on_epoch=sync_mlflow,
    )
    show_training(run, CONSOLE)
    show_synced(sync_mlflow(run), CONSOLE)
    return 0
