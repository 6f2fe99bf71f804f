"""`clinical-symile validate`: compare the form of results, runs and stores with its schema."""

import argparse
from pathlib import Path


def add_validate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `validate`."""
    parser.add_argument(
        "path",
        metavar="PATH",
        type=Path,
        help="a file of results or comparisons, a bundle, or the folder of a run, benchmark or "
        "store",
    )


def run_validate(options: argparse.Namespace) -> int:
    """Print every problem; the status is 0 if there is none."""
    from clinical_symile.api.validation import validate

    found = validate(options.path)
    print(found)
    return 0 if found.is_valid else 1
