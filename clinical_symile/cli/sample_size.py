"""`clinical-symile sample-size`: how many subjects a wanted difference needs."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import MARGIN, margin, name_list


def add_sample_size_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sample-size`."""
    parser.add_argument(
        "path",
        metavar="PATH",
        type=Path,
        help="a file of comparisons, or the folder that `compare` or `benchmark` wrote it into",
    )
    parser.add_argument(
        "--difference",
        metavar="D",
        type=margin,
        help="true difference of the primary metric to detect, such as 0.02 (superiority)",
    )
    parser.add_argument(
        "--margin", metavar="D", type=margin, help=f"{MARGIN} (non-inferiority, equivalence)"
    )
    parser.add_argument(
        "--power",
        metavar="P",
        type=power,
        default=0.8,
        help="chance to show the claim, from 0.5 to below 1 (default: 0.8)",
    )
    parser.add_argument(
        "--runs",
        metavar="A,B",
        type=name_list,
        help="only comparisons of these runs, such as symile-*",
    )
    parser.add_argument(
        "--tasks", metavar="A,B", type=name_list, help="only these tasks, such as retrieval/*"
    )
    parser.add_argument(
        "--missingness", metavar="P,Q", type=name_list, help="only these patterns, such as mcar-*"
    )


def run_sample_size(options: argparse.Namespace) -> int:
    """Print a table for each task."""
    from clinical_symile.api.planning import sample_size
    from clinical_symile.cli.console import CONSOLE
    from clinical_symile.cli.sample_size_tables import sample_size_tables

    if options.difference is None and options.margin is None:
        options.parser.error(
            "neither --difference nor --margin is given; expected one at least. Give what a "
            "difference means for patients, such as --difference 0.02"
        )
    found = sample_size(
        options.path,
        difference=options.difference,
        margin=options.margin,
        power=options.power,
        runs=options.runs,
        tasks=options.tasks,
        missingness=options.missingness,
        catalog=options.catalog,
    )
    for part in sample_size_tables(
        found, difference=options.difference, margin=options.margin, power=options.power
    ):
        CONSOLE.print(part)
    return 0


def power(text: str) -> float:
    """Return a power, a number from 0.5 to below 1.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.5 <= found < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}'; expected a number from 0.5 to below 1, such as 0.8"
        )
    return found
