"""`clinical-symile verify`: compare every file of a folder or bundle with its checksum."""

import argparse
from pathlib import Path


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    parser.add_argument(
        "path", metavar="PATH", type=Path, help="the folder of a store, run or benchmark; a bundle"
    )
    parser.add_argument(
        "--renew",
        action="store_true",
        help="write the checksums anew, because you know that the files are right",
    )
    bundle = parser.add_argument_group("bundles")
    bundle.add_argument(
        "--run",
        metavar="FOLDER",
        type=Path,
        help="compute results of the bundle again, from this folder of its benchmark or of a run",
    )
    bundle.add_argument("--store", metavar="STORE", type=Path, help="the store, if it was moved")
    bundle.add_argument(
        "--line",
        metavar="N",
        type=int,
        action="append",
        default=[],
        help="compute this line of results.jsonl again; may be repeated (default: 3 of the lines)",
    )
    bundle.add_argument(
        "--tolerance",
        metavar="T",
        type=float,
        help="largest difference on another processor, or with other versions or threads "
        "(default: 1 / number of samples)",
    )
    bundle.add_argument(
        "--signers",
        metavar="FILE",
        type=Path,
        help="allowed signers, as `man ssh-keygen` describes them: the bundle must be signed",
    )


def run_verify(options: argparse.Namespace) -> int:
    """Print what differs, file by file; the status is 0 if every file is as it was written."""
    from clinical_symile.api.verification import verify
    from clinical_symile.tracking.progress import progress_bar

    found = verify(
        options.path,
        renew=options.renew,
        run=options.run,
        store=options.store,
        lines=options.line,
        tolerance=options.tolerance,
        signers=options.signers,
        catalog=options.catalog,
        bar=progress_bar,
    )
    print(found)
    return 0 if found.is_intact else 1
