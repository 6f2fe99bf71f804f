"""`clinical-symile verify`: compare every file with the checksum of when it was written."""

import argparse
from pathlib import Path


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    parser.add_argument(
        "path", metavar="PATH", type=Path, help="the folder of a store, run or benchmark"
    )
    parser.add_argument(
        "--renew",
        action="store_true",
        help="write the checksums anew, because you know that the files are right",
    )


def run_verify(options: argparse.Namespace) -> int:
    """Print what differs, file by file; the status is 0 if every file is as it was written."""
    from clinical_symile.api.verification import verify
    from clinical_symile.tracking.progress import progress_bar

    found = verify(options.path, renew=options.renew, bar=progress_bar)
    print(found)
    return 0 if found.is_intact else 1
