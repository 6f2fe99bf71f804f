"""`clinical-symile prepare`: convert the raw files of a cohort into a store."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import COHORT, NEW_STORE, add_generate, add_links, offer


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `prepare`."""
    offer(parser.add_argument("cohort", metavar="COHORT", help=COHORT), "cohorts")
    parser.add_argument(
        "--source",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder of the raw files; a synthetic cohort is generated here",
    )
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--out", metavar="STORE", type=Path, help=NEW_STORE)
    either.add_argument(
        "--dry-run",
        action="store_true",
        help="only read the tables and print counts; write no store",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="if the store is there, compare the content of every recording with what was read",
    )
    add_generate(parser)
    add_links(parser)


def run_prepare(options: argparse.Namespace) -> int:
    """Write the store, or count what would be read; print the counts."""
    from clinical_symile.cli.console import CONSOLE, show_selected, show_store

    if options.dry_run:
        from clinical_symile.config.catalog import open_catalog
        from clinical_symile.data.prepare_cohort import count_cohort
        from clinical_symile.tracking.progress import progress_bar

        selected = count_cohort(
            open_catalog(options.catalog),
            options.cohort,
            source=options.source,
            generate=options.generate,
            allow_links=options.allow_links,
            bar=progress_bar,
        )
        show_selected(selected, CONSOLE)
        return 0
    from clinical_symile.api.cohorts import check_recordings, prepare

    existed = (options.out / "manifest.json").is_file()
    store = prepare(
        options.cohort,
        out=options.out,
        source=options.source,
        generate=options.generate,
        allow_links=options.allow_links,
        catalog=options.catalog,
    )
    show_store(store, CONSOLE)
    if existed:
        CONSOLE.print(
            "Already there; nothing was read. Remove it to read changed recordings again."
        )
        found = check_recordings(store, options.source, verify=options.verify)
        CONSOLE.print(found, highlight=False)
    return 0
