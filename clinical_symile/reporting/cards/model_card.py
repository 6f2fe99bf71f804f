"""Fill a model card from records (Mitchell and others, Model Cards for Model Reporting, 2019)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_symile import __version__
from clinical_symile.formatting import (
    SMALLEST_COUNT,
    format_interval,
    format_value,
    join_words,
)
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.cards.card_caveats import (
    caveat_sentences,
    evaluated_cohorts,
    unrecorded,
)
from clinical_symile.reporting.cards.card_tables import (
    calibration_tables,
    comparison_panels,
    group_panels,
    missing_figure,
    missing_panels,
    performance_panels,
    primary_result,
)
from clinical_symile.reporting.cards.document import Document, Part, write_document
from clinical_symile.reporting.cards.model_facts import (
    NOT_RECORDED,
    Method,
    find_methods,
    missing_words,
    model_facts,
    objective_words,
    training_facts,
)
from clinical_symile.reporting.cohort_card import flow, outcomes
from clinical_symile.reporting.cohort_counts import subjects_sentence
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.base import (
    ReportPanel,
    method_legend,
    metric_sentences,
    picture_name,
)
from clinical_symile.reporting.sections.cohort import presence_panel, splits_panel
from clinical_symile.reporting.text.caveats import interval_sentence
from clinical_symile.reporting.text.labels import (
    CHANCE_LABEL,
    ORACLE_LABEL,
    metric_label,
    modality_label,
    pattern_label,
    task_label,
)

_USES = (
    "Compare ways to learn from chest X-ray, ECG and labs, and what each loses when some of them "
    "are missing.",
    "Start from it, or compare with it, in research on the cohort that is named here.",
)
_NOT_FOR = (
    "Decisions about patients. It is the result of a research benchmark and not a medical device; "
    "no regulator has assessed it.",
    "Patients of another hospital, period or department, unless it was validated there.",
    "Outcomes, modalities and patterns of missing modalities that are not evaluated here.",
    "Identifying people, or linking their recordings.",
)
_FOOTER = (
    "Filled from records alone by clinical-symile {version}. Numbers from research software, to "
    "compare methods; not for decisions about patients.",
    f"Counts below {SMALLEST_COUNT} are withheld, and so are results that rest on fewer than "
    f"{SMALLEST_COUNT} subjects. “>20” and “at least 20” are bounds, so that no small number "
    "follows by subtraction.",
)


def write_model_cards(data: ReportData, *, out: Path) -> list[Path]:
    """Write one card for each method of a benchmark into a folder.

    Args:
        data: the records.
        out: the folder; each card is `<method>.html` and `<method>.md`.

    Returns:
        The files.
    """
    written, taken = [], set[str]()
    for method in find_methods(data):
        name = picture_name(method.label.lower())
        while name in taken:  # labels may differ in signs and capital letters alone
            name += "-2"
        taken.add(name)
        written += write_document(model_card(method, data), out=path_in(out, name, suffix=".html"))
    return written


def model_card(method: Method, data: ReportData) -> Document:
    """Fill the card of one method.

    Args:
        method: of `find_methods`.
        data: the records.
    """
    figure = missing_figure(method, data)
    limits = caveat_sentences(method, data)
    return Document(
        title=f"Model card: {method.label}",
        about=f"{_where(method, data)} A research model, not a medical device.",
        answers=_answers(method, data),
        facts=[
            ("Subjects", subjects_sentence(data.cohort) or NOT_RECORDED),
            ("Caveat", limits[0]),
        ],
        figure=figure,
        legend=method_legend(
            [method.series[0]], best=ORACLE_LABEL * data.has_oracle, dotted=CHANCE_LABEL
        )
        if figure
        else None,
        parts=[part for part in _parts(method, data, limits) if part is not None],
        footer=[sentence.format(version=__version__) for sentence in _FOOTER],
        metadata=card_metadata(method, data),
    )


def _where(method: Method, data: ReportData) -> str:
    """Return on which cohorts the model was trained and evaluated."""
    trained = method.trained_on or NOT_RECORDED
    evaluated = join_words(evaluated_cohorts(method, data)) or NOT_RECORDED
    if trained == evaluated:
        return f"Trained and evaluated on cohort {trained}."
    return f"Training cohort: {trained}. Evaluated on cohort {evaluated}."


def card_metadata(method: Method, data: ReportData) -> dict[str, Any]:
    """Return the header of the Markdown card, in the words of Hugging Face's model cards.

    The licence of the weights is in no record, so the header has none.
    """
    modalities = [str(name) for name in method.definition.get("modalities", [])]
    results = []
    for task, table in data.tasks.items():
        row = primary_result(method, data, task)
        if row is None:
            continue
        interval = format_interval(row.low, row.high, row.metric, exact=True)
        kind = "tabular-classification" if table["kind"] == "classification" else "retrieval"
        results.append(
            {
                "task": {"type": kind, "name": task_label(task, table)},
                "dataset": {"type": row.cohort, "name": row.cohort, "split": row.split},
                "metrics": [
                    {
                        "type": row.metric,
                        "value": round(row.value, 3),
                        "name": f"{metric_label(row.metric)}, {pattern_label(row.missingness)} "
                        f"(95 % interval {interval})",
                    }
                ],
            }
        )
    return {
        "library_name": "clinical-symile",
        "pipeline_tag": "feature-extraction",
        "tags": ["multimodal", "contrastive-learning", "missing-modalities", *modalities],
        "model-index": [{"name": method.label, "results": results}],
    }


def _answers(method: Method, data: ReportData) -> list[str]:
    """Return what the model is and how it does, as sentences."""
    modalities = [modality_label(name) for name in method.definition.get("modalities", [])]
    what = "An external model, known by its predictions alone."
    if modalities:
        objective = objective_words(method).partition(". Source")[0]
        what = f"Embeds {join_words(modalities)}; trained with the objective {objective}."
    sentences = [what]
    for task, table in data.tasks.items():
        row = primary_result(method, data, task)
        if row is None:
            continue
        chance = ""
        if row.chance is not None:
            chance = f"; chance is {format_value(row.chance, row.metric)}"
        sentences.append(
            f"{task_label(task, table)}, {pattern_label(row.missingness)}: "
            f"{metric_label(row.metric)} {format_value(row.value, row.metric)} "
            f"({format_interval(row.low, row.high, row.metric)}){chance}."
        )
    return sentences[:5]


def _parts(method: Method, data: ReportData, limits: list[str]) -> list[Part | None]:
    return [
        Part(heading="The model", facts=model_facts(method)),
        Part(heading="Intended use", items=_USES),
        Part(heading="Out of scope", items=_NOT_FOR),
        _cohort(method, data),
        _training(method),
        _performance(method, data),
        _missing(method, data),
        _optional("Groups of patients", group_panels(method, data), _GROUPS, is_folded=True),
        _optional("Calibration", calibration_tables(method, data), _CALIBRATED),
        _optional(
            "Compared with baselines and other methods",
            comparison_panels(method, data),
            _COMPARED,
            is_folded=True,
        ),
        Part(heading="Caveats", items=limits),
        Part(
            heading="Not recorded",
            text=["The records do not say the following. Add it before you share the model."],
            items=unrecorded(method, data),
        ),
    ]


_GROUPS = (
    "The primary metric by group, with nothing missing; groups by available modalities as "
    "recorded. p (Holm) adjusts for all gaps of a run on the task. Groups that are too small "
    "are withheld."
)
_CALIBRATED = (
    "Of predicted risks. A slope below 1 means that risks are too extreme. Observed minus "
    "predicted above 0 means that risks are too low. These values are with nothing missing."
)
_COMPARED = (
    "This model minus the other on the same samples, with nothing missing. p (Holm) adjusts for "
    "all comparisons of the benchmark."
)


def _optional(
    heading: str, panels: list[ReportPanel], text: str, *, is_folded: bool = False
) -> Part | None:
    if not panels:
        return None
    return Part(heading=heading, text=[text], panels=panels, is_folded=is_folded)


def _cohort(method: Method, data: ReportData) -> Part:
    """Describe the cohort of the store that is at hand."""
    cohort = data.cohort
    trained = method.trained_on or NOT_RECORDED
    facts = [
        ("training cohort", trained),
        ("digest of the training store", _training_store(method)),
    ]
    if not cohort:
        return Part(heading="Training data", facts=facts, caption="Its store is not there.")
    role = "Training data" if cohort.get("cohort") == trained else "Evaluation data"
    facts += [
        ("cohort", f"{cohort.get('title')}: {cohort.get('description')}"),
        ("access", str(cohort.get("access", NOT_RECORDED))),
        ("licence of the data", str(cohort.get("license", NOT_RECORDED))),
        ("to cite", str(cohort.get("citation", NOT_RECORDED))),
        ("included", _inclusion(cohort)),
    ]
    panels = [splits_panel(cohort), _without_picture(presence_panel(cohort)), outcomes(cohort)]
    return Part(
        heading=role,
        text=["No subject is in two splits. The cohort card of the store says more."],
        facts=facts,
        panels=[panel for panel in panels if panel.body],
    )


def _training_store(method: Method) -> str:
    own = method.record.get("store_digest") if method.definition else None
    return str(method.record.get("training_store_digest", own or NOT_RECORDED))


def _inclusion(cohort: Mapping[str, Any]) -> str:
    """Return the way from the rows of the tables to the samples, in words."""
    rows, samples, *_ = flow(cohort)
    left = [f"{reason} {number}" for reason, number in rows.left]
    out = f"left out: {', '.join(left)}" if left else "no row was left out"
    return f"{rows.number} {rows.words}; {out}; {samples.number} samples"


def _without_picture(panel: ReportPanel) -> ReportPanel:
    return ReportPanel(panel.title, None, panel.head, panel.body)


def _training(method: Method) -> Part | None:
    facts = training_facts(method)
    return Part(heading="Training", facts=facts) if facts else None


def _performance(method: Method, data: ReportData) -> Part | None:
    panels = performance_panels(method, data)
    if not panels:
        return None
    probes = {str(table["probe"]["name"]) for table in data.tasks.values() if "probe" in table}
    text = metric_sentences(data.tasks)
    if probes and method.definition:
        text += (
            f" Risks are predicted by a probe ({join_words(sorted(probes))}) on the embeddings, "
            "fitted to the training split."
        )
    intervals = interval_sentence(data.results, tasks=data.tasks)
    return Part(
        heading="Performance on held-out samples",
        text=[text.strip()],
        panels=panels,
        caption=intervals or "",
    )


def _missing(method: Method, data: ReportData) -> Part | None:
    panels = missing_panels(method, data)
    text = [
        missing_words(method),
        "Each row is a missingness pattern: the modalities that the model may use. All patterns "
        "except “as recorded” use the same samples.",
    ]
    if not panels:
        return None
    return Part(heading="Behaviour with missing modalities", text=text, panels=panels)
