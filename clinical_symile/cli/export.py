"""`clinical-symile export`: write tables and figures of a benchmark or run as files."""

import argparse
import sys
from pathlib import Path


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument("folder", metavar="OUT", type=Path, help="folder of a benchmark or a run")
    parser.add_argument(
        "--format",
        choices=("csv", "latex", "png", "svg", "pdf", "meds"),
        action="append",
        required=True,
        help="csv and latex write tables; png, svg and pdf write figures; may be repeated. meds "
        "writes rows of patients (labels, splits, predictions) for other MEDS software",
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        help="folder to write into (default: OUT/export); meds needs a folder of its own",
    )
    parser.add_argument(
        "--time",
        metavar="COLUMN",
        help="for meds: the column of the cohort's `keep` with the time of prediction",
    )
    parser.add_argument(
        "--store", metavar="STORE", type=Path, help="for meds of a run whose store was moved"
    )


def run_export(options: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    from clinical_symile.api.reports import export

    written = export(
        options.folder,
        formats=options.format,
        into=options.to,
        store=options.store,
        time=options.time,
        catalog=options.catalog,
    )
    print("\n".join(map(str, written)))
    if "meds" in options.format:
        print(
            "These files hold rows of patients: ids, times, labels and predictions. They are "
            "readable for you alone. Keep them where the data may be; no bundle has them.",
            file=sys.stderr,
        )
    return 0
