"""`clinical-symile interpolate`: write runs between a run and one that started from it."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import RUNS, add_store, run_folder_name


def add_interpolate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `interpolate`."""
    parser.add_argument(
        "first", metavar="RUN", type=Path, help="the run that the other one began at"
    )
    parser.add_argument("second", metavar="FURTHER", type=Path, help="the run that started from it")
    add_store(parser)
    parser.add_argument(
        "--alpha",
        metavar="A,B",
        type=share_list,
        default=[step / 10 for step in range(11)],
        help="shares of the second run's weights (default: 0 to 1 by 0.1)",
    )
    parser.add_argument("--out", metavar="RUNS", type=Path, required=True, help=RUNS)
    parser.add_argument(
        "--name",
        type=run_folder_name,
        default="wiseft",
        help="name of the runs, which the share in per cent follows (default: wiseft)",
    )


def run_interpolate(options: argparse.Namespace) -> int:
    """Write the runs and print where they are."""
    from clinical_symile.api.interpolation import interpolate_runs

    for run in interpolate_runs(
        options.first,
        options.second,
        options.store,
        alphas=options.alpha,
        out=options.out,
        name=options.name,
    ):
        print(f"{run.path}: ready for `clinical-symile evaluate`.")
    return 0


def share_list(text: str) -> list[float]:
    """Return shares separated by commas, for `argparse`.

    Raises:
        argparse.ArgumentTypeError: one is not a number from 0 to 1.
    """
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = [-1.0]
    if not all(0 <= share <= 1 for share in shares):
        raise argparse.ArgumentTypeError(
            f"expected numbers from 0 to 1, such as 0,0.5,1; got {text!r}"
        )
    return shares
