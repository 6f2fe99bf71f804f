"""Show the samples of a cohort: splits, modality combinations, and what was left out."""

from collections.abc import Mapping
from typing import Any

from clinical_symile.formatting import (
    SMALLEST_COUNT,
    format_count,
    format_part,
    format_parts,
    join_words,
)
from clinical_symile.reporting.figures.signals import presence
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.reporting.text.labels import SPLIT_LABELS, modality_label


def draw_cohort(*, cohort: Mapping[str, Any]) -> Content | None:
    """Draw the cohort's counts; None where the manifest is unknown."""
    if not cohort:
        return None
    return Content(
        heading="Who is included, and who was left out",
        panels=[presence_panel(cohort), splits_panel(cohort)],
        values={"left_out": cohort["left_out"], "rejected": cohort["rejected"]},
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
    counts: dict[str, int] = {}
    for split in cohort["counts"].values():
        for pattern, n in split["patterns"].items():
            counts[pattern] = counts.get(pattern, 0) + n
    modalities = list(dict.fromkeys(m for s in cohort["counts"].values() for m in s["present"]))
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    words = format_parts(ordered)
    rows = [
        (
            [m in name.split("+") for m in modalities],
            n if n >= SMALLEST_COUNT and words[name] == format_count(n) else 0,
            words[name],
        )
        for name, n in ordered.items()
        if n
    ]
    names = [modality_label(m) for m in modalities]
    title = "Which modalities the samples have"
    short = [name.removeprefix("chest ") for name in names]
    picture = presence(rows, modalities=short, name="presence", title=title)
    body = [
        [
            join_words([n for n, is_present in zip(names, present, strict=True) if is_present])
            or "none",
            text,
        ]
        for present, _, text in rows
    ]
    return ReportPanel(title, picture, ["present", "samples"], body)


def splits_panel(cohort: Mapping[str, Any]) -> ReportPanel:
    """Return a table of each split's samples, subjects, and samples with each modality."""
    splits = cohort["counts"]
    modalities = list(dict.fromkeys(m for split in splits.values() for m in split["present"]))
    body = [
        [
            SPLIT_LABELS.get(name, name),
            format_count(split["samples"]),
            format_count(split["subjects"]),
            *(format_part(split["present"][m], split["samples"]) for m in modalities),
        ]
        for name, split in splits.items()
    ]
    head = ["split", "samples", "subjects", *(f"with {modality_label(m)}" for m in modalities)]
    return ReportPanel("Samples and subjects in each split", None, head, body)
