"""Choose the layout of a source where a cohort defines several."""

from dataclasses import replace
from pathlib import Path

from clinical_symile.config.cohort import Cohort
from clinical_symile.hashing import digest_of


def detect_layout(cohort: Cohort, source: Path) -> Cohort:
    """Return the cohort in the first layout whose files all exist, or unchanged.

    Args:
        cohort: a cohort with or without layouts.
        source: folder of the raw files.
    """
    for name, (needs, _) in cohort.layouts.items():
        if all((source / path).exists() for path in needs):
            return with_layout(cohort, name)
    return cohort


def with_layout(cohort: Cohort, name: str) -> Cohort:
    """Return the cohort in one of its layouts, with a digest of its own."""
    _, modalities = cohort.layouts[name]
    return replace(
        cohort, layout=name, modalities=modalities, digest=digest_of(cohort.digest, name)
    )
