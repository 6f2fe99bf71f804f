"""Word the counts of a cohort for readers, so that no count below ten is shown or follows.

A bundle has these words in the place of the manifest's counts, and reports draw from either.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.formatting import (
    SMALLEST_COUNT,
    format_count,
    format_part,
    format_parts,
    format_within,
    join_words,
)
from clinical_symile.reporting.text.labels import SPLIT_LABELS

_WORDED = "worded_counts"  # the key of a cohort's record whose counts are words already
# What a manifest says of a cohort as a whole.
_ABOUT = (
    *("cohort", "cohort_digest", "title", "description", "access", "license", "citation"),
    *("generator", "digest", "source_digest", "versions"),
)


@dataclass(frozen=True)
class CohortCounts:
    """The counts of a cohort in words.

    Attributes:
        modalities: the cohort's modalities.
        presence: for each combination of modalities its members, its number of samples where that
            is shown exactly, else 0, and the number in words; the most frequent first.
        splits: for each split its label, samples, subjects, and samples with each modality.
        left_out: samples that were left out, by reason.
        rejected: files that were rejected, by modality and reason.
        subjects: one sentence on the subjects of each split; empty without counts.
    """

    modalities: list[str]
    presence: list[list[Any]]
    splits: list[list[str]]
    left_out: dict[str, str]
    rejected: dict[str, dict[str, str]]
    subjects: str


def cohort_counts(cohort: Mapping[str, Any]) -> CohortCounts:
    """Return the counts of a cohort in words.

    Args:
        cohort: a manifest, or what `shareable_cohort` returned.
    """
    if _WORDED in cohort:
        return CohortCounts(**cohort[_WORDED])
    splits: Mapping[str, Any] = cohort["counts"]
    modalities = cohort_modalities(cohort)
    return CohortCounts(
        modalities=modalities,
        presence=_presence(splits, modalities),
        splits=[
            [
                SPLIT_LABELS.get(name, name),
                format_count(split["samples"]),
                *_within_split(split, modalities, is_real=not is_synthetic(cohort)),
            ]
            for name, split in splits.items()
        ],
        left_out=_words(cohort["left_out"]),
        rejected={name: _words(counts) for name, counts in cohort["rejected"].items()},
        subjects=subjects_sentence(cohort),
    )


def shareable_cohort(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be shared of a manifest: what the cohort is, its digests, counts in words."""
    about = {key: manifest.get(key) for key in _ABOUT}
    modalities = {
        name: {key: one[key] for key in ("adapter", "shape", "dtype", "unit")}
        for name, one in manifest["modalities"].items()
    }
    return {**about, "modalities": modalities, _WORDED: asdict(cohort_counts(manifest))}


def cohort_modalities(cohort: Mapping[str, Any]) -> list[str]:
    """Return the modalities of a cohort."""
    if _WORDED in cohort:
        return cohort_counts(cohort).modalities
    splits = cohort["counts"].values()
    return list(dict.fromkeys(name for split in splits for name in split["present"]))


def subjects_sentence(cohort: Mapping[str, Any]) -> str:
    """Return the number of subjects in each split; empty where the manifest is unknown.

    A number below 10 is withheld, and so is the total that would reveal it. Of real subjects a
    number is a bound where the number of samples is larger by less than ten.
    """
    if _WORDED in cohort:
        return cohort_counts(cohort).subjects
    splits = {name: split["subjects"] for name, split in cohort.get("counts", {}).items()}
    if not splits:
        return ""
    words = {"train": "to train", "tuning": "to select", "held_out": "to evaluate"}
    counts = {name: format_count(n) for name, n in splits.items()}
    if not is_synthetic(cohort):
        totals = {name: split["samples"] for name, split in cohort["counts"].items()}
        counts = {name: format_part(n, totals[name]) for name, n in splits.items()}
    parts = [f"{counts[name]} {words.get(name, name)}" for name in splits]
    hidden = any(words != format_count(splits[name]) for name, words in counts.items())
    hidden |= any(0 < n < SMALLEST_COUNT for n in splits.values())
    total = "" if hidden else f"{format_count(sum(splits.values()))} subjects: "
    return f"{total}{join_words(parts)}{' subjects' * hidden}."


def _within_split(split: Mapping[str, Any], modalities: list[str], *, is_real: bool) -> list[str]:
    """Return the subjects of a split, and its samples with each modality, in words."""
    total, subjects = split["samples"], split["subjects"]
    present = [split["present"][name] for name in modalities]
    if is_real:
        return format_within([subjects, *present], total, format_count(total))
    return [format_count(subjects), *(format_part(n, total) for n in present)]


def _words(counts: Mapping[str, int]) -> dict[str, str]:
    return {reason: format_count(n) for reason, n in counts.items()}


def _presence(splits: Mapping[str, Any], modalities: list[str]) -> list[list[Any]]:
    counts: dict[str, int] = {}
    for split in splits.values():
        for pattern, n in split["patterns"].items():
            counts[pattern] = counts.get(pattern, 0) + n
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    words = format_parts(ordered)
    return [
        [
            [m for m in modalities if m in name.split("+")],
            n if n >= SMALLEST_COUNT and words[name] == format_count(n) else 0,
            words[name],
        ]
        for name, n in ordered.items()
        if n
    ]
