"""Answer the items of checklists that ask for the data: sources, people, outcomes, partitions."""

from clinical_symile.formatting import format_difference, is_percentage, join_words
from clinical_symile.reporting.cards.answer import (
    ANSWERED,
    Answer,
    AnswerFunction,
    StudyRecords,
    for_authors,
    listed,
    partly,
)
from clinical_symile.reporting.cards.card_caveats import is_external
from clinical_symile.reporting.cohort_card import flow, outcomes
from clinical_symile.reporting.cohort_counts import cohort_counts, subjects_sentence
from clinical_symile.reporting.text.labels import (
    metric_label,
    modality_label,
    outcome_label,
    pattern_label,
)

_MANIFEST = "manifest.json of the store"
_NO_STORE = "The store is not there: name it with --store to fill this item."
_ELSEWHERE = "Models were trained on another cohort than the one that the store here holds."
_SYNTHETIC = "The subjects are synthetic; the item does not apply."


def _sources(study: StudyRecords) -> Answer:
    """Name the cohort, its access and citation."""
    cohort = study.cohort
    if not cohort:
        return for_authors(_NO_STORE)
    text = (
        f"{cohort['title']}: {cohort['description']} Access: {cohort['access']}. Cite: "
        f"{cohort['citation']}."
    )
    return partly(text, "say why these data, and whom they represent.", _MANIFEST)


def _eligibility(study: StudyRecords) -> Answer:
    """State what was included and the reasons for leaving out."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    rows, samples, *_ = flow(study.cohort)
    left = [f"{reason} ({number})" for reason, number in rows.left]
    text = (
        f"{samples.number} samples of {rows.number} {rows.words}; left out: {listed(left)}. The "
        f"criteria are in the cohort's definition, digest {study.cohort.get('cohort_digest')}."
    )
    return partly(text, "state the criteria in clinical words.", _MANIFEST)


def _preparation(study: StudyRecords) -> Answer:
    """State what recordings were rejected or noted, and how inputs are stored."""
    cohort = study.cohort
    if not cohort:
        return for_authors(_NO_STORE)
    rejected = [
        f"{modality_label(modality)}, {reason.replace('-', ' ')} ({number})"
        for modality, reasons in cohort_counts(cohort).rejected.items()
        for reason, number in reasons.items()
    ]
    stored = [
        f"{modality_label(name)}: {' x '.join(map(str, about['shape']))}, {about['unit']}"
        for name, about in cohort["modalities"].items()
    ]
    text = (
        f"Recordings that cannot be read are rejected: {listed(rejected)}. Stored as "
        f"{'; '.join(stored)}. Statistics for scaling come from the training split alone."
    )
    return partly(text, "say whether this was alike for all groups of patients.", _MANIFEST)


def _outcome(study: StudyRecords) -> Answer:
    """Name the outcomes and how common they are."""
    if not study.outcomes:
        return for_authors("No task predicts an outcome: the tasks are retrieval.")
    names = outcome_label(study.outcomes)
    common = ""
    if study.cohort:
        body = outcomes(study.cohort).body
        known = [row for row in body if row[0] in {outcome_label(one) for one in study.outcomes}]
        common = " " + " ".join(
            f"With {row[0]}: {row[1]} in training, {row[3]} held out." for row in known
        )
    return partly(
        f"Predicted: {names}.{common}",
        "define the outcome and its horizon, and how, when and by whom it was determined.",
        _MANIFEST,
    )


def _predictors(study: StudyRecords) -> Answer:
    """Name the modalities."""
    if not study.trained:
        return for_authors("The model is external.")
    modalities = study.of_each(
        lambda method: listed([modality_label(n) for n in method.definition.get("modalities", [])])
    )
    text = f"Whole recordings of {modalities}; no predictor was selected before training."
    return partly(text, "say why these modalities and, of labs, this panel.", "run.toml")


def _predictor_definitions(study: StudyRecords) -> Answer:
    """Name the shape and unit of each modality, and the analytes."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    words = []
    for name, about in study.cohort["modalities"].items():
        parts = [str(part).replace("_", " ") for part in about["parts"]]
        unit = about["unit"]
        units = study.cohort["units"].get(name)
        if units:
            named = [f"{part} ({one})" for part, one in zip(parts, units, strict=True)]
            words.append(f"{modality_label(name)}: {', '.join(named)}")
        elif len(parts) > 1:
            words.append(f"{modality_label(name)} in {unit}: {', '.join(parts)}")
        else:
            words.append(f"{modality_label(name)} in {unit}")
    return partly(
        f"{'; '.join(words)}.", "say when and with which devices these were measured.", _MANIFEST
    )


def _sample_size(study: StudyRecords) -> Answer:
    """State the sizes, and the difference that they detect."""
    text = subjects_sentence(study.cohort) if study.cohort else ""
    found = _detectable(study)
    if found:
        text += (
            " With nothing missing, comparisons detect these true differences with a power of "
            f"80 %: {join_words(found)}."
        )
    if not text.strip():
        return for_authors(_NO_STORE)
    return partly(text.strip(), "justify that this is enough for the question.", _MANIFEST)


def _detectable(study: StudyRecords) -> list[str]:
    """Return the differences that comparisons detect, for each metric in its own unit."""
    by_metric: dict[str, list[float]] = {}
    for row in study.data.comparisons:
        if row.detectable is not None and row.missingness == "complete":
            by_metric.setdefault(row.metric, []).append(row.detectable)
    words = []
    for metric, values in by_metric.items():
        ends = [format_difference(one, metric, signed=False) for one in (min(values), max(values))]
        unit = " points" if is_percentage(metric) else ""
        words.append(f"{' to '.join(dict.fromkeys(ends))}{unit} of {metric_label(metric)}")
    return words


def _is_moved(study: StudyRecords) -> bool:
    """Return True if a model was trained on another cohort than it was evaluated on."""
    return any(is_external(method, study.data) for method in study.methods)


def _partitions(study: StudyRecords) -> Answer:
    """State the splits and their roles."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    if _is_moved(study):
        return for_authors(_ELSEWHERE)
    text = (
        f"{subjects_sentence(study.cohort)} Models and probes are fitted to the training split, "
        "chosen on the tuning split, and evaluated on the held-out split alone."
    )
    left = "say how the splits were drawn: at random, by period or by hospital."
    return partly(text, left, _MANIFEST)


def _disjoint(study: StudyRecords) -> Answer:
    """State that splits are disjoint by subject."""
    del study
    text = "By subject: a subject is in one split with all of its samples; others are refused."
    return Answer(ANSWERED, text, _MANIFEST)


def _subsets(study: StudyRecords) -> Answer:
    """State which samples a task uses."""
    patterns = listed([pattern_label(name) for name in study.patterns])
    text = (
        "A task is scored on the held-out samples that have its modalities and, if it predicts an "
        f"outcome, a known label. The same samples are evaluated under: {patterns}."
    )
    return Answer(ANSWERED, text, "results.jsonl, masks.jsonl")


def _deidentification(study: StudyRecords) -> Answer:
    """State it for synthetic subjects alone."""
    if study.data.synthetic:
        return Answer(ANSWERED, _SYNTHETIC, _MANIFEST)
    return for_authors("State how and by whom the data were de-identified.")


def _ethics(study: StudyRecords) -> Answer:
    """State it for synthetic subjects alone."""
    if study.data.synthetic:
        return Answer(ANSWERED, _SYNTHETIC, _MANIFEST)
    return for_authors("Name the committee, and consent or its waiver.")


def _participants_flow(study: StudyRecords) -> Answer:
    """State the flow from rows to splits, with the outcome."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    rows, samples, *splits = flow(study.cohort)
    left = [f"{number} {reason}" for reason, number in rows.left]
    parts = ", ".join(f"{step.number} {step.words}" for step in splits)
    text = (
        f"{rows.number} {rows.words}; left out: {listed(left)}; {samples.number} samples: {parts}."
    )
    told = _events(study)
    left_over = "add the follow-up time, if the outcome has one."
    return partly(f"{text} {told}".strip(), left_over, f"{_MANIFEST}; the cohort card draws it")


def _characteristics(study: StudyRecords) -> Answer:
    """State presence of modalities and point to the cohort card."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    counts = cohort_counts(study.cohort)
    names = [f"with {modality_label(name)}" for name in counts.modalities]
    rows = [
        f"{line[0]}: {line[1]} samples of {line[2]} subjects, "
        + ", ".join(f"{number} {what}" for number, what in zip(line[3:], names, strict=True))
        for line in counts.splits
    ]
    text = f"{'; '.join(rows)}. The cohort card (clinical-symile card STORE) has groups and labs."
    return partly(text, "add dates, treatments and follow-up.", _MANIFEST)


def _splits_compared(study: StudyRecords) -> Answer:
    """Point to the table of splits."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    if _is_moved(study):
        return for_authors(_ELSEWHERE)
    told = _events(study)
    text = (
        "Development and evaluation data are splits of one cohort. The cohort card shows groups, "
        f"modalities, labs and outcomes of each side by side. {told}"
    )
    return partly(text.strip(), "name the differences that matter.", f"{_MANIFEST}; cohort card")


def _numbers(study: StudyRecords) -> Answer:
    """State samples, subjects and events of each split."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    counts = cohort_counts(study.cohort)
    rows = [f"{line[0]}: {line[1]} samples of {line[2]} subjects" for line in counts.splits]
    return Answer(ANSWERED, f"{'; '.join(rows)}. {_events(study)}".strip(), _MANIFEST)


def _data_sharing(study: StudyRecords) -> Answer:
    """State access and licence of the cohort."""
    if not study.cohort:
        return for_authors(_NO_STORE)
    cohort = study.cohort
    text = f"Access to the cohort: {cohort['access']}; licence {cohort['license']}."
    return partly(text, "say where and on which terms the data can be had.", _MANIFEST)


def _events(study: StudyRecords) -> str:
    """Return how common each predicted outcome is in each split."""
    if not study.cohort or not study.outcomes:
        return ""
    names = {outcome_label(one) for one in study.outcomes}
    rows = [row for row in outcomes(study.cohort).body if row[0] in names]
    return " ".join(
        f"With {row[0]}: {row[1]} in training, {row[2]} tuning, {row[3]} held out." for row in rows
    )


DATA_ANSWERS: dict[str, AnswerFunction] = {
    "sources": _sources,
    "eligibility": _eligibility,
    "preparation": _preparation,
    "outcome": _outcome,
    "predictors": _predictors,
    "predictor_definitions": _predictor_definitions,
    "sample_size": _sample_size,
    "partitions": _partitions,
    "disjoint": _disjoint,
    "subsets": _subsets,
    "deidentification": _deidentification,
    "ethics": _ethics,
    "flow": _participants_flow,
    "characteristics": _characteristics,
    "splits_compared": _splits_compared,
    "numbers": _numbers,
    "data_sharing": _data_sharing,
}
