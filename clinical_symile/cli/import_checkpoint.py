"""`clinical-symile import-checkpoint`: import the released Symile-MIMIC model as a run."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import RUNS, add_store, run_folder_name


def add_import_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `import-checkpoint`."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="checkpoint file that Lightning wrote"
    )
    add_store(parser)
    parser.add_argument("--out", metavar="RUNS", type=Path, required=True, help=RUNS)
    parser.add_argument(
        "--name",
        type=run_folder_name,
        default="released",
        help="name of the run (default: released)",
    )


def run_import_checkpoint(options: argparse.Namespace) -> int:
    """Write the run and print what differs from a run that was trained here."""
    from clinical_symile.api.runs import import_checkpoint

    run, notes = import_checkpoint(
        options.file, options.store, out=options.out, name=options.name, catalog=options.catalog
    )
    print("\n".join([*notes, f"{run.path}: ready for `clinical-symile evaluate`."]))
    return 0
