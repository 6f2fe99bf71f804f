"""Return the display names of modalities, metrics, patterns and tasks."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import join_words
from clinical_symile.missingness.patterns import Pattern, parse_pattern

_MODALITIES = {"record": "whole record", "cxr": "chest X-ray", "ecg": "ECG", "labs": "labs"}
_OBJECTIVES = {"clip": "CLIP", "symile": "Symile"}
_BASELINES = {
    "availability": "missingness mask only",
    "labs-boosting": "labs, boosted trees",
    "labs-logistic": "labs, logistic",
    "late-fusion": "supervised, late fusion",
    "prevalence": "prevalence",
}
_METRICS = {
    "auc_over_scores": "AUC over scores",
    "auc_per_query": "AUC per query",
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
    "mean_reciprocal_rank": "mean reciprocal rank",
    "tc_estimate": "total correlation in nats, estimated",
}
_DESCRIPTIONS = {
    "auprc": "AUPRC is the precision of alarms, averaged as the alarm threshold is lowered; "
    "its chance level is the prevalence of the outcome.",
    "auroc": "AUROC is how often a patient with the outcome gets a higher risk than one without: "
    "0.5 is chance level, 1 is perfect.",
    "brier": "The Brier score is the mean squared distance between predicted risk and outcome: "
    "lower is better.",
    "expected_calibration_error": "Calibration error is the distance between predicted risks and "
    "observed frequencies: lower is better.",
    "auc_over_scores": "The AUC over scores is how often a correct pair scores above a wrong one, "
    "over all queries: 0.5 is chance level; at 1 one threshold separates all pairs.",
    "auc_per_query": "The AUC per query is the share of wrong candidates that score below the "
    "correct one: 0.5 is chance level.",
    "median_rank": "The median rank is the rank of the correct candidate in the median query: "
    "lower is better.",
    "mean_reciprocal_rank": "The mean reciprocal rank averages 1 / the rank of the correct "
    "candidate.",
}
_MISSING_MODALITY = {
    "complete": "trains on complete admissions only",
    "dropout": "puts a learned placeholder where a modality is missing, and hides some modalities "
    "on purpose during training",
    "indicator": "receives an indicator of each missing modality, and trains on all admissions",
    "learned": "puts a learned placeholder where a modality is missing",
    "drop": "trains on all admissions, and leaves missing modalities out of its comparisons",
    "subsets": "trains on every combination of the modalities that an admission has",
}
ORACLE_LABEL = "oracle (best possible)"
CHANCE_LABEL = "chance level"
SPLIT_LABELS = {"train": "training", "tuning": "tuning", "held_out": "held out"}


def modality_label(name: str) -> str:
    """Return the display name of a modality; an unknown name without its underscores."""
    return _MODALITIES.get(name, name.replace("_", " "))


def objective_label(name: str) -> str:
    """Return the display name of an objective; of `package.module:Name` the last part."""
    return _OBJECTIVES.get(name, name.rpartition(":")[2].rpartition("/")[2])


def baseline_label(name: str) -> str:
    """Return the display name of a baseline; the name itself if it is unknown."""
    return _BASELINES.get(name, name)


def metric_label(name: str) -> str:
    """Return the display name of a metric: `auroc/edema` is AUROC, edema."""
    name, _, part = name.partition("/")
    words = re.sub(r"^recall_at_(\d+)$", r"recall@\1", name).replace("_", " ")
    words = _METRICS.get(name, words)
    return f"{words}, {outcome_label(part)}" if part else words


def missing_modality_label(name: str) -> str:
    """Return what a method does with missing modalities; the name itself if it is unknown."""
    return _MISSING_MODALITY.get(name, name)


def outcome_label(names: str | Sequence[str]) -> str:
    """Return the display name of one outcome or of several: `length_of_stay` is length of stay."""
    several = [names] if isinstance(names, str) else names
    return join_words([name.replace("_", " ") for name in several])


def metric_description(name: str) -> str:
    """Return one sentence that explains a metric; empty if it is unknown."""
    if recall := re.fullmatch(r"recall_at_(\d+)", name):
        k = int(recall[1])
        place = "is ranked first" if k == 1 else f"is among the first {k}"
        return f"Recall@{k} is how often the correct candidate {place}."
    return _DESCRIPTIONS.get(name, "")


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
    if pattern.within:
        share = f"{modality_label(pattern.within)}: {share} of values"
    by = f"by {outcome_label(pattern.given)}" if pattern.given else "if severe"
    words = {"mcar": "missing at random"}.get(pattern.mechanism, f"missing, more often {by}")
    if pattern.correlation:
        words += f", together (correlation {pattern.correlation:.2f})"
    return f"{share} {words}{', never all' if pattern.at_least_one else ''}"


def task_label(name: str, task: Mapping[str, Any]) -> str:
    """Return the heading of a task."""
    if task["kind"] == "retrieval":
        query = join_words([modality_label(m) for m in task["query"]])
        return f"Find the {modality_label(task['target'])} from {query}"
    if task["kind"] == "classification":
        inputs = join_words([modality_label(m) for m in task["inputs"]])
        return f"Predict {outcome_label(task['outcome'])} from {inputs}"
    return name
