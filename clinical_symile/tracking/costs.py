"""Measure what training and evaluation cost, and read it from the record of a run.

The table `[costs]` of `run.toml` has it. No digest, comparison or selection reads it.
"""

import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.tracking.records import wrong_fields
from clinical_symile.tracking.run import Run

COSTS = "costs"
"""The table of `run.toml`."""
TRAINING_COSTS, EMBEDDING_COSTS, EVALUATION_COSTS = "training", "embedding", "evaluation"
"""The tables in it; `evaluation` has one for each task."""
EPOCH_COSTS = "epochs"
"""A table of lists with a number for each epoch of the training."""

_ABOUT, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_NUMBER, _COUNT = int | float | None, int | None
_SUMS = ("wall_s", "processor_s", "energy_j")
_PEAKS = ("peak_memory_bytes", "peak_device_memory_bytes")
_SPENT: Mapping[str, Any] = {
    **dict.fromkeys(("wall_s", "processor_s", "energy_j"), _NUMBER),
    **dict.fromkeys(("peak_memory_bytes", "peak_device_memory_bytes", "sessions"), _COUNT),
    **dict.fromkeys(("energy_missing", "peak_memory_of"), str | None),
}
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("parameters", "parameters_trained", "parameters_used"), _COUNT),
    **dict.fromkeys(("flops_per_step", "flops_per_sample", "devices", "threads"), _COUNT),
    "device": str | None,
    **dict.fromkeys((TRAINING_COSTS, EMBEDDING_COSTS, EVALUATION_COSTS), dict[str, Any] | None),
    EPOCH_COSTS: dict[str, list[int | float]] | None,
}


class CostMeter:
    """The wall time, processor time and peak memory of this process since the meter was made.

    Processor time is that of the user and of the system, of all threads, and of child processes
    that have ended. The peak of memory is that of this process alone. Linux lets it begin anew;
    where it does not, the peak is that since the start of the process, and the record says so.

    Args:
        energy: returns the energy that the devices have used so far, in joules; None if unknown.
    """

    def __init__(self, energy: Callable[[], float | None] = lambda: None):
        self._energy = energy
        self._begins_anew = _forget_peak()
        self._start = self._counters()

    def read(self) -> dict[str, Any]:
        """Return what was spent so far, as a table of `[costs]`."""
        wall, processor, energy = self._since(self._start)
        spent: dict[str, Any] = {
            "wall_s": _rounded(wall),
            "processor_s": _rounded(processor),
            "peak_memory_bytes": _peak_bytes(),
        }
        if not self._begins_anew:
            spent["peak_memory_of"] = "the process since its start"
        return spent if energy is None else {**spent, "energy_j": _rounded(energy)}

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave out the time and energy of what runs inside."""
        before = self._counters()
        try:
            yield
        finally:
            spent = self._since(before)
            self._start = tuple(
                None if start is None or one is None else start + one
                for start, one in zip(self._start, spent, strict=True)
            )

    def _counters(self) -> tuple[float | None, ...]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        processor = sum(one.ru_utime + one.ru_stime for one in used)
        return time.perf_counter(), processor, self._energy()

    def _since(self, before: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(
            None if now is None or then is None else max(now - then, 0.0)
            for now, then in zip(self._counters(), before, strict=True)
        )


@contextmanager
def evaluation_costs(run: Run, task: str | None, *, is_part: bool = False) -> Iterator[None]:
    """Measure what runs inside, and record it as the evaluation of a task.

    It takes the place of what was recorded for the task before; a part is added to it. A folder
    without `run.toml`, as the oracle's, keeps none. The folder must be locked by the caller.

    Args:
        run: the run's folder.
        task: the task; None for the embedding of the store that its tasks share.
        is_part: True if not all patterns of the task are evaluated.
    """
    meter = CostMeter()
    yield
    spent = meter.read()
    if not (run.path / "run.toml").is_file():
        return
    record = run.metadata
    costs = dict(record.get(COSTS, {}))
    if task is None:
        costs[EMBEDDING_COSTS] = spent
    else:
        before = costs.get(EVALUATION_COSTS, {})
        if is_part and task in before:
            spent = add_costs(before[task], spent)
        costs[EVALUATION_COSTS] = {**before, task: spent}
    run.write_metadata({**record, COSTS: costs})


def add_costs(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Add what two sessions of one training spent: sums of times and energy, the higher peaks.

    Energy that one of them lacks is unknown for both, with its reason.

    Args:
        before: the table of the earlier sessions; empty for none.
        now: that of the later one.
    """
    if not before:
        return {**now, "sessions": 1}
    made: dict[str, Any] = {"sessions": before.get("sessions", 1) + 1}
    for key in _SUMS:
        if key in before and key in now:
            made[key] = _rounded(before[key] + now[key])
    for key in _PEAKS:
        if found := [one[key] for one in (before, now) if key in one]:
            made[key] = max(found)
    words = {key: text for one in (before, now) for key, text in one.items() if key not in made}
    return made | {key: text for key, text in words.items() if isinstance(text, str)}


def add_epoch(
    epochs: Mapping[str, list[Any]], before: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Add what an epoch spent to the lists of the epochs: its times and energy, the peaks so far.

    Args:
        epochs: the lists of the earlier epochs; a number that one of them lacks has no list.
        before: what the session had spent before the epoch; empty at its start.
        now: what it has spent after the epoch.
    """
    number = max(map(len, epochs.values()), default=0)
    spent = {key: _rounded(now[key] - before.get(key, 0.0)) for key in _SUMS if key in now}
    spent |= {key: now[key] for key in _PEAKS if key in now}
    return {
        key: [*epochs.get(key, []), value]
        for key, value in spent.items()
        if len(epochs.get(key, [])) == number
    }


@dataclass(frozen=True, kw_only=True)
class RunCosts:
    """The costs of a run, as its record has them; None for what is not recorded.

    Attributes:
        run: the run's name.
        parameters: all that training held: encoders, objective, and a teacher.
        parameters_trained: those that training changed.
        parameters_used: those that embedding a sample reads.
        flops_per_sample: floating-point operations to embed a complete sample.
        flops_per_step: floating-point operations of a training step.
        training_s: seconds of training.
        training_processor_s: processor seconds of training.
        training_peak_bytes: the highest memory of the process in training.
        training_peak_device_bytes: the highest memory of a GPU in training.
        evaluation_s: seconds of evaluation: of the embedding and of all tasks.
        evaluation_processor_s: processor seconds of evaluation.
        evaluation_peak_bytes: the highest memory of the process in evaluation.
        device: the GPU or processor of training.
        devices: the number of processes that trained.
        sessions: how often training was begun or resumed.
        energy_j: the energy of GPUs in training, in joules.
        energy_missing: why there is none.
    """

    run: str
    parameters: int | None = None
    parameters_trained: int | None = None
    parameters_used: int | None = None
    flops_per_sample: int | None = None
    flops_per_step: int | None = None
    training_s: float | None = None
    training_processor_s: float | None = None
    training_peak_bytes: int | None = None
    training_peak_device_bytes: int | None = None
    evaluation_s: float | None = None
    evaluation_processor_s: float | None = None
    evaluation_peak_bytes: int | None = None
    device: str | None = None
    devices: int | None = None
    sessions: int | None = None
    energy_j: float | None = None
    energy_missing: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "RunCosts":
        """Read the costs of a run.

        Args:
            record: the content of `run.toml`. Runs of 0.2.3 and before have no costs.

        Raises:
            DataError: a value has another type.
        """
        name, costs = str(record.get("name", "")), record.get(COSTS, {})
        _check(costs, name)
        training, evaluation = costs.get(TRAINING_COSTS, {}), costs.get(EVALUATION_COSTS, {})
        parts = [
            *([costs[EMBEDDING_COSTS]] if EMBEDDING_COSTS in costs else []),
            *evaluation.values(),
        ]
        about = ("device", "devices", "flops_per_sample", "flops_per_step")
        sizes = ("parameters", "parameters_trained", "parameters_used")
        return cls(
            run=name,
            **{key: costs.get(key) for key in (*about, *sizes)},
            training_s=_as_float(training.get("wall_s")),
            training_processor_s=_as_float(training.get("processor_s")),
            training_peak_bytes=training.get("peak_memory_bytes"),
            training_peak_device_bytes=training.get("peak_device_memory_bytes"),
            evaluation_s=_total(part.get("wall_s") for part in parts),
            evaluation_processor_s=_total(part.get("processor_s") for part in parts),
            evaluation_peak_bytes=max(
                (part["peak_memory_bytes"] for part in parts if "peak_memory_bytes" in part),
                default=None,
            ),
            sessions=training.get("sessions"),
            energy_j=_as_float(training.get("energy_j")),
            energy_missing=training.get("energy_missing"),
        )


def _rounded(value: float | None) -> float:
    """Round to thousandths, which clocks and counters hardly reach."""
    return round(float(value or 0.0), 3)


def _as_float(value: int | float | None) -> float | None:
    return None if value is None else float(value)


def _total(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known else None


def _check(costs: Any, name: str) -> None:
    """Refuse costs of another form.

    Raises:
        DataError: a value has another type.
    """
    problems = ["is no table"] if not isinstance(costs, dict) else wrong_fields(costs, _TYPES)
    tables = costs if isinstance(costs, dict) else {}
    parts = {key: tables[key] for key in (TRAINING_COSTS, EMBEDDING_COSTS) if key in tables}
    evaluation = tables.get(EVALUATION_COSTS)
    if isinstance(evaluation, dict):
        parts |= {f"{EVALUATION_COSTS}.{task}": part for task, part in evaluation.items()}
    for place, part in parts.items():
        found = wrong_fields(part, _SPENT) if isinstance(part, dict) else ["is no table"]
        problems += [f"{place}: {one}" for one in found]
    if problems:
        raise DataError(
            f"run '{name}': {COSTS} in run.toml: {'; '.join(problems)}. Remove that table.",
            code="CS-R003",
        )


def _forget_peak() -> bool:
    """Let the peak of this process's memory begin anew; return whether the system can."""
    try:
        switch = os.open(_RESET, os.O_WRONLY)  # no file: a switch of the kernel
    except OSError:
        return False
    try:
        os.write(switch, b"5")
    except OSError:
        return False
    finally:
        os.close(switch)
    return _kept_peak() is not None


def _kept_peak() -> int | None:
    """Return the peak of memory in bytes as Linux keeps it; None on other systems."""
    try:
        found = _PEAK.search(_ABOUT.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])


def _peak_bytes() -> int:
    peak = _kept_peak()
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
