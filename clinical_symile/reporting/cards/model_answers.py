"""Answer the items of checklists that ask for the model: inputs, training, selection, output."""

from clinical_symile.formatting import capitalize_first, join_words
from clinical_symile.reporting.cards.answer import (
    ANSWERED,
    AUTHORS,
    PARTLY,
    Answer,
    AnswerFunction,
    StudyRecords,
    for_authors,
    listed,
    partly,
)
from clinical_symile.reporting.cards.card_caveats import is_external
from clinical_symile.reporting.cards.model_facts import (
    Method,
    encoder_facts,
    missing_words,
    objective_words,
    start_words,
    training_facts,
)
from clinical_symile.reporting.text.labels import modality_label, outcome_label, task_label

_RUN = "run.toml"
_EXTERNAL = "The model is external: its records do not say."


def _of_trained(answer: AnswerFunction) -> AnswerFunction:
    """Answer an item for the models that were trained here, and leave the others to the authors."""

    def answered(study: StudyRecords) -> Answer:
        if not study.trained:
            return for_authors(_EXTERNAL)
        found = answer(study)
        others = [method.label for method in study.methods if not method.definition]
        if not others or found.status == AUTHORS:
            return found
        left = f"say it of {join_words(others)} too: external, so that records do not."
        if found.status == PARTLY:
            return Answer(PARTLY, f"{found.text} Also {left}", found.record)
        return partly(f"Of the models trained here: {found.text}", left, found.record)

    return answered


def _title(study: StudyRecords) -> Answer:
    where = study.cohort.get("title") or listed(study.cohorts)
    what = outcome_label(study.outcomes) if study.outcomes else "retrieval of recordings"
    text = f"Development and evaluation; cohort: {where}; predicted: {what}."
    return partly(text, "write the title.", "benchmark.json or run.toml")


@_of_trained
def _technique(study: StudyRecords) -> Answer:
    text = (
        "Deep learning: contrastive pretraining of one encoder per modality. Objectives: "
        f"{study.of_each(objective_words)}."
    )
    return partly(text, "name it in title or abstract.", _RUN)


def _objectives(study: StudyRecords) -> Answer:
    tasks = listed([f"“{task_label(name, one)}”" for name, one in study.data.tasks.items()])
    text = f"Models are developed and evaluated on {tasks}, with and without missing modalities."
    return partly(text, "state aims and hypotheses.", "benchmark.json or run.toml")


@_of_trained
def _predictor_handling(study: StudyRecords) -> Answer:
    words = study.of_each(
        lambda method: "; ".join(f"{term}: {text}" for term, text in encoder_facts(method))
    )
    text = (
        "Recordings are scaled by statistics of the training split, and an encoder turns each "
        f"into a vector. {capitalize_first(words)}."
    )
    return Answer(ANSWERED, text, _RUN)


@_of_trained
def _model_building(study: StudyRecords) -> Answer:
    text = (
        f"Objectives: {study.of_each(objective_words)}. {_selected(study)} {_tuned(study)} "
        "Internal validation: a held-out split, with a bootstrap over subjects."
    )
    return partly(text, "give the reason for this type of model.", "run.toml, settings.jsonl")


@_of_trained
def _architecture(study: StudyRecords) -> Answer:
    text = study.of_each(_architecture_words)
    return Answer(ANSWERED, f"{text}.", f"{_RUN}, [definition.encoders]")


def _software(study: StudyRecords) -> Answer:
    versions = dict(study.data.versions)
    for method in study.trained:
        versions |= method.record.get("versions", {})
    if not versions:
        return for_authors("The records have no versions.")
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Answer(ANSWERED, f"{text}.", f"{_RUN}, benchmark.json")


@_of_trained
def _initialization(study: StudyRecords) -> Answer:
    seeds = sorted({int(r["seed"]) for m in study.trained for r in m.records if "seed" in r})
    text = f"{study.of_each(start_words)}. Seeds: {listed([str(seed) for seed in seeds])}."
    return Answer(ANSWERED, capitalize_first(text), _RUN)


@_of_trained
def _training(study: StudyRecords) -> Answer:
    wanted = ("epochs", "batch", "optimizer", "precision", "augmentation")
    text = study.of_each(
        lambda method: "; ".join(
            f"{term}: {words}" for term, words in training_facts(method) if term in wanted
        )
    )
    missing = f"Missing modalities: {study.of_each(missing_words)}."
    return Answer(ANSWERED, f"{capitalize_first(text)}. {missing}", _RUN)


@_of_trained
def _selection(study: StudyRecords) -> Answer:
    return Answer(ANSWERED, f"{_selected(study)} {_tuned(study)}", "run.toml, settings.jsonl")


@_of_trained
def _ensembles(study: StudyRecords) -> Answer:
    del study
    return Answer(ANSWERED, "None: each run is one model, and runs are not averaged.", _RUN)


@_of_trained
def _prediction(study: StudyRecords) -> Answer:
    probes = listed(
        sorted({str(t["probe"]["name"]) for t in study.data.tasks.values() if "probe" in t})
    )
    text = (
        "By clinical-symile evaluate: candidates are ranked by the objective's score of "
        f"embeddings; risks come from a probe ({probes}) on embeddings, fitted to the training "
        "split under the same pattern. clinical-symile rerun computes a line of results again."
    )
    return Answer(ANSWERED, text, "results.jsonl, model.safetensors")


def _imbalance(study: StudyRecords) -> Answer:
    if not study.outcomes:
        return for_authors("No task predicts an outcome: the tasks are retrieval.")
    text = "The definitions of the tasks name no resampling and no weights of classes."
    return partly(text, "confirm it, and of a baseline or probe of your own say so.", "tasks")


def _output(study: StudyRecords) -> Answer:
    risks = [one for one in study.data.tasks.values() if one["kind"] == "classification"]
    text = "A score for each candidate; no threshold is used."
    if risks:
        text = (
            f"The probability of {outcome_label(study.outcomes)}. No threshold is chosen; net "
            "benefit is given over a range of thresholds."
        )
    return Answer(ANSWERED, text, "results.jsonl, net_benefit.jsonl")


@_of_trained
def _specification(study: StudyRecords) -> Answer:
    digests = study.of_each(lambda m: str(m.record.get("task_digest", "not recorded")))
    text = (
        "Each run's folder has its weights (model.safetensors) and its definition (run.toml; "
        f"digest {digests}). With clinical-symile they embed new samples."
    )
    return partly(text, "say where the weights can be had, and on which terms.", _RUN)


def _code_sharing(study: StudyRecords) -> Answer:
    commits = sorted({str(r.get("git_commit", "")) for m in study.trained for r in m.records})
    version = str(study.data.versions.get("clinical-symile", "")) or listed(
        sorted({str(r.get("version", "")) for m in study.trained for r in m.records})
    )
    named = f", commit {listed([one for one in commits if one])}" if any(commits) else ""
    text = f"clinical-symile {version}{named}; Apache-2.0."
    return partly(text, "add the place of code of your own.", _RUN)


def _availability(study: StudyRecords) -> Answer:
    first = _code_sharing(study).text.partition(" Authors:")[0]
    cohort = study.cohort
    data = f" Data: {cohort['access']} access, {cohort['license']}." if cohort else ""
    return partly(f"Software: {first}{data}", "say where model and data can be had.", _RUN)


def _protocol(study: StudyRecords) -> Answer:
    tasks = len(study.data.tasks)
    text = (
        f"The definitions of {tasks} task{'s' * (tasks != 1)} and of every run are recorded with "
        "their digests; clinical-symile bundle packs them."
    )
    return partly(text, "name the protocol, or say that there is none.", "benchmark.json, run.toml")


@_of_trained
def _missing_input(study: StudyRecords) -> Answer:
    text = (
        f"A missing modality: {study.of_each(missing_words)}. The model card says what is lost "
        "without each. Unreadable recordings count as missing."
    )
    return partly(text, "say how poor input is recognized in use.", "run.toml, results.jsonl")


@_of_trained
def _missing_data(study: StudyRecords) -> Answer:
    text = (
        f"Missing modalities: {study.of_each(missing_words)}. Samples with an unknown outcome are "
        "left out of that task."
    )
    return Answer(ANSWERED, text, "run.toml, manifest.json of the store")


@_of_trained
def _differences(study: StudyRecords) -> Answer:
    moved = [method.label for method in study.methods if is_external(method, study.data)]
    if moved:
        text = f"{join_words(moved)}: trained on another cohort than {listed(study.cohorts)}."
        return partly(text, "compare setting, eligibility, outcome and predictors.", _RUN)
    text = (
        "Development and evaluation data are splits of one cohort, with one definition of "
        "inclusion, outcomes and predictors."
    )
    left = "say whether the splits are of other hospitals or periods."
    return partly(text, left, "manifest.json of the store")


def _architecture_words(method: Method) -> str:
    modalities = listed([modality_label(name) for name in method.definition.get("modalities", [])])
    parts = [f"{term}: {text}" for term, text in encoder_facts(method)]
    dim = method.definition.get("dim", "not recorded")
    encoders = capitalize_first("; ".join(parts))
    return f"Inputs: {modalities}. {encoders}. Output: a vector of {dim} numbers per modality"


def _selected(study: StudyRecords) -> str:
    words = study.of_each(lambda method: dict(training_facts(method))["selected"])
    return f"Selected: {words}."


def _tuned(study: StudyRecords) -> str:
    tried = study.data.settings
    if not tried:
        return "No hyperparameters were tuned in these records."
    return f"{len(tried)} settings were compared on the tuning split."


MODEL_ANSWERS: dict[str, AnswerFunction] = {
    "title": _title,
    "technique": _technique,
    "objectives": _objectives,
    "predictor_handling": _predictor_handling,
    "model_building": _model_building,
    "architecture": _architecture,
    "software": _software,
    "initialization": _initialization,
    "training": _training,
    "selection": _selection,
    "ensembles": _ensembles,
    "prediction": _prediction,
    "imbalance": _imbalance,
    "output": _output,
    "specification": _specification,
    "code_sharing": _code_sharing,
    "availability": _availability,
    "protocol": _protocol,
    "missing_input": _missing_input,
    "missing_data": _missing_data,
    "differences": _differences,
}
