"""Return the display names of modalities, metrics, patterns and tasks.

The names of registered objects are the literals of these objects, see `registry.base.describe`;
an object of an installed plug-in brings its own. A name that is not registered is its own label,
such as that of a plug-in that has been uninstalled since.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import capitalize_first, join_words
from clinical_symile.missingness.part_patterns import NOISE, SIGNAL_NOISE
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.registry.base import Family, describe
from clinical_symile.registry.families import (
    BASELINES,
    DIAGNOSTICS,
    METRICS,
    MISSING_MODALITY_METHODS,
    MODALITIES,
    OBJECTIVES,
)
from clinical_symile.registry.source import Description

ORACLE_LABEL = "oracle (best possible)"
CHANCE_LABEL = "chance level"
SPLIT_LABELS = {"train": "training", "tuning": "tuning", "held_out": "held out"}


# Quantities that are recorded in training and are no registered metric; and the name of a store's
# one modality where the predictions are of an external file.
_UNREGISTERED = {
    "record": "whole record",
    "tc_estimate": "total correlation in nats, estimated",
}


def modality_label(name: str) -> str:
    """Return the display name of a modality; an unknown name without its underscores."""
    return _display_name(name, MODALITIES) or _plain_words(name)


def objective_label(name: str) -> str:
    """Return the display name of an objective; of `package.module:Name` the last part."""
    return _display_name(name, OBJECTIVES) or name.rpartition(":")[2].rpartition("/")[2]


def baseline_label(name: str) -> str:
    """Return the display name of a baseline; the name itself if it is unknown."""
    return _display_name(name, BASELINES) or name


def diagnostic_label(name: str) -> str:
    """Return the display name of a diagnostic; of `package.module:Name` the last part."""
    return _display_name(name, DIAGNOSTICS) or name.rpartition(":")[2]


def metric_label(name: str) -> str:
    """Return the display name of a metric: `auroc/edema` is AUROC, edema."""
    name, _, part = name.partition("/")
    words = _display_name(name, METRICS) or _plain_words(name)
    return f"{words}, {outcome_label(part)}" if part else words


def missing_modality_label(name: str) -> str:
    """Return what a method does with missing modalities, as words without a subject.

    It is the method's description; the name itself if it is unknown or does not describe itself.
    """
    sentence = _about(name, MISSING_MODALITY_METHODS)
    if sentence is None or not sentence.description:
        return name
    return sentence.description[0].lower() + sentence.description[1:].rstrip(".")


def outcome_label(names: str | Sequence[str]) -> str:
    """Return the display name of one outcome or of several: `length_of_stay` is length of stay."""
    several = [names] if isinstance(names, str) else names
    return join_words([name.replace("_", " ") for name in several])


def metric_description(name: str) -> str:
    """Return one sentence that explains a metric; empty if it is unknown."""
    about = _about(name, METRICS)
    return about.description if about else ""


def _about(name: str, family: Family) -> Description | None:
    """Return how a registered object describes itself; None if its name means nothing here."""
    if name not in family and ":" not in name:
        return None
    try:
        return describe(name, family)
    except DefinitionError:
        return None  # a report of results is rendered also where the plug-in is missing


def _display_name(name: str, family: Family) -> str:
    about = _about(name, family)
    return about.display_name if about else ""


def _plain_words(name: str) -> str:
    return _UNREGISTERED.get(name, name.replace("_", " "))


def pattern_label(name: str) -> str:
    """Return the display name of a missingness pattern: `without-ecg` is without ECG."""
    if name in ("complete", "observed"):
        return {"complete": "nothing missing", "observed": "as recorded"}[name]
    try:
        pattern = parse_pattern(name)
    except DefinitionError:
        return name
    if pattern.mechanism in ("site", "mask"):
        of = f" of {outcome_label(pattern.given)}" if pattern.given else ""
        return {"site": f"as available at the site{of}", "mask": f"the mask{of}"}[pattern.mechanism]
    if pattern.mechanism:
        return _mechanism_label(pattern)
    words = join_words([modality_label(m) for m in pattern.only or pattern.without])
    return f"{words} only" if pattern.only else f"without {words}"


def _mechanism_label(pattern: Pattern) -> str:
    """Return the display name of a pattern that draws what it hides: rates, then dependence."""
    each = [f"{modality_label(name)} {100 * rate:.0f} %" for name, rate in pattern.rates]
    share = join_words(each) if each else f"{100 * pattern.rate:.0f} %"
    if pattern.part.startswith("marker"):
        return f"{part_words(pattern.name)}: {100 * pattern.rate:.0f} %"
    if pattern.part in NOISE:
        level = pattern.name.rpartition("-")[2]
        how = f"at {level[:-2]} dB" if pattern.part == SIGNAL_NOISE else f"of {share}"
        return f"{modality_label(pattern.within)}: noise {how}"
    if pattern.part in ("segment", "region"):
        of = f"{share} of the image covered"
        lost = f"{pattern.seconds:g} s in a row lost" if pattern.seconds else of
        return f"{modality_label(pattern.within)}: {lost}"
    if pattern.within:
        share = f"{modality_label(pattern.within)}: {share} of {pattern.part or 'values'}"
    words = _how_missing(pattern)
    if pattern.correlation:
        words += f", together (correlation {pattern.correlation:.2f})"
    return f"{share} {words}{', never all' if pattern.at_least_one else ''}"


def part_words(name: str) -> str:
    """Return what a pattern within a modality hides, without how much of it.

    Examples:
        >>> part_words("ecg-leads-mcar-30"), part_words("cxr-region-25")
        ('ECG: leads missing at random', 'chest X-ray: a region covered')
    """
    pattern = parse_pattern(name)
    words = {"segment": "a segment lost", "region": "a region covered"}.get(pattern.part)
    if pattern.part in NOISE:
        words = "noise added"
    if pattern.part.startswith("marker"):
        where = "" if pattern.part == "marker" else ", but not in held-out samples"
        words = f"a marker tied to {outcome_label(pattern.given)}{where}"
    how = f"{pattern.part or 'values'} {_how_missing(pattern)}"
    return f"{modality_label(pattern.within)}: {words or how}"


def _how_missing(pattern: Pattern) -> str:
    """Return how a mechanism chooses what is missing, in words."""
    if pattern.mechanism == "mcar":
        return "missing at random"
    by = outcome_label(pattern.given) if pattern.given else "its value"
    return f"missing, more often by {by}"


def task_label(name: str, task: Mapping[str, Any]) -> str:
    """Return the heading of a task."""
    if task["kind"] == "retrieval":
        query = join_words([modality_label(m) for m in task["query"]])
        return f"Find the {modality_label(task['target'])} from {query}"
    if task["kind"] == "classification":
        inputs = join_words([modality_label(m) for m in task["inputs"]])
        return f"Predict {outcome_label(task['outcome'])} from {inputs}"
    if task["kind"] == "diagnostic":
        inputs = join_words([modality_label(m) for m in task["inputs"]])
        return f"{capitalize_first(diagnostic_label(task['diagnostic']['name']))} of {inputs}"
    return name
