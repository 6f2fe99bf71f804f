"""Show what the training and evaluation of each run cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clinical_symile.formatting import format_duration, format_si, join_words
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
        "Times are those of the clock. The peak is the highest memory of the process; where a GPU "
        "trained, it is that of the GPU.",
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


def _known(make: Callable[[Any], str], value: Any) -> str:
    return _NOT_RECORDED if value is None else make(value)


def _seconds(value: int | float) -> str:
    return f"{value:.1f} s" if value < 60 else format_duration(float(value))


def _bytes(value: int | float) -> str:
    return format_si(value, "B")


def _energy(costs: RunCosts) -> str:
    if costs.energy_j is not None:
        return format_si(costs.energy_j, "J")
    return _NOT_RECORDED if costs.energy_missing is None else _NOT_MEASURED


def _peak(costs: RunCosts) -> str:
    of_gpu = costs.training_peak_device_bytes
    return _known(_bytes, costs.training_peak_bytes if of_gpu is None else of_gpu)


def _device(costs: RunCosts) -> str:
    count = "" if costs.devices in (None, 1) else f"{costs.devices} of "
    return _known(lambda name: f"{count}{name}", costs.device)


_MAIN: Mapping[str, Callable[[RunCosts], str]] = {
    "parameters": lambda one: _known(format_si, one.parameters_used),
    "FLOPs per sample": lambda one: _known(format_si, one.flops_per_sample),
    "training": lambda one: _known(_seconds, one.training_s),
    "evaluation": lambda one: _known(_seconds, one.evaluation_s),
    "peak memory": _peak,
    "device": _device,
    "energy of training": _energy,
}
_FURTHER: Mapping[str, Callable[[RunCosts], str]] = {
    "processor time of training": lambda one: _known(_seconds, one.training_processor_s),
    "processor time of evaluation": lambda one: _known(_seconds, one.evaluation_processor_s),
    "peak memory of evaluation": lambda one: _known(_bytes, one.evaluation_peak_bytes),
    "all parameters": lambda one: _known(format_si, one.parameters),
    "trained parameters": lambda one: _known(format_si, one.parameters_trained),
    "FLOPs of a training step": lambda one: _known(format_si, one.flops_per_step),
    "sessions": lambda one: _known(str, one.sessions),
}


def _table(
    rows: Iterable[tuple[str, RunCosts]], columns: Mapping[str, Callable[[RunCosts], str]]
) -> tuple[list[str], list[list[str]]]:
    """Return the head and the body of a table."""
    body = [[label, *(cell(costs) for cell in columns.values())] for label, costs in rows]
    return ["run", *columns], body


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
