"""The form in which a source lies, where a cohort knows several."""

from dataclasses import replace
from pathlib import Path

from clinical_symile.config.cohort import Cohort
from clinical_symile.hashing import digest_of


def detect_layout(cohort: Cohort, source: Path) -> Cohort:
    """The cohort in the first of its layouts whose files are all there, or as it is.

    Args:
        cohort: with or without layouts.
        source: folder of the raw files.
    """
    for name, (needs, _) in cohort.layouts.items():
        if all((source / path).exists() for path in needs):
            return with_layout(cohort, name)
    return cohort


def with_layout(cohort: Cohort, name: str) -> Cohort:
    """The cohort as one of its layouts has it: a store of it is another than that of the rest."""
    _, modalities = cohort.layouts[name]
    return replace(
        cohort, layout=name, modalities=modalities, digest=digest_of(cohort.digest, name)
    )
