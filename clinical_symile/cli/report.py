"""`clinical-symile report`: render the report of a benchmark again."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import REPORT, offer


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    offer(parser.add_argument("report", metavar="REPORT", help=REPORT), "reports")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder of the benchmark"
    )


def run_report(options: argparse.Namespace) -> int:
    """Render the page and print its path."""
    from clinical_symile.api.reports import report

    page = report(options.report, out=options.out, catalog=options.catalog)
    print(f"Report: {page}")
    return 0
