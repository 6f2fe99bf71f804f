"""`clinical-symile card`: describe a store, or the model of a run, on a page and in a file."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import STORE

_NAMES = {".html": "Card", ".json": "Croissant", ".md": "Markdown"}


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `card`."""
    parser.add_argument(
        "path",
        metavar="PATH",
        type=Path,
        help="a store, for a cohort card; an evaluated run, for a model card; or a finished "
        "benchmark, for the model card of each method",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="HTML file to write, such as card.html; of a benchmark the folder",
    )
    parser.add_argument(
        "--store", metavar="STORE", type=Path, help=f"of a run whose store was moved: {STORE}"
    )


def run_card(options: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    from clinical_symile.api.cards import card

    written = card(options.path, out=options.out, store=options.store, catalog=options.catalog)
    print("\n".join(f"{_NAMES[path.suffix]}: {path}" for path in written))
    return 0
