"""Name and word what a run cost, the same in reports, cards and leaderboards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clinical_symile.formatting import format_seconds, format_si
from clinical_symile.tracking.costs import RunCosts


@dataclass(frozen=True)
class CostQuantity:
    """A size or cost of a run.

    Attributes:
        title: for readers.
        field: of `RunCosts`.
        words: writes a number.
    """

    title: str
    field: str
    words: Callable[[Any], str]

    def of(self, costs: RunCosts) -> Any:
        """Return the value; None where it is not recorded."""
        return getattr(costs, self.field)


def _with_unit(unit: str) -> Callable[[int | float], str]:
    def words(value: int | float) -> str:
        return format_si(value, unit)

    return words


_ALL = (
    CostQuantity("parameters", "parameters_used", format_si),
    CostQuantity("FLOPs per sample", "flops_per_sample", format_si),
    CostQuantity("training time", "training_s", format_seconds),
    CostQuantity("evaluation time", "evaluation_s", format_seconds),
    CostQuantity("peak host memory", "training_peak_bytes", _with_unit("B")),
    CostQuantity("peak GPU memory", "training_peak_device_bytes", _with_unit("B")),
    CostQuantity("device", "device", str),
    CostQuantity("energy of training", "energy_j", _with_unit("J")),
    CostQuantity("processor time of training", "training_processor_s", format_seconds),
    CostQuantity("processor time of evaluation", "evaluation_processor_s", format_seconds),
    CostQuantity("peak host memory of evaluation", "evaluation_peak_bytes", _with_unit("B")),
    CostQuantity("all parameters", "parameters", format_si),
    CostQuantity("trained parameters", "parameters_trained", format_si),
    CostQuantity("FLOPs of a training step", "flops_per_step", format_si),
    CostQuantity("sessions", "sessions", str),
)
COST_QUANTITIES: Mapping[str, CostQuantity] = {one.field: one for one in _ALL}
"""By the field of `RunCosts`."""


def device_words(costs: RunCosts) -> str | None:
    """Return the device of a training, and how many there were; None if it is not recorded."""
    several = "" if costs.devices in (None, 1) else f"{costs.devices} of "
    return None if costs.device is None else f"{several}{costs.device}"
