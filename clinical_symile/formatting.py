"""Names and numbers in words that a clinician reads."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

SMALL = 10
DASH = "\N{EN DASH}"  # where there is nothing to say
PERCENT = "\N{NO-BREAK SPACE}%"

MODALITIES = {"record": "all that is known", "cxr": "chest X-ray", "ecg": "ECG", "labs": "labs"}
OBJECTIVES = {"clip": "CLIP", "symile": "Symile"}
BASELINES = {
    "availability": "what was measured",
    "labs-boosting": "labs, boosted trees",
    "labs-logistic": "labs, logistic",
    "late-fusion": "supervised, late fusion",
    "prevalence": "prevalence",
}
METRICS = {
    "auc_over_scores": "AUC over scores",
    "auc_per_query": "AUC per query",
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
    "mean_reciprocal_rank": "mean reciprocal rank",
    "tc_estimate": "total correlation in nats, estimated",
}
MEANINGS = {
    "auprc": "AUPRC is the average share of true alarms as the alarm threshold is lowered; "
    "guessing scores how common the outcome is.",
    "auroc": "AUROC is how often a patient with the outcome gets a higher risk than one without: "
    "0.5 is guessing, 1 is perfect.",
    "brier": "The Brier score is the mean squared distance between predicted risk and what "
    "happened: lower is better.",
    "expected_calibration_error": "Calibration error is how far predicted risks lie from observed "
    "frequencies: lower is better.",
    "auc_over_scores": "The AUC over scores is how often a right pair scores above a wrong one, "
    "whoever they are of: 0.5 is guessing, and one threshold would do for all at 1.",
    "auc_per_query": "The AUC per query is the share of wrong candidates that score below the "
    "right one: 0.5 is guessing.",
    "median_rank": "The median rank is the place of the right answer in the list that half of the "
    "queries reach: lower is better.",
    "mean_reciprocal_rank": "The mean reciprocal rank averages 1 / the place of the right answer.",
}
ABSENCES = {
    "complete": "learns from admissions alone that have every measurement",
    "dropout": "puts a learned stand-in where a measurement is absent, and hides some on purpose "
    "while it learns",
    "indicator": "is told that a measurement is absent, and learns from all admissions",
    "learned": "puts a learned stand-in where a measurement is absent",
    "omit": "learns from all admissions, and leaves what is absent out of its comparisons",
    "subsets": "learns from every combination of the measurements that an admission has",
}
SPLITS = {"train": "training", "tuning": "tuning", "held_out": "held out"}


def modality_words(name: str) -> str:
    """`cxr` is a chest X-ray; a name we do not know is read as it stands."""
    return MODALITIES.get(name, name.replace("_", " "))


def metric_words(name: str) -> str:
    """`recall_at_1` is recall@1; `auroc/edema` is AUROC, edema."""
    name, _, part = name.partition("/")
    words = re.sub(r"^recall_at_(\d+)$", r"recall@\1", name).replace("_", " ")
    words = METRICS.get(name, words)
    return f"{words}, {outcome_words(part)}" if part else words


def absence_words(name: str) -> str:
    """What a way of training does where a measurement is absent; one of others by its name."""
    return ABSENCES.get(name, name)


def outcome_words(names: str | Sequence[str]) -> str:
    """`in_hospital_mortality` is in hospital mortality; of several, all of them."""
    several = [names] if isinstance(names, str) else names
    return listed([name.replace("_", " ") for name in several])


def metric_meaning(name: str) -> str:
    """One sentence for who never saw the metric; empty for one we do not know."""
    if recall := re.fullmatch(r"recall_at_(\d+)", name):
        k = int(recall[1])
        place = "comes first" if k == 1 else f"is among the first {k}"
        return f"Recall@{k} is how often the right answer {place} in the list."
    return MEANINGS.get(name, "")


def pattern_words(name: str) -> str:
    """`without-ecg` is without the ECG."""
    if name in ("complete", "observed"):
        return {"complete": "nothing missing", "observed": "as recorded"}[name]
    form, _, rest = name.partition("-")
    *given, rate = rest.split("-")
    if form == "mcar" and rest.isdigit():
        return f"{rest} % missing at random"
    if form in ("mar", "mnar") and rate.isdigit():
        by = " ".join(given).replace("_", " ")
        return f"{rate} % missing, more often {f'by {by}' if by else 'if severe'}"
    if form in ("site", "mask"):
        of = f" of {rest.replace('_', ' ')}" if rest else ""
        return f"as available at the site{of}" if form == "site" else f"the mask{of}"
    if given and given[0] in ("mcar", "mar", "mnar"):
        return f"{modality_words(form)}: {pattern_words(rest)}".replace(" %", " % of values", 1)
    if form == "only" and rest:
        return f"{listed([modality_words(m) for m in rest.split('-')])} only"
    if form == "without" and rest:
        return f"without {listed([modality_words(m) for m in rest.split('-')])}"
    return name


def task_words(name: str, task: Mapping[str, Any]) -> str:
    """What a task asks, as a heading."""
    if task["kind"] == "retrieval":
        query = listed([modality_words(m) for m in task["query"]])
        return f"Find the {modality_words(task['target'])} from {query}"
    if task["kind"] == "classification":
        inputs = listed([modality_words(m) for m in task["inputs"]])
        return f"Predict {outcome_words(task['outcome'])} from {inputs}"
    return name


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + list(words[-1:]))


def is_share(metric: str) -> bool:
    """Whether a metric is a share of cases, told in per cent."""
    return metric.startswith("recall_at_")


def number(value: float | None, metric: str, *, exact: bool = False) -> str:
    """A value with the digits to remember, or one more to look up."""
    if value is None or math.isnan(value):
        return DASH
    if not is_share(metric):
        return f"{value:.{3 if exact else 2}f}"
    return f"{100 * value:.{1 if exact or value < 0.0995 else 0}f}{PERCENT}"


def interval(low: float, high: float, metric: str, *, exact: bool = False) -> str:
    """An interval in the digits of `number`, its unit said once."""
    exact = exact or (is_share(metric) and low < 0.0995)
    ends = [number(end, metric, exact=exact) for end in (low, high)]
    return f"{ends[0].removesuffix(PERCENT)} to {ends[1]}"


def difference(value: float, metric: str, *, signed: bool = True) -> str:
    """A difference: shares differ by percentage points."""
    if math.isnan(value):
        return DASH
    sign = "+" if signed else ""
    text = f"{100 * value:{sign}.1f}" if is_share(metric) else f"{value:{sign}.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def count(n: int) -> str:
    """A number of people or samples; below 10 it could point at someone."""
    return "<10" if 0 < n < SMALL else f"{n:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def without_small_numbers(text: str) -> str:
    """A sentence whose whole numbers below 10 could count people."""
    return re.sub(r"(?<![\w.,@-])[1-9](?![\w@-]|[.,]\d)", f"<{SMALL}", text)


def part(n: int, total: int) -> str:
    """A count whose complement is small too: it must not follow by subtraction."""
    if n >= SMALL and 0 < total - n < SMALL:
        return f">{count(total - SMALL)}" if total - SMALL >= SMALL else f"≥{SMALL}"
    return count(n)


def parts(counts: Mapping[str, int]) -> dict[str, str]:
    """Counts that add up to a known total: one that is hidden takes the next smallest with it."""
    hidden = [name for name, n in counts.items() if 0 < n < SMALL]
    shown = {name: n for name, n in counts.items() if n >= SMALL}
    words = {name: count(n) for name, n in counts.items()}
    if len(hidden) == 1 and shown:
        words[min(shown, key=lambda name: shown[name])] = f"≥{SMALL}"
    return words


def p_words(p_value: float | None) -> str:
    """A p value with the digits that say something."""
    if p_value is None:
        return DASH
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def duration(seconds: float) -> str:
    """`95` is 1 min 35 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    words = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (minutes > 0 or hours > 0)
    return " ".join([*words, f"{rest} s"] if hours == 0 else words)
