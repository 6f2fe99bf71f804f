"""`clinical-symile export`: write tables and figures of a benchmark or run as files."""

import argparse
from pathlib import Path


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument("folder", metavar="OUT", type=Path, help="folder of a benchmark or a run")
    parser.add_argument(
        "--format",
        choices=("csv", "latex", "png", "svg", "pdf"),
        action="append",
        required=True,
        help="csv and latex write tables; png, svg and pdf write figures; may be repeated",
    )
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="folder to write into (default: OUT/export)"
    )


def run_export(options: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    from clinical_symile.api.reports import export

    written = export(
        options.folder, formats=options.format, into=options.to, catalog=options.catalog
    )
    print("\n".join(map(str, written)))
    return 0
