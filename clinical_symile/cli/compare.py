"""`clinical-symile compare`: test the differences between runs on the same samples."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import MARGIN, add_store, add_tasks, add_verbose, margin


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare`."""
    parser.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="folders of two or more runs"
    )
    add_store(parser)
    add_tasks(parser)
    parser.add_argument("--margin", metavar="D", type=margin, help=MARGIN)
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder to write into (default: beside the first run)",
    )
    add_verbose(parser)


def run_compare(options: argparse.Namespace) -> int:
    """Compare the runs, write the differences and print them."""
    from clinical_symile.api.runs import compare
    from clinical_symile.cli.console import CONSOLE, show_comparisons

    found = compare(
        options.runs,
        options.store,
        tasks=options.tasks,
        margin=options.margin,
        catalog=options.catalog,
    )
    out = found.save(options.out or options.runs[0].resolve().parent)
    show_comparisons(found, CONSOLE, verbose=options.verbose)
    CONSOLE.print(f"Differences {out / 'comparisons.jsonl'}, {out / 'losses.jsonl'}")
    if found.net_benefit:
        CONSOLE.print(f"Net benefit {out / 'net_benefit_differences.jsonl'}")
    return 0
