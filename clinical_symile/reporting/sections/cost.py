"""Show what the training and evaluation of each run cost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinical_symile.formatting import DASH, join_words
from clinical_symile.reporting.cost_quantities import COST_QUANTITIES, device_words
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.tracking.costs import RunCosts

_NOT_RECORDED = "not recorded"
_NOT_MEASURED = "not measured"


def draw_cost(
    *, runs: Sequence[Mapping[str, Any]], series: Sequence[Series], baselines: Mapping[str, str]
) -> Content | None:
    """Draw a table of what each run cost; baselines, which are fitted in evaluation, have none."""
    records = {str(record.get("name")): record for record in runs}
    costs = {name: RunCosts.from_record(record) for name, record in records.items()}
    rows = [
        (one.label, costs.get(one.run, RunCosts(run=one.run)))
        for one in series
        if one.run not in baselines
    ]
    if not costs:
        return None
    return Content(
        heading="What it cost",
        text="Parameters are those that embedding a sample reads. FLOPs count multiplications of "
        "matrices, convolutions and fused attention for the embedding of one complete sample. "
        "Times are those of the clock. The peak of host memory is the highest memory of the "
        "process, that of GPU memory the highest of a GPU, in training.",
        panels=[
            ReportPanel("What it cost", None, *_table(rows, _MAIN)),
            ReportPanel("Processor time, sizes and steps", None, *_table(rows, _FURTHER)),
        ],
        caption=" ".join(_notes(rows, records)),
    )


COST = Section(
    "cost",
    ("runs", "series", "baselines"),
    draw_cost,
    display_name="costs",
    description="Shows the parameters, FLOPs, times, memory, device and energy of each run.",
)


_MAIN = (
    *("parameters_used", "flops_per_sample", "training_s", "evaluation_s"),
    *("training_peak_bytes", "training_peak_device_bytes", "device", "energy_j"),
)
_FURTHER = (
    *("training_processor_s", "evaluation_processor_s", "evaluation_peak_bytes"),
    *("parameters", "parameters_trained", "flops_per_step", "sessions"),
)


def _cell(costs: RunCosts, field: str) -> str:
    quantity = COST_QUANTITIES[field]
    value = device_words(costs) if field == "device" else quantity.of(costs)
    if value is not None:
        return quantity.words(value)
    if field == "energy_j" and costs.energy_missing is not None:
        return _NOT_MEASURED
    has_no_gpu = field == "training_peak_device_bytes" and costs.training_peak_bytes is not None
    return DASH if has_no_gpu else _NOT_RECORDED


def _table(
    rows: Iterable[tuple[str, RunCosts]], columns: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return the head and the body of a table; columns are fields of `RunCosts`."""
    body = [[label, *(_cell(costs, field) for field in columns)] for label, costs in rows]
    return ["run", *(COST_QUANTITIES[field].title for field in columns)], body


def _notes(rows: Sequence[tuple[str, RunCosts]], records: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of the numbers and of those that lack."""
    notes = ["Times and memory depend on the machine and on what else it did."]
    external = [label for label, costs in rows if costs.run not in records]
    if external:
        notes.append(f"{join_words(external)}: not trained here, so that costs are not known.")
    reasons = dict.fromkeys(costs.energy_missing for _, costs in rows if costs.energy_missing)
    notes += [f"Energy was not measured: {reason}." for reason in reasons]
    old = [label for label, costs in rows if costs.run in records and costs.device is None]
    if old:
        notes.append(
            f"{join_words(old)}: no costs were recorded, as for imported runs and those of version "
            "0.2.3 and before."
        )
    return notes
