"""Read from the records of a bundle what a leaderboard shows beside a run's results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinical_symile.reporting.cohort_counts import cohort_counts
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.text.labels import SPLIT_LABELS

TRAINED, BASELINE, EXTERNAL = "trained", "baseline", "external"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Facts on a run beside its results; None where its records do not have one.

    Attributes:
        kind: `trained`, `baseline` or `external`.
        trained_with: the missingness in training.
        missing_modality: the method for missing modalities.
        train_samples: samples of the train split, in words.
        parameters: number of parameters that embedding a sample uses.
        flops: floating-point operations to embed a sample.
        training_s: wall time of training in seconds.
        processor_s: processor time of training in seconds.
        memory_bytes: peak memory of training.
        energy_j: measured energy of training in joules.
        device: that it was trained on.
    """

    kind: str
    trained_with: str | None = None
    missing_modality: str | None = None
    train_samples: str | None = None
    parameters: int | None = None
    flops: float | None = None
    training_s: float | None = None
    processor_s: float | None = None
    memory_bytes: float | None = None
    energy_j: float | None = None
    device: str | None = None


def run_facts(data: ReportData, run: str) -> RunFacts:
    """Return what the records of a bundle know of a run.

    Args:
        data: of the bundle.
        run: the run's name.
    """
    if run in data.baselines:
        return RunFacts(kind=BASELINE)
    record = next((one for one in data.runs if one.get("name") == run), None)
    if record is None:
        return RunFacts(kind=EXTERNAL)
    definition = _table(record, "definition")
    costs = _table(record, "costs")
    training = _table(costs, "training")
    device = costs.get("device")
    return RunFacts(
        kind=TRAINED,
        trained_with=_text(definition.get("missingness")),
        missing_modality=_text(definition.get("missing_modality")),
        train_samples=_train_samples(data, record),
        parameters=_count(costs.get("parameters_used")),
        flops=_number(costs.get("flops_per_sample")),
        training_s=_number(training.get("wall_s")) or _seconds(data, run),
        processor_s=_number(training.get("processor_s")),
        memory_bytes=_number(training.get("peak_memory_bytes")),
        energy_j=_number(training.get("energy_j")),
        device=device if isinstance(device, str) else None,
    )


def _train_samples(data: ReportData, record: Mapping[str, Any]) -> str | None:
    """Return the size of the train split; None for a run that was trained on another store."""
    if not record.get("store_digest") or record["store_digest"] != data.cohort.get("digest"):
        return None
    label = SPLIT_LABELS["train"]
    return next((row[1] for row in cohort_counts(data.cohort).splits if row[0] == label), None)


def _seconds(data: ReportData, run: str) -> float | None:
    """Return the seconds of all epochs; None where an epoch does not state them."""
    seconds = [_number(epoch.get("seconds")) for epoch in data.histories.get(run, ())]
    return sum(one for one in seconds if one) if seconds and None not in seconds else None


def _table(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str | None:
    """Return a name; of a component with arguments, its name."""
    name = value.get("name") if isinstance(value, Mapping) else value
    return name if isinstance(name, str) and name else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
