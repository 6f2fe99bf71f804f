"""Render the cohort card: the samples of a store and their measurements, as counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from clinical_symile.config.catalog import REPORT_FILE
from clinical_symile.data.external.tables import is_blank
from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.formatting import (
    PERCENT,
    RARE_GROUPS,
    SMALLEST_COUNT,
    format_at_least,
    format_count,
    format_part,
    format_parts,
    join_words,
)
from clinical_symile.metrics.subgroups import level_order
from clinical_symile.reporting.cohort_counts import subjects_sentence
from clinical_symile.reporting.figures.picture import Picture
from clinical_symile.reporting.render import render_page
from clinical_symile.reporting.sections.base import ReportPanel
from clinical_symile.reporting.sections.cohort import presence_panel, splits_panel
from clinical_symile.reporting.text.labels import SPLIT_LABELS, modality_label, outcome_label

_NOT_RECORDED = "not recorded"
_NONE = "\N{EN DASH}"
_CATEGORIES = 12  # a kept column of text with more different values is no grouping
_EXAMPLES = 2
_SAMPLING_RATE_HZ = 500.0


@dataclass(frozen=True)
class Step:
    """One box of the flow, and the rows left out between it and the next box.

    Attributes:
        words: the name of what is counted.
        number: the count.
        left: reasons and counts of the rows left out.
    """

    words: str
    number: str
    left: list[tuple[str, str]]


@dataclass(frozen=True)
class Coverage:
    """Availability and distribution of an analyte.

    Attributes:
        name: of the analyte.
        unit: UCUM code.
        splits: for each split the share of samples with the analyte, as text and from 0 to 1, and
            its median with quartiles.
    """

    name: str
    unit: str
    splits: list[tuple[str, float, str]]


def render_card(store: CohortStore, *, report: Path, out: Path) -> None:
    """Write a store's card as one page that loads nothing else.

    Args:
        store: the prepared cohort.
        report: the `report.toml` of the card, with `template.html.j2` beside it.
        out: the HTML file.

    Raises:
        DefinitionError: the template uses an unknown variable.
    """
    template = report.with_name("template.html.j2") if report.name == REPORT_FILE else report
    manifest = store.manifest
    context = {
        "cohort": manifest,
        "answers": card_answers(manifest),
        "flow": flow(manifest),
        "recorded": recorded_words(manifest),
        "presence": presence_panel(manifest),
        "splits": splits_panel(manifest),
        "groups": groups(store),
        "outcomes": outcomes(manifest),
        "analytes": analytes(store),
        "files": _files(manifest),
        "examples": examples(store) if is_synthetic(manifest) else [],
    }
    render_page(template, context=context, out=out)


def card_answers(manifest: Mapping[str, Any]) -> list[str]:
    """Return the subjects of each split, and the samples with every modality, as sentences."""
    splits = manifest["counts"].values()
    names = dict.fromkeys(name for split in splits for name in split["present"])
    everything = join_words([modality_label(name) for name in names])
    sentences = [subjects_sentence(manifest)]
    for present, number in presence_panel(manifest).body:
        if present == everything:
            total = format_count(sum(split["samples"] for split in splits))
            sentences.append(f"Of {total} samples, {number} have {everything}.")
    return [sentence for sentence in sentences if sentence]


def flow(manifest: Mapping[str, Any]) -> list[Step]:
    """Return the flow from the rows of the tables to the samples of each split.

    Where a small number was left out, the first box is a lower bound, so that the small number does
    not follow by subtraction.
    """
    splits = {name: split["samples"] for name, split in manifest["counts"].items()}
    left_out = manifest["left_out"]
    small = [n for n in left_out.values() if 0 < n < SMALLEST_COUNT]
    known = sum(splits.values()) + sum(n for n in left_out.values() if n >= SMALLEST_COUNT)
    return [
        Step(
            "rows of the cohort's query or tables",
            format_at_least(known) if small else format_count(manifest["rows"]),
            [(reason.replace("-", " "), format_count(n)) for reason, n in left_out.items()],
        ),
        Step("samples", format_count(sum(splits.values())), []),
        *(Step(SPLIT_LABELS[name], format_count(n), []) for name, n in splits.items()),
    ]


def groups(store: CohortStore) -> list[ReportPanel]:
    """Count the samples of each split by subgroup and by kept columns of text.

    A label that fewer than ten subjects have is not shown: it may name a person.
    """
    columns = {
        column.removeprefix(prefix).replace("_", " "): column
        for prefix in ("kept_", "group_")  # of one name, what `audit` and results tell apart
        for column in store.samples.columns
        if column.startswith(prefix)
    }
    panels = []
    for title, column in columns.items():
        values = store.samples[column].tolist()
        names = sorted({value for value in values if isinstance(value, str)}, key=level_order)
        words = np.array([_NOT_RECORDED if is_blank(value) else value for value in values], object)
        if not names or len(names) > _CATEGORIES or {*words} - {*names, _NOT_RECORDED}:
            continue
        subjects = store.samples["subject"].groupby(words).nunique().to_dict()
        few = {name for name in names if int(subjects[name]) < SMALLEST_COUNT}
        names = [name for name in names if name not in few]
        if not names:
            continue
        words = np.array([RARE_GROUPS if word in few else word for word in words], object)
        names += [RARE_GROUPS] * bool(few) + [_NOT_RECORDED] * (_NOT_RECORDED in words)
        cells = [
            format_parts({name: int((words[store.rows(split)] == name).sum()) for name in names})
            for split in SPLIT_LABELS
        ]
        body = [[name, *(split[name] for split in cells)] for name in names]
        panels.append(ReportPanel(title, None, [title, *SPLIT_LABELS.values()], body))
    return panels


def outcomes(manifest: Mapping[str, Any]) -> ReportPanel:
    """Return the prevalence of each outcome in each split, among samples with a known outcome."""
    body = []
    words = {split: _words_of_split(manifest, split) for split in SPLIT_LABELS}
    for name, splits in manifest["outcomes"].items():
        early = manifest["already_known"].get(name, 0)
        cells = [_prevalence(splits[split], words[split]) for split in SPLIT_LABELS]
        body.append([outcome_label(name), *cells, format_count(early) if early else _NONE])
    head = [
        "outcome",
        *(f"{words}: with, of known" for words in SPLIT_LABELS.values()),
        "known too early",
    ]
    return ReportPanel("How common each outcome is", None, head, body)


def analytes(store: CohortStore) -> list[Coverage]:
    """Describe each analyte in each split: availability and distribution, most frequent first."""
    found = []
    for modality in store.modalities:
        about = store.manifest["modalities"][modality]
        units = store.manifest["units"].get(modality)
        if units is None:
            continue
        array, rows = store.array(modality), [store.rows(split) for split in SPLIT_LABELS]
        present = store.present[:, store.modalities.index(modality)]
        for place, name in enumerate(about["parts"]):
            values = np.where(present, array[:, place], np.nan)
            splits = [_measured(values[split]) for split in rows]
            found.append(Coverage(name.replace("_", " "), units[place], splits))
    return sorted(found, key=lambda one: (-one.splits[0][1], one.name))


def examples(store: CohortStore) -> list[list[tuple[str, str, Picture | None]]]:
    """Draw the first complete samples: images as they are, ECGs as traces.

    Returns:
        For each sample a list of modalities: the name, the address of an image or an empty text,
        and a drawing or None.
    """
    from clinical_symile.reporting.figures.signals import (  # drawing takes a second to load
        electrocardiogram,
        image_address,
    )

    drawn = []
    for row in np.flatnonzero(store.present.all(axis=1))[:_EXAMPLES].tolist():
        sample = []
        for modality in store.modalities:
            value, words = np.asarray(store.array(modality)[row]), modality_label(modality)
            if value.dtype == np.uint8:
                sample.append((words, image_address(value.reshape(value.shape[-2:])), None))
            elif store.manifest["modalities"][modality]["unit"] == "uV":
                trace = electrocardiogram(
                    value / 1000.0,
                    sampling_rate_hz=_SAMPLING_RATE_HZ,
                    name=f"example-{row}-{modality}",
                    title=f"An {words}",
                )
                sample.append((words, "", trace))
        drawn.append(sample)
    return drawn


def recorded_words(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Count the rows that list a recording of each modality, before any file was opened.

    Where a count that adds up to such a number is withheld, the number is rounded down to tens.
    Otherwise the count would follow from it.
    """
    numbers = []
    for modality in manifest["modalities"]:
        patterns = {k: n for k, n in manifest["recorded"].items() if modality in k.split("+")}
        rows = sum(patterns.values())
        cells = [(n, rows) for n in patterns.values()]
        cells += [(s["present"][modality], s["samples"]) for s in manifest["counts"].values()]
        exact = all(
            format_part(n, total) == format_count(n) != f"<{SMALLEST_COUNT}" for n, total in cells
        )
        number = format_count(rows) if exact or rows < SMALLEST_COUNT else format_at_least(rows)
        numbers.append((modality_label(modality), number))
    return numbers


def _files(manifest: Mapping[str, Any]) -> ReportPanel:
    """List the recordings that were rejected or noted, with the reason."""
    body = [
        [modality_label(modality), what, word.replace("-", " "), format_count(n)]
        for what, key in (("not used", "rejected"), ("used, and noted", "noted"))
        for modality, words in manifest[key].items()
        for word, n in words.items()
    ]
    body += [
        [modality_label(modality), "value not used", f"{name}: not plausible", format_count(n)]
        for modality, words in manifest["implausible"].items()
        for name, n in words.items()
    ]
    head = ["what", "", "why", "how many"]
    return ReportPanel("Recordings that were not used, or were noted", None, head, body)


def _words_of_split(manifest: Mapping[str, Any], split: str) -> Callable[[int], str]:
    """Return a function that writes counts of a split, as bounds where two are close.

    Outcomes are nested: a death within a month is a death. Counts of synthetic subjects are exact.
    """
    labels = [of[split] for of in manifest["outcomes"].values()]
    counts = {one["positive"] for one in labels if not 0 < one["negative"] < SMALLEST_COUNT}
    counts |= {one["positive"] + one["negative"] for one in labels}
    counts |= {manifest["counts"].get(split, {}).get("samples", 0)}

    def words(n: int) -> str:
        is_close = any(0 < abs(n - other) < SMALLEST_COUNT for other in counts)
        return format_at_least(n) if is_close else format_count(n)

    return format_count if is_synthetic(manifest) else words


def _prevalence(labels: Mapping[str, int], words: Callable[[int], str]) -> str:
    known = labels["positive"] + labels["negative"]
    if not known:
        return _NONE
    of = f"of {words(known)}"
    if 0 < labels["negative"] < SMALLEST_COUNT <= labels["positive"]:
        return f"all but {format_count(labels['negative'])} {of}"
    if 0 < labels["positive"] < SMALLEST_COUNT:
        return f"{format_count(labels['positive'])} {of}"
    if known < SMALLEST_COUNT:
        return f"0 {of}"
    positive = labels["positive"]
    exact = (words(positive), words(known)) == (format_count(positive), format_count(known))
    share = f" ({100 * positive / known:.0f}{PERCENT})" if exact else ""  # a bound would follow
    return f"{words(positive)} {of}{share}"


def _measured(values: Float[np.ndarray, " sample"]) -> tuple[str, float, str]:
    """Return the share with a value, as text and as a number, and the median with quartiles."""
    total, known = len(values), values[~np.isnan(values)]
    n = len(known)
    if n < SMALLEST_COUNT:
        return format_count(n), 0.0, _NONE
    low, median, high = np.quantile(known.astype(np.float64), [0.25, 0.5, 0.75])
    share = n / total
    words = (
        f"{100 * share:.0f}{PERCENT}" if total - n >= SMALLEST_COUNT or n == total else "nearly all"
    )
    return words, round(share, 2), f"{_digits(median)} ({_digits(low)} to {_digits(high)})"


def _digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
