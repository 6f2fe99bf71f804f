"""Derive the caveats of a model from its records, and list what the records do not say."""

from collections.abc import Mapping
from typing import Any

from clinical_symile.formatting import (
    format_difference,
    format_interval,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.reporting.cards.card_tables import (
    primary_result,
    reference_pattern,
    size_words,
)
from clinical_symile.reporting.cards.model_facts import Method, cost_facts, seen_outcomes
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.text.caveats import code_difference_sentence
from clinical_symile.reporting.text.labels import (
    metric_label,
    modality_label,
    outcome_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.results import Comparison, Result, is_significant
from clinical_symile.tracking.rounding import ROUNDED

_FEW_SUBJECTS = 100
# Collins, Ogundimu and Altman, Statistics in Medicine 2016; Vergouwe et al., J Clin Epidemiol 2005.
_FEW_EVENTS = 100
_WIDE = 0.1


def caveat_sentences(method: Method, data: ReportData) -> list[str]:
    """Return what limits the numbers of a model, as sentences; the most important first."""
    found = [(task, primary_result(method, data, task)) for task in data.tasks]
    results = [(task, row) for task, row in found if row is not None]
    sentences = []
    if data.synthetic:
        sentences.append("The subjects are synthetic: no number here describes patients.")
    sentences += _cohort_sentences(method, data)
    sentences += _overlap_sentences(method)
    sentences += _label_sentences(method)
    sentences += _size_sentences(results, data)
    sentences += _chance_sentences(results, data)
    sentences += _width_sentences(results, data)
    sentences += _worse_sentences(method, data)
    sentences += _loss_sentences(method, data)
    sentences += [ROUNDED] if any(row.rounded for _, row in results) else []
    if len(method.series) == 1:
        sentences.append(
            "The model was trained with one seed. The intervals are over subjects and do not "
            "include what another seed would change."
        )
    differs = code_difference_sentence(method.records)
    if differs:
        sentences.append(differs)
    changed = [r for r in method.records if str(r.get("git_commit", "")).endswith("+changes")]
    if changed:
        sentences.append(
            "The code had changes that are in no commit, so the commit alone does not give it."
        )
    runs = {row.run for row in data.unscored} & {*method.runs}
    if runs:
        count = sum(row.run in runs for row in data.unscored)
        sentences.append(
            f"{count} results could not be computed or are withheld; the report says why."
            if count > 1
            else "One result could not be computed or is withheld; the report says why."
        )
    return sentences


def _overlap_sentences(method: Method) -> list[str]:
    """Return which encoders may have seen held-out subjects before."""
    return [
        f"The weights of the encoder of {modality_label(modality)} were trained on "
        f"{join_words(about['overlap'])}, which the training cohort is from: it may have seen "
        "held-out subjects."
        for modality, about in method.record.get("encoders", {}).items()
        if about.get("overlap")
    ]


def evaluated_cohorts(method: Method, data: ReportData) -> list[str]:
    """Return the cohorts that the model was evaluated on."""
    return list(dict.fromkeys(row.cohort for row in data.results if row.run in method.runs))


def is_external(method: Method, data: ReportData) -> bool:
    """Return whether the model was evaluated on another cohort than it was trained on."""
    trained = method.trained_on
    return trained is not None and any(one != trained for one in evaluated_cohorts(method, data))


def unrecorded(method: Method, data: ReportData) -> list[str]:
    """Return what a reader of a model card expects and the records do not hold."""
    absent = [
        "who developed the model, and whom to ask",
        "the licence of the weights",
        "ethical approval and consent",
        "the hospital's setting, the dates of the data, and who labelled the outcomes",
        "whether clinicians, patients or the public were involved",
    ]
    known = dict(cost_facts(method.record))
    if "parameters" not in known:
        absent.append("the number of parameters, and what the training cost")
    if "energy of training" not in known:
        absent.append("energy and carbon emissions of the training")
    if not data.cohort:
        absent.append("the cohort's licence, counts and outcomes: its store is not there (--store)")
    if is_external(method, data):
        absent.append("counts of the training cohort: the store here is the evaluated one")
    if not method.definition:
        absent.append("architecture, objective and training of the model: it is external")
    if not data.analysis.subgroups:
        absent.append("performance in groups of patients: the cohort has no subgroups, or too few")
    if not any(row.run in method.runs for row in data.analysis.measures):
        absent.append("calibration: no task predicts a risk, or it was not analyzed")
    if not data.comparisons:
        absent.append("differences from baselines: make the card of a benchmark to have them")
    return absent


def _cohort_sentences(method: Method, data: ReportData) -> list[str]:
    evaluated, trained = evaluated_cohorts(method, data), method.trained_on
    if is_external(method, data):
        return [
            f"The model was trained on cohort {trained} and evaluated on {join_words(evaluated)}. "
            "Its numbers hold for the evaluated cohort."
        ]
    if trained is None:
        return ["The records do not say what the model was trained on."]
    return [
        f"The model was trained and evaluated on one cohort, {trained}. It was not validated "
        "externally: expect other numbers at another hospital or in another year."
    ]


def _label_sentences(method: Method) -> list[str]:
    seen = seen_outcomes(method)
    if not seen:
        return []
    return [
        f"Training read labels of {outcome_label(seen)}. On these outcomes the model cannot be "
        "compared with models that saw no labels."
    ]


def _size_sentences(results: list[tuple[str, Result]], data: ReportData) -> list[str]:
    sentences, sizes = [], size_words(data)["n_subjects"]
    subjects = min((row.n_subjects for _, row in results), default=_FEW_SUBJECTS)
    if subjects < _FEW_SUBJECTS:
        sentences.append(f"The smallest task rests on {sizes[subjects]} subjects only.")
    events = [row.n_smallest_class for _, row in results if row.n_smallest_class is not None]
    if events and min(events) < _FEW_EVENTS:
        sentences.append(
            f"The smaller class of an outcome has fewer than {_FEW_EVENTS} samples. At least as "
            "many are advised to evaluate a prediction model (Collins and others, 2016)."
        )
    return sentences


def _chance_sentences(results: list[tuple[str, Result]], data: ReportData) -> list[str]:
    unclear = [
        f"“{task_label(task, data.tasks[task])}”"
        for task, row in results
        if row.chance is not None
        and row.low is not None
        and row.high is not None
        and row.low <= row.chance <= row.high
    ]
    if not unclear:
        return []
    return [f"Not told from the chance level, even with nothing missing: {join_words(unclear)}."]


def _width_sentences(results: list[tuple[str, Result]], data: ReportData) -> list[str]:
    wide = [
        f"{metric_label(row.metric)} of “{task_label(task, data.tasks[task])}” is "
        f"{format_value(row.value, row.metric)} "
        f"({format_interval(row.low, row.high, row.metric)})"
        for task, row in results
        if row.low is not None and row.high is not None and row.high - row.low > _WIDE
    ]
    return [f"Wide intervals: {'; '.join(wide)}."] if wide else []


def _worse_sentences(method: Method, data: ReportData) -> list[str]:
    """Name the baselines that are significantly better with nothing missing."""
    labels = {one.run: one.label for one in data.series}
    better: dict[str, list[str]] = {}
    for row in data.comparisons:
        ours = {row.run, row.baseline} & {*method.runs}
        table = data.tasks.get(row.task)
        if table is None or len(ours) != 1 or row.metric != table["primary"] or row.against:
            continue
        other = row.baseline if row.run in ours else row.run
        is_baseline = other in data.baselines
        first = row.missingness == reference_pattern(method, data, row.task)
        if first and is_baseline and is_significant(row) and _is_worse(row, method, table):
            better.setdefault(row.task, []).append(labels.get(other, other))
    return [
        f"On “{task_label(task, data.tasks[task])}”, better than this model: "
        f"{join_words(list(dict.fromkeys(names)))}."
        for task, names in better.items()
    ]


def _is_worse(row: Comparison, method: Method, table: Mapping[str, Any]) -> bool:
    sign = 1 if row.run in method.runs else -1
    return (sign * row.difference < 0) == table["higher_is_better"]


def _loss_sentences(method: Method, data: ReportData) -> list[str]:
    """Name the missing modalities that cost most on each task."""
    sentences = []
    for task, table in data.tasks.items():
        sign = 1 if table["higher_is_better"] else -1
        lost = [
            row
            for row in data.losses
            if row.task == task and row.metric == table["primary"] and row.run in method.runs
        ]
        worst = min(lost, key=lambda row: sign * row.difference, default=None)
        if worst is None or sign * worst.difference >= 0:
            continue
        unit = " points" if is_percentage(worst.metric) else ""
        sentences.append(
            f"On “{task_label(task, table)}” most is lost {_under(worst.missingness)}: "
            f"{metric_label(worst.metric)} changes by "
            f"{format_difference(worst.difference, worst.metric)}{unit}."
        )
    return sentences


def _under(pattern: str) -> str:
    words = pattern_label(pattern)
    return words if pattern.startswith("without-") else f"with {words}"
