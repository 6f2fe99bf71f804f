"""`clinical-symile sweep`: try settings from ranges of fields, then run a benchmark."""

import argparse

from clinical_symile.cli.arguments import positive_number
from clinical_symile.cli.benchmark import add_grid_arguments, run_and_show


def add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sweep`: those of `benchmark`, with ranges and a number of trials."""
    add_grid_arguments(parser)
    parser.add_argument(
        "--space",
        metavar="FIELD=RANGE",
        action="append",
        required=True,
        help="range of a field, such as 'optimiser.learning_rate=1e-4..1e-2 log', "
        "batch_size=32..256 or 'dim=[32, 64]'; may be repeated",
    )
    parser.add_argument(
        "--trials",
        metavar="N",
        type=positive_number,
        required=True,
        help="settings to try for each task, beside the task as it is defined",
    )


def run_sweep(options: argparse.Namespace) -> int:
    """Run the benchmark with the best of the settings on the tuning split."""
    return run_and_show(options, space=options.space, trials=options.trials)
