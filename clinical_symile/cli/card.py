"""`clinical-symile card`: write a page that describes a store, and a Croissant file beside it."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import STORE


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `card`."""
    parser.add_argument("store", metavar="STORE", type=Path, help=STORE)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="HTML file to write, such as card.html",
    )


def run_card(options: argparse.Namespace) -> int:
    """Write both files and print their paths."""
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.data.croissant import write_croissant
    from clinical_symile.data.store import open_store
    from clinical_symile.reporting.cohort_card import render_card

    store, beside = open_store(options.store), options.out.with_suffix(".croissant.json")
    template = open_catalog(options.catalog).path("reports", "cohort_card")
    render_card(store, report=template, out=options.out)
    write_croissant(store, out=beside)
    print(f"Card: {options.out}\nCroissant: {beside}")
    return 0
