"""`clinical-symile audit`: search a store for problems that would bias results."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import STORE, offer
from clinical_symile.formatting import mask_subject_counts


def add_audit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `audit`."""
    parser.add_argument("store", metavar="STORE", type=Path, help=STORE)
    parser.add_argument(
        "--pretraining",
        metavar="FILE",
        type=Path,
        help="text file with the recordings that an encoder was pretrained on, one name per line",
    )
    task = parser.add_argument(
        "--task",
        metavar="TASK",
        help="pretraining task whose encoders' training data are compared with the cohort",
    )
    offer(task, "tasks")
    parser.add_argument(
        "--samples", action="store_true", help="also print the ids of the samples of each finding"
    )


def run_audit(options: argparse.Namespace) -> int:
    """Print every finding; the status is that of the most severe."""
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.config.tasks.read import pretraining_task
    from clinical_symile.data.audit.audit import audit_store
    from clinical_symile.data.store import open_store

    encoders = None
    if options.task is not None:
        encoders = pretraining_task(open_catalog(options.catalog), options.task, []).encoders
    findings = audit_store(
        open_store(options.store), pretraining=options.pretraining, encoders=encoders
    )
    for finding in findings:
        print(mask_subject_counts(str(finding)))
        if options.samples and finding.samples:
            print(f"        samples {', '.join(map(str, finding.samples))}")
    if not options.samples and any(finding.samples for finding in findings):
        print("With --samples, this names the samples of each finding.")
    return max(finding.severity for finding in findings).status
