"""Show the samples of a cohort: splits, modality combinations, and what was left out."""

from collections.abc import Mapping
from typing import Any

from clinical_symile.formatting import join_words
from clinical_symile.reporting.cohort_counts import cohort_counts
from clinical_symile.reporting.figures.signals import presence
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.reporting.text.labels import modality_label


def draw_cohort(*, cohort: Mapping[str, Any]) -> Content | None:
    """Draw the cohort's counts; None where the manifest is unknown."""
    if not cohort:
        return None
    counts = cohort_counts(cohort)
    return Content(
        heading="Who is included, and who was left out",
        panels=[presence_panel(cohort), splits_panel(cohort)],
        values={"left_out": counts.left_out, "rejected": counts.rejected},
    )


COHORT_COUNTS = Section(
    "cohort",
    ("cohort",),
    draw_cohort,
    "sections/cohort.j2",
    display_name="cohort",
    description=(
        "Counts samples by split and by available modalities, and lists who was left out."
    ),
)


def presence_panel(cohort: Mapping[str, Any]) -> ReportPanel:
    """Draw how many samples have which modalities, over all splits."""
    counts = cohort_counts(cohort)
    names = {m: modality_label(m) for m in counts.modalities}
    rows = [
        ([m in present for m in counts.modalities], n, words)
        for present, n, words in counts.presence
    ]
    title = "Which modalities the samples have"
    short = [name.removeprefix("chest ") for name in names.values()]
    picture = presence(rows, modalities=short, name="presence", title=title)
    body = [
        [join_words([names[m] for m in present]) or "none", words]
        for present, _, words in counts.presence
    ]
    return ReportPanel(title, picture, ["present", "samples"], body)


def splits_panel(cohort: Mapping[str, Any]) -> ReportPanel:
    """Return a table of each split's samples, subjects, and samples with each modality."""
    counts = cohort_counts(cohort)
    with_each = (f"with {modality_label(m)}" for m in counts.modalities)
    head = ["split", "samples", "subjects", *with_each]
    return ReportPanel("Samples and subjects in each split", None, head, counts.splits)
