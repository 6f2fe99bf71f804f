"""State what a model is from its record: modalities, encoders, objective and training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import capitalize_first, join_words
from clinical_symile.registry.base import describe
from clinical_symile.registry.families import ENCODERS, OBJECTIVES
from clinical_symile.reporting.cost_quantities import COST_QUANTITIES, device_words
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.text.labels import (
    missing_modality_label,
    modality_label,
    objective_label,
    pattern_label,
)
from clinical_symile.tracking.costs import RunCosts
from clinical_symile.tracking.disclosure import without_folders

NOT_RECORDED = "not recorded"
_MIXED_BATCHES = "shuffled"
_TIMES = ("started", "finished")
_COSTS = (
    *("parameters_used", "device", "training_s"),
    *("training_peak_bytes", "training_peak_device_bytes", "energy_j"),
)


@dataclass(frozen=True, repr=False)
class Method:
    """A method: its runs, which differ by their seed alone.

    Attributes:
        label: as reports show it.
        series: the runs.
        records: the `run.toml` of each, without folders; empty for an external model.
    """

    label: str
    series: Sequence[Series]
    records: Sequence[Mapping[str, Any]]

    @property
    def runs(self) -> list[str]:
        """The names of the runs."""
        return [one.run for one in self.series]

    @property
    def record(self) -> Mapping[str, Any]:
        """The record of the first run; empty for an external model."""
        return self.records[0] if self.records else {}

    @property
    def definition(self) -> Mapping[str, Any]:
        """The definition that the runs were trained by; empty if unknown."""
        known = self.record.get("definition", {})
        return known if "objective" in known else {}

    @property
    def trained_on(self) -> str | None:
        """The cohort of the training; None if unknown."""
        own = self.record.get("cohort") if self.definition else None
        return self.record.get("trained_on", own)


def find_methods(data: ReportData) -> list[Method]:
    """Return every method of some records that is neither a baseline nor the oracle."""
    records = {str(record["name"]): without_folders(dict(record)) for record in data.runs}
    found: dict[str, list[Series]] = {}
    for one in data.series:
        if one.run not in data.baselines:
            found.setdefault(one.method, []).append(one)
    return [
        Method(label, series, [records[one.run] for one in series if one.run in records])
        for label, series in found.items()
    ]


def model_facts(method: Method) -> list[tuple[str, str]]:
    """Return terms and what the record says of them."""
    known = method.definition
    if not known:
        about = method.record.get("definition", {}).get("description", "")
        facts = [
            ("model", about or "external: its record does not say how it was made"),
            ("weights of the run", str(method.record.get("run", ""))),
            ("SHA-256 of the weights", str(method.record.get("weights_sha256", ""))),
        ]
        return [(term, words) for term, words in facts if words]
    seeds = join_words([str(record.get("seed", NOT_RECORDED)) for record in method.records])
    facts = [
        ("pretraining task", f"{method.record['task']}: {known.get('description', '')}"),
        ("modalities", join_words([modality_label(name) for name in known.get("modalities", [])])),
        *encoder_facts(method),
        *weight_facts(method),
        ("objective", objective_words(method)),
        ("missing modalities", missing_words(method)),
        ("width of an embedding", str(known.get("dim", NOT_RECORDED))),
        ("seeds", seeds),
        ("started from", start_words(method)),
    ]
    return [(term, words) for term, words in facts if words]


def encoder_facts(method: Method) -> list[tuple[str, str]]:
    """Return the encoder of each modality with its arguments."""
    facts = []
    for modality, encoder in method.definition.get("encoders", {}).items():
        about = _source(encoder["name"], ENCODERS)
        arguments = _arguments(encoder)
        words = f"{encoder['name']}{f' ({arguments})' if arguments else ''}{about}"
        facts.append((f"encoder of {modality_label(modality)}", words))
    return facts


def weight_facts(method: Method) -> list[tuple[str, str]]:
    """Return licence, training data and digest of the weights that encoders began with."""
    facts = []
    for modality, about in method.record.get("encoders", {}).items():
        data = about.get("training_data")
        words = {
            "licence": about.get("licence", NOT_RECORDED),
            "trained on": join_words(data) if data else NOT_RECORDED,
            "SHA-256": about.get("sha256", NOT_RECORDED),
        }
        sentence = "; ".join(f"{term}: {text}" for term, text in words.items())
        facts.append((f"first weights of {modality_label(modality)}", sentence))
    return facts


def objective_words(method: Method) -> str:
    """Return the objective with its arguments and source."""
    objective = method.definition.get("objective", {})
    if not objective:
        return NOT_RECORDED
    name = str(objective["name"])
    arguments = _arguments(objective)
    words = f"{objective_label(name)}{f' ({arguments})' if arguments else ''}"
    return words + _source(name, OBJECTIVES)


def missing_words(method: Method) -> str:
    """Return how the model treats missing modalities, and what was missing in training."""
    known = method.definition
    if "missing_modality" not in known:
        return NOT_RECORDED
    way = known["missing_modality"]
    name = str(way["name"] if isinstance(way, Mapping) else way)
    words = f"{capitalize_first(missing_modality_label(name))} ({name})."
    pattern = str(known.get("missingness", "observed"))
    return f"{words} In training: {pattern_label(pattern)}."


def start_words(method: Method) -> str:
    """Return how the weights were initialized."""
    start = method.record.get("start")
    if start:
        return f"the weights of the run {start.get('run', start.get('name', NOT_RECORDED))}"
    if not method.definition:
        return NOT_RECORDED
    return "random weights, drawn with the seed, unless an encoder names a file"


def training_facts(method: Method) -> list[tuple[str, str]]:
    """Return how the model was trained: optimizer, epochs, selection, versions."""
    known, record = method.definition, method.record
    if not known:
        return []
    selection = known.get("selection", {})
    chosen = ""
    if selection:
        targets = join_words([modality_label(name) for name in selection.get("targets", [])])
        chosen = f"the epoch with the best {selection.get('metric', '')} on the tuning split"
        chosen += f", over {targets}" if targets else ""
    batches = str(known.get("batches", _MIXED_BATCHES))
    augment = ", ".join(
        f"{modality}: {one.get('name', NOT_RECORDED)}" if isinstance(one, Mapping) else modality
        for modality, one in known.get("augment", {}).items()
    )
    versions = ", ".join(f"{name} {one}" for name, one in record.get("versions", {}).items())
    times = [str(record[key])[:16].replace("T", " ") for key in _TIMES if key in record]
    return [
        ("epochs", str(known.get("epochs", NOT_RECORDED))),
        ("batch", f"{known.get('batch_size', NOT_RECORDED)} samples, {batches}"),
        ("optimizer", _arguments(known.get("optimiser", {})) or NOT_RECORDED),
        ("precision", str(record.get("precision", known.get("precision", NOT_RECORDED)))),
        ("augmentation", augment or "none"),
        ("selected", chosen or NOT_RECORDED),
        ("recipe", str(known.get("recipe", NOT_RECORDED))),
        ("trained", f"{' to '.join(times)} UTC" if times else NOT_RECORDED),
        *cost_facts(record),
        ("versions", versions or NOT_RECORDED),
        ("commit", str(record.get("git_commit", NOT_RECORDED))),
        ("digest of the task", str(record.get("task_digest", NOT_RECORDED))),
    ]


def cost_facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the training cost, as far as the record says: size, device, time, memory, energy.

    Args:
        record: a `run.toml`; records of earlier versions have no `[costs]`.
    """
    costs = RunCosts.from_record(record)
    values = {field: COST_QUANTITIES[field].of(costs) for field in _COSTS}
    values["device"] = device_words(costs)
    return [
        (COST_QUANTITIES[field].title, COST_QUANTITIES[field].words(value))
        for field, value in values.items()
        if value is not None
    ]


def seen_outcomes(method: Method) -> list[str]:
    """Return the outcomes whose labels training read."""
    return list(dict.fromkeys(str(o) for r in method.records for o in r.get("saw_labels") or []))


def _source(name: str, family: Any) -> str:
    if name not in family and ":" not in name:
        return ""
    try:
        source = describe(name, family).source
    except DefinitionError:  # of a plug-in that is not installed here
        return ""
    return f". Source: {source}" if source else ""


def _arguments(table: Mapping[str, Any]) -> str:
    """Return the arguments of a component as words."""
    return ", ".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else value}"
        for key, value in table.items()
        if key != "name"
    )
