"""`clinical-symile leaderboard`: rank the runs of several bundles on the same questions."""

import argparse
from pathlib import Path


def add_leaderboard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `leaderboard`."""
    parser.add_argument(
        "bundles", metavar="BUNDLE", type=Path, nargs="+", help="a file that `bundle` wrote"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder of leaderboard.html and leaderboard.csv",
    )


def run_leaderboard(options: argparse.Namespace) -> int:
    """Write the page and the table, and print the page's path."""
    from clinical_symile.api.bundles import leaderboard

    print(leaderboard(options.bundles, out=options.out, catalog=options.catalog))
    return 0
