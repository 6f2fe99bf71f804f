"""Answer the items of checklists that ask for measures, uncertainty, results and limits."""

from clinical_symile.formatting import format_interval, format_value, join_words
from clinical_symile.reporting.cards.answer import (
    ANSWERED,
    Answer,
    AnswerFunction,
    StudyRecords,
    for_authors,
    listed,
    partly,
)
from clinical_symile.reporting.cards.card_caveats import caveat_sentences, is_external
from clinical_symile.reporting.cards.card_tables import primary_result
from clinical_symile.reporting.text.caveats import interval_sentence
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.analysis_tables import Measure

_RESULTS = "results.jsonl"
_SITES = ("site", "hospital", "centre", "center", "ward", "cluster")


def _measures(study: StudyRecords) -> Answer:
    names = dict.fromkeys(m for task in study.data.tasks for m in study.data.scores.metrics(task))
    analysis = study.data.analysis
    more = [
        words
        for words, rows in (
            ("calibration curves and slopes", analysis.calibration),
            ("decision curves", analysis.net_benefit),
            ("groups of patients", analysis.subgroups),
            ("the value of each modality (Shapley)", analysis.modality_value),
            ("paired differences between models", study.data.comparisons),
        )
        if rows
    ]
    primary = dict.fromkeys(metric_label(t["primary"]) for t in study.data.tasks.values())
    text = (
        f"{listed([metric_label(name) for name in names])}; primary: {listed(list(primary))}. "
        f"Besides: {listed(more)}."
    )
    return partly(text, "give the reasons for these measures.", f"{_RESULTS} and other tables")


def _uncertainty(study: StudyRecords) -> Answer:
    text = interval_sentence(study.data.results, tasks=study.data.tasks) or ""
    if study.data.comparisons:
        text += " Differences are paired by sample; p-values are adjusted by Holm's method."
    return Answer(ANSWERED, text.strip(), "results.jsonl, comparisons.jsonl")


def _robustness(study: StudyRecords) -> Answer:
    patterns = [name for name in study.patterns if name not in ("complete", "observed")]
    if not patterns:
        return for_authors("Only complete samples were evaluated.")
    words = listed([pattern_label(name) for name in patterns])
    seeds = max((len(method.series) for method in study.methods), default=1)
    text = f"Missing modalities: {words}. Seeds per method: {seeds}."
    return Answer(ANSWERED, text, _RESULTS)


def _explanation(study: StudyRecords) -> Answer:
    if not study.data.analysis.modality_value:
        return for_authors("No method was used in these records.")
    text = "The contribution of each modality, by Shapley values over the modalities."
    return partly(
        text, "describe further methods, or say that there are none.", "modality_value.jsonl"
    )


def _internal(study: StudyRecords) -> Answer:
    return Answer(ANSWERED, _primary(study), _RESULTS)


def _external(study: StudyRecords) -> Answer:
    moved = [method.label for method in study.methods if is_external(method, study.data)]
    if not moved:
        return for_authors(
            "These records have no external evaluation. Say so, or add it: clinical-symile "
            "evaluate on the store of another cohort."
        )
    text = f"{join_words(moved)} on {listed(study.cohorts)}. {_primary(study)}"
    return Answer(ANSWERED, text, _RESULTS)


def _clusters(study: StudyRecords) -> Answer:
    groups = dict.fromkeys(row.subgroup for row in study.data.analysis.subgroups)
    sites = [name for name in groups if any(word in name.lower() for word in _SITES)]
    if not sites:
        return for_authors("No hospital or other cluster is a subgroup of the cohort.")
    text = f"Performance by {listed(sites)} is in the report, each with its interval and gap."
    return partly(text, "discuss the differences.", "subgroups.jsonl")


def _fairness(study: StudyRecords) -> Answer:
    groups = [
        name.replace("_", " ")
        for name in dict.fromkeys(row.subgroup for row in study.data.analysis.subgroups)
        if name != "availability"
    ]
    if not groups:
        return for_authors("The cohort has no subgroups, or they are too small.")
    text = f"Performance by {listed(groups)}, with gaps and adjusted tests."
    return partly(text, "say why these groups, and what else was done.", "subgroups.jsonl")


def _performance(study: StudyRecords) -> Answer:
    groups = study.data.analysis.subgroups
    if groups:
        names = dict.fromkeys(row.subgroup.replace("_", " ") for row in groups)
        text = f"{_primary(study)} In groups by {listed(list(names))}: see the model card."
        return Answer(ANSWERED, text, "results.jsonl, subgroups.jsonl; model card")
    return partly(_primary(study), "add key groups: none are recorded.", f"{_RESULTS}; model card")


def _estimates(study: StudyRecords) -> Answer:
    risks = {n: t for n, t in study.data.tasks.items() if t["kind"] == "classification"}
    if not risks:
        return for_authors("No task predicts an outcome: the tasks are retrieval.")
    return Answer(ANSWERED, _primary(study, only=set(risks)), f"{_RESULTS}; model card")


def _updating(study: StudyRecords) -> Answer:
    if not _recalibrated(study):
        return for_authors("No updating is recorded.")
    text = (
        "Risks are recalibrated on the tuning split; both are reported, the models are unchanged."
    )
    return Answer(ANSWERED, text, "measures.jsonl, recalibrated/…")


def _updated_results(study: StudyRecords) -> Answer:
    found = _recalibrated(study)
    if not found:
        return for_authors("No updating is recorded.")
    labels = {one.run: one.label for method in study.methods for one in method.series}
    words = [
        f"{labels[row.run]}, {row.task.rpartition('/')[2].replace('_', ' ')}: slope after "
        f"recalibration {format_value(row.value, row.measure)} "
        f"({format_interval(row.low, row.high, row.measure)})"
        for row in found
        if row.run in labels
    ]
    return Answer(ANSWERED, f"{'; '.join(words)}.", "measures.jsonl")


def _failures(study: StudyRecords) -> Answer:
    found = [r for r in study.data.analysis.measures if r.measure == "high_confidence_errors/gap"]
    if not found:
        return for_authors("No analysis of failures is recorded.")
    text = "Errors with high confidence under missing modalities are in the report."
    return partly(text, "describe the cases that failed.", "measures.jsonl")


def _limitations(study: StudyRecords) -> Answer:
    if not study.methods:
        return for_authors()
    words = dict.fromkeys(
        sentence
        for method in study.methods
        for sentence in caveat_sentences(method, study.data)[:4]
    )
    text = " ".join(list(words)[:6])
    return partly(text, "discuss what these do to bias and generalizability.", "the model cards")


def _recalibrated(study: StudyRecords) -> list[Measure]:
    return [
        row
        for row in study.data.analysis.measures
        if row.measure == "recalibrated/slope" and row.missingness == "complete"
    ]


def _primary(study: StudyRecords, only: set[str] | None = None) -> str:
    """Return the primary result of each method on each task, as sentences."""
    sentences = []
    for task, table in study.data.tasks.items():
        if only is not None and task not in only:
            continue
        words = []
        for method in study.methods:
            row = primary_result(method, study.data, task)
            if row is not None:
                value = format_value(row.value, row.metric, exact=True)
                interval = format_interval(row.low, row.high, row.metric, exact=True)
                words.append(f"{method.label} {value} ({interval})")
        if words:
            metric = metric_label(table["primary"])
            sentences.append(f"{task_label(task, table)}, {metric}: {'; '.join(words)}.")
    return " ".join(sentences)


RESULT_ANSWERS: dict[str, AnswerFunction] = {
    "measures": _measures,
    "uncertainty": _uncertainty,
    "robustness": _robustness,
    "explanation": _explanation,
    "internal": _internal,
    "external": _external,
    "clusters": _clusters,
    "fairness": _fairness,
    "performance": _performance,
    "estimates": _estimates,
    "updating": _updating,
    "updated_results": _updated_results,
    "failures": _failures,
    "limitations": _limitations,
}
