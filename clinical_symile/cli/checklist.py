"""`clinical-symile checklist`: fill reporting checklists from a benchmark or a run."""

import argparse
from pathlib import Path


def add_checklist_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `checklist`."""
    parser.add_argument(
        "folder", metavar="OUT", type=Path, help="folder of a finished benchmark or of a run"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder to write into: HTML, Markdown and CSV of each checklist",
    )
    parser.add_argument(
        "--guideline",
        choices=("tripod_ai", "claim"),
        action="append",
        help="TRIPOD+AI (2024) or CLAIM (2024 update); may be repeated (default: both)",
    )
    parser.add_argument(
        "--store", metavar="STORE", type=Path, help="of a run whose store was moved: its folder"
    )


def run_checklist(options: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    from clinical_symile.api.cards import checklist
    from clinical_symile.reporting.cards.checklist import CHECKLISTS

    written = checklist(
        options.folder,
        out=options.out,
        guidelines=options.guideline or CHECKLISTS,
        store=options.store,
        catalog=options.catalog,
    )
    print("\n".join(map(str, written)))
    return 0
