"""`clinical-symile rerun`: compute one line of results again and compare it to the digit."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import add_store


def add_rerun_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rerun`."""
    parser.add_argument(
        "results",
        metavar="RESULTS",
        type=Path,
        help="results.jsonl of a run or benchmark, or its folder",
    )
    parser.add_argument(
        "--line", metavar="N", type=int, required=True, help="the number of the line, from 1"
    )
    add_store(parser, required=False)


def run_rerun(options: argparse.Namespace) -> int:
    """Print the result; the status is 0 if it is the same to the digit."""
    from clinical_symile.api.repetition import rerun

    found = rerun(options.results, options.line, store=options.store, catalog=options.catalog)
    print(found)
    return 0 if found.is_same else 1
