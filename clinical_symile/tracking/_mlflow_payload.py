"""Convert what a run's folder says of the run into MLflow's parameters, curves and tags."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from clinical_symile.hashing import payload_digest
from clinical_symile.tracking.costs import COSTS, EPOCH_COSTS, RunCosts
from clinical_symile.tracking.results import question_digest
from clinical_symile.tracking.rounding import ROUNDED
from clinical_symile.tracking.snapshot import RunSnapshot

# The longest name, value of a parameter, value of a tag and digest that MLflow accepts.
NAME_LENGTH, PARAMETER_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 250, 500, 5000, 36

_OUR_END = re.compile(r"\.(low|high)$")
_ESCAPES = {"@": "at", "<": "lt", ">": "gt", "=": "eq", "%": "percent"}
KEY_TAG = "clinical_symile.key"
# The curves that MLflow gets, the first ones first; `history.jsonl`, which it gets as a file, has
# all. A name that ends in a slash stands for all names that begin with it.
_CURVES = ("loss", "tuning/", "loss/", "gradient_norm", "learning_rate", "seconds")
MOST_CURVES = 6
# The costs that become tags, by their names there: they change with each evaluation.
_COST_TAGS = (
    *("parameters_used", "flops_per_sample", "flops_per_step", "training_s", "evaluation_s"),
    *("training_processor_s", "training_peak_bytes", "training_peak_device_bytes"),
    *("device", "energy_j"),
)
# The curves that MLflow shows as system metrics, and the lists of `costs.epochs` that they divide.
_SYSTEM_CURVES = {
    "system/process_cpu_percent": ("processor_s", "wall_s", 100.0),
    "system/process_memory_peak_megabytes": ("peak_memory_bytes", None, 1e-6),
    "system/gpu_memory_peak_megabytes": ("peak_device_memory_bytes", None, 1e-6),
    "system/gpu_power_watts": ("energy_j", "wall_s", 1.0),
}
SOURCE_TAGS = {"mlflow.source.name": "clinical-symile", "mlflow.source.type": "LOCAL"}


class DatasetContent(NamedTuple):
    """The store that a run was trained or evaluated on, as MLflow shows it.

    Attributes:
        name: of the cohort.
        digest: of the store.
        schema: the modalities and analytes with type, shape and unit, in JSON; None if unknown.
        profile: the counts of each split, in JSON; None if unknown.
    """

    name: str
    digest: str
    schema: str | None = None
    profile: str | None = None


def run_key(run: RunSnapshot) -> str:
    """Return a key that is the same for every state of a run, and different for other runs."""
    fields = ("started", "seed", "store_digest", "task_digest")
    if run.metadata:
        identity = [str(run.metadata.get(field)) for field in fields]
    else:
        first = sorted(run.results, key=attrgetter("task"))[:1]
        identity = [question_digest(row.digest) for row in first]
    return payload_digest(run.name, run.cohort, *identity)


def is_complete(run: RunSnapshot) -> bool:
    """Return whether training has ended; a run without training always has."""
    return not run.metadata or "finished" in run.metadata


def started_ms(run: RunSnapshot) -> int:
    """Return the start of training, else the time of evaluation, in milliseconds since 1970."""
    return milliseconds(run.metadata.get("started")) or run.evaluated_ms


def last_ms(run: RunSnapshot) -> int:
    """Return the end of training as far as it got, else the time of evaluation."""
    end = milliseconds(run.metadata.get("finished"))
    if not run.metadata or end:
        return end or run.evaluated_ms
    return started_ms(run) + int(1000 * sum(line.get("seconds", 0.0) for line in run.history))


def run_tags(run: RunSnapshot) -> dict[str, str]:
    """Return the tags of a run: its key, and what identifies its inputs and its code."""
    metadata = run.metadata
    tags = {
        KEY_TAG: run_key(run),
        **SOURCE_TAGS,
        "cohort": run.cohort,
        "seed": metadata.get("seed"),
    }
    tags |= method_tags(metadata)
    tags["trained_on"] = metadata.get("trained_on")
    tags["saw_labels"] = ", ".join(metadata.get("saw_labels", ()))
    tags |= {key: value for key, value in metadata.items() if key.endswith("_digest")}
    tags |= _cost_tags(run)
    tags["rounding"] = "" if run.is_synthetic else ROUNDED
    if (commit := metadata.get("git_commit")) is not None:
        tags |= {"commit": commit, "mlflow.source.git.commit": commit}
    return {
        mlflow_name(key): str(value)[:TAG_LENGTH]
        for key, value in tags.items()
        if value not in (None, "")
    }


def _cost_tags(run: RunSnapshot) -> dict[str, str]:
    """Return what a run cost, once its training has ended."""
    if not is_complete(run):
        return {}
    costs = RunCosts.from_record(run.metadata)
    found = {key: getattr(costs, key) for key in _COST_TAGS}
    return {
        f"cost.{key}": f"{value:.3f}" if isinstance(value, float) else str(value)
        for key, value in found.items()
        if value is not None
    }


def method_tags(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags by which runs are grouped: their role, and how they were trained."""
    if "task" not in metadata:
        kind = "baseline" if "baseline" in metadata else "external" if metadata else "oracle"
        return {"role": kind}
    definition = metadata.get("definition", {})
    objective = definition.get("objective", {})
    return {
        "role": "model",
        "method": metadata.get("task"),
        "objective": objective.get("name") if isinstance(objective, Mapping) else objective,
        "missing_modality": definition.get("missing_modality"),
        "trained_with": definition.get("missingness"),
    }


def dataset_of(run: RunSnapshot) -> DatasetContent | None:
    """Return the store of a run as MLflow shows it; None if the run's folder names none."""
    digest = run.metadata.get("store_digest", run.dataset.get("store_digest"))
    if digest is None:
        return None
    schema, profile = {"mlflow_colspec": run.dataset.get("schema")}, run.dataset.get("profile")
    return DatasetContent(
        name=run.cohort,
        digest=str(digest)[:DIGEST_LENGTH],
        schema=json.dumps(schema, ensure_ascii=False) if run.dataset else None,
        profile=json.dumps(profile, ensure_ascii=False) if run.dataset else None,
    )


def history_points(run: RunSnapshot, *, skip: int) -> list[tuple[str, int | float, int, int]]:
    """Return name, value, time in milliseconds and step of each point of the curves.

    The times come from the folder, so that a line sent twice is the same point twice.

    Args:
        run: the run.
        skip: number of lines to leave out at the beginning.
    """
    points, seconds, curves = [], 0.0, _curves(run)
    for number, line in enumerate(run.history):
        seconds += line.get("seconds", 0.0)
        step, at = int(line.get("step", number + 1)), started_ms(run) + int(1000 * seconds)
        if number >= skip:
            points += [
                (mlflow_name(key), value, at, step) for key, value in line.items() if key in curves
            ]
    return points


def system_points(run: RunSnapshot, *, skip: int) -> list[tuple[str, float, int, int]]:
    """Return name, value, time in milliseconds and step of the system metrics of each epoch.

    They are those of the process and its GPUs: means of the epoch, and the peak of memory so far.

    Args:
        run: the run.
        skip: number of epochs to leave out at the beginning.
    """
    RunCosts.from_record(run.metadata)  # refuses lists of another form
    lists, points, seconds = run.metadata.get(COSTS, {}).get(EPOCH_COSTS, {}), [], 0.0
    for number, line in enumerate(run.history):
        seconds += line.get("seconds", 0.0)
        step, at = int(line.get("step", number + 1)), started_ms(run) + int(1000 * seconds)
        spent = {key: values[number] for key, values in lists.items() if number < len(values)}
        for name, (key, divisor, factor) in _SYSTEM_CURVES.items():
            total = 1.0 if divisor is None else spent.get(divisor, 0.0)
            if number >= skip and key in spent and total > 0:
                points.append((name, factor * spent[key] / total, at, step))
    return points


def system_names(run: RunSnapshot) -> frozenset[str]:
    """Return the names of the system metrics of a run."""
    return frozenset(name for name, *_ in system_points(run, skip=0))


def curve_names(run: RunSnapshot) -> frozenset[str]:
    """Return MLflow's names of the curves of a run."""
    return frozenset(map(mlflow_name, _curves(run)))


def _curves(run: RunSnapshot) -> list[str]:
    """Return the keys of at most six curves: those that begin first, in the order of `_CURVES`.

    A curve that begins later never takes the place of one that was sent.
    """
    curves: list[str] = []
    for line in run.history:
        new = [key for kind in _CURVES for key in line if _is_curve(key, kind)]
        curves += [key for key in new if key not in curves]
    return curves[:MOST_CURVES]


def _is_curve(key: str, kind: str) -> bool:
    return key == kind or (kind.endswith("/") and key.startswith(kind))


def flatten_parameters(metadata: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten `run.toml`, without what identifies the run or changes with time: that is a tag."""
    pairs = []
    for key, value in metadata.items():
        if not prefix and key == COSTS:
            continue
        if isinstance(value, Mapping):
            pairs += flatten_parameters(value, f"{prefix}{key}.")
        elif prefix or not (key in ("started", "finished", "git_commit") or "_digest" in key):
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            if len(text) > PARAMETER_LENGTH:
                text = text[: PARAMETER_LENGTH - 24] + "… (whole: run.toml)"
            pairs.append((mlflow_name(prefix + key), text))
    return pairs


def mlflow_name(name: str, *, end: str = "") -> str:
    """Return a name that MLflow accepts; different names stay different.

    MLflow accepts letters of any script, digits and `_ - . space : /`. Any other character, and the
    colon, becomes a word between colons, as do the dots of a part that has nothing else or begins
    with two of them (MLflow takes these for a path), and the dot of a name that itself ends in
    `.low` or `.high`. A name that is too long ends in its digest.

    >>> mlflow_name("retrieval/x/mcar-50@at-least-one/recall_at_1")
    'retrieval/x/mcar-50:at:at-least-one/recall_at_1'
    >>> mlflow_name("auroc/größe<2", end=".low")
    'auroc/größe:lt:2.low'

    Args:
        name: the name.
        end: what follows it and is never cut, such as `.low`.
    """
    accepted = _OUR_END.sub(r":dot:\1", "/".join(map(_accepted_part, name.split("/"))))
    if len(accepted + end) > NAME_LENGTH:
        accepted = f"{accepted[: NAME_LENGTH - 18 - len(end)]}::{payload_digest(name)[:16]}"
    return accepted + end


def _accepted_part(part: str) -> str:
    """Return what stands between two slashes as MLflow accepts it."""
    rest = part.lstrip(".")
    dots = len(part) - len(rest)
    words = f":{dots}-dots:" if dots > 1 or not rest else "." * dots
    return words + re.sub(r"[^\w\-. ]", _escape, rest)


def _escape(found: re.Match[str]) -> str:
    """Return a word between colons for a character that MLflow does not accept."""
    return f":{_ESCAPES.get(found[0], f'u{ord(found[0]):x}')}:"


def milliseconds(time: Any) -> int:
    """Return a time in milliseconds since 1970; 0 for None."""
    if time is None:
        return 0
    moment = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
    return int(1000 * moment.timestamp())
