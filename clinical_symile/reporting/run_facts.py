"""Read from the records of a bundle what a leaderboard shows beside a run's results."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clinical_symile.reporting.cohort_counts import cohort_counts
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.text.labels import SPLIT_LABELS
from clinical_symile.tracking.costs import RunCosts

TRAINED, BASELINE, EXTERNAL = "trained", "baseline", "external"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Facts on a run beside its results; None where its records do not have one.

    Attributes:
        kind: `trained`, `baseline` or `external`.
        trained_with: the missingness in training.
        missing_modality: the method for missing modalities.
        train_samples: samples of the train split, in words.
        costs: what the record has of its costs.
    """

    kind: str
    trained_with: str | None = None
    missing_modality: str | None = None
    train_samples: str | None = None
    costs: RunCosts = field(default_factory=lambda: RunCosts(run=""))


def run_facts(data: ReportData, run: str) -> RunFacts:
    """Return what the records of a bundle know of a run.

    Args:
        data: of the bundle.
        run: the run's name.

    Raises:
        DataError: its record has costs of another form.
    """
    if run in data.baselines:
        return RunFacts(kind=BASELINE)
    record = next((one for one in data.runs if one.get("name") == run), None)
    if record is None:
        return RunFacts(kind=EXTERNAL)
    definition = _table(record, "definition")
    costs = RunCosts.from_record(record)
    if costs.training_s is None:
        costs = replace(costs, training_s=_seconds(data, run))
    return RunFacts(
        kind=TRAINED,
        trained_with=_text(definition.get("missingness")),
        missing_modality=_text(definition.get("missing_modality")),
        train_samples=_train_samples(data, record),
        costs=costs,
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
