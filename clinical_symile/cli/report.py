"""`clinical-symile report`: render the report of a benchmark again, or of finished runs."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import REPORT, offer


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    offer(parser.add_argument("report", metavar="REPORT", help=REPORT), "reports")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder of the benchmark"
    )
    parser.add_argument(
        "--store",
        metavar="STORE",
        type=Path,
        help="evaluate and compare the finished runs in DIR/runs first, which were trained on this",
    )


def run_report(options: argparse.Namespace) -> int:
    """Render the page and print its path."""
    from clinical_symile.api.reports import report

    page = report(options.report, out=options.out, catalog=options.catalog, store=options.store)
    print(f"Report: {page}")
    return 0
