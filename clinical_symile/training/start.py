"""Start a training from the weights of a run, as a task's `start` says.

Encoders and their normalization must be those of the run. The parameters of the objective are taken
too if the objective has the same name and its parameters have the same shapes; otherwise they begin
anew, and so do vectors of missing modalities that the run does not have. The record of the new run
says which.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clinical_symile.config.component import ComponentConfig
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.hashing import file_sha256
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights
from clinical_symile.training.learner import Learner

_NEEDED = ("task", "definition", "cohort", "store_digest", "finished")
# What must be the same in the run; encoders too.
_SAME = ("modalities", "dim", "norm")
_MODEL, _OBJECTIVE, _VECTORS = "model.", "objective.", "model.missing_modality."


def start_record(task: Pretraining, store: CohortStore) -> dict[str, Any]:
    """Check the run that a task starts from; return what the new run's record says of it.

    Returns:
        An empty mapping for a task that starts anew. Otherwise the table `start`, and `saw_labels`
        if the training of the run, or of this one, read labels.

    Raises:
        DataError: there is no finished run that was trained, or it was trained on another store of
            the same cohort, whose train split may hold samples that this one evaluates.
        DefinitionError: its modalities, widths or encoders are others.
    """
    if task.start is None:
        return {}
    run = Run(Path(task.start))
    record = _checked_record(task, run, store)
    if problems := _differences(task, _task_of(run), run):
        raise DefinitionError(*problems, code="CS-F027")
    own = task.side.labels if task.side is not None else ()
    labels = list(dict.fromkeys([*record.get("saw_labels", ()), *own]))
    start = {
        "run": str(run.path),
        "task": record["task"],
        "weights_sha256": file_sha256(run.weights),
        "store_digest": record["store_digest"],
    }
    return {"start": start, **({"saw_labels": labels} if labels else {})}


def load_start(learner: Learner, task: Pretraining) -> list[str]:
    """Load the weights of the run that a task starts from; return what begins anew.

    Args:
        learner: new weights, which are replaced.
        task: names the run, which `start_record` has checked.

    Returns:
        `objective` or `missing_modality`, where the run has no parameters that fit.

    Raises:
        DefinitionError: the run's encoders have weights of other shapes.
    """
    assert task.start is not None
    run = Run(Path(task.start))
    found, own = load_weights(run), learner.state_dict()
    needed = [name for name in own if name.startswith(_MODEL) and not name.startswith(_VECTORS)]
    extra = [name for name in found if name.startswith(_MODEL) and not name.startswith(_VECTORS)]
    wrong = [name for name in {*needed, *extra} if not _fits(name, own, found)]
    if wrong:
        first = min(wrong)
        raise DefinitionError(
            f"task '{task.name}': start: {run.path} has {_shape(found, first)} for '{first}'; "
            f"expected {_shape(own, first)}. Its store or its objective gives encoders of other "
            "shapes: start from a run of the same modalities, or leave start out.",
            code="CS-F027",
        )
    taken, anew = {name: found[name] for name in needed}, []
    same = _task_of(run).objective.name == task.objective.name
    for prefix, what, wanted in (
        (_VECTORS, "missing_modality", True),
        (_OBJECTIVE, "objective", same),
    ):
        names = [name for name in own if name.startswith(prefix)]
        if wanted and all(_fits(name, own, found) for name in names):
            taken |= {name: found[name] for name in names}
        elif names:
            anew.append(what)
    learner.load_state_dict(taken, strict=False)
    return anew


def _checked_record(task: Pretraining, run: Run, store: CohortStore) -> dict[str, Any]:
    """Return the record of a finished, trained run whose subjects this store may train on.

    Raises:
        DataError: it is not such a run.
    """
    where = f"task '{task.name}': start"
    record = run.metadata
    missing = [key for key in _NEEDED if key not in record]
    if missing or not run.weights.is_file():
        raise DataError(
            f"{where}: {run.path} is not a finished run of `clinical-symile train` (it has no "
            f"{', '.join(missing) or run.weights.name}). Name one, or finish its training.",
            code="CS-R005",
        )
    if record["cohort"] == store.cohort and record["store_digest"] != store.digest:
        raise DataError(
            f"{where}: {run.path} was trained on store {record['store_digest']} of cohort "
            f"'{store.cohort}'; this is store {store.digest}, whose tuning and held-out subjects "
            "may have been in its training. Start from a run on this store, or on a cohort of "
            "another name.",
            code="CS-R006",
        )
    return record


def _task_of(run: Run) -> Pretraining:
    """Return the task that a run was trained on."""
    record, where = run.metadata, str(run.path / "run.toml")
    task = parse_task(record["definition"], name=record["task"], where=where)
    assert isinstance(task, Pretraining)
    return task


def _differences(task: Pretraining, before: Pretraining, run: Run) -> list[str]:
    """Return how the model of a run differs from the task's, with what to do."""
    fields = [(name, getattr(before, name), getattr(task, name)) for name in _SAME]
    shared = [name for name in task.modalities if name in before.encoders]
    fields += [
        (f"encoders.{name}", _encoder(before.encoders[name]), _encoder(task.encoders[name]))
        for name in shared
    ]
    return [
        f"task '{task.name}': start: {run.path} (task '{before.name}') has {what} = {had}; "
        f"expected {wants}, as in this task. Set {what} to that of the run, or start from another "
        "run."
        for what, had, wants in fields
        if had != wants
    ]


def _encoder(named: ComponentConfig) -> dict[str, Any]:
    """Return an encoder without the file that its first weights came from."""
    arguments = {key: value for key, value in named.arguments.items() if key != "weights"}
    return {"name": named.name, **arguments}


def _fits(name: str, own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    return name in own and name in found and own[name].shape == found[name].shape


def _shape(weights: Mapping[str, Tensor], name: str) -> str:
    return f"shape {list(weights[name].shape)}" if name in weights else "no weights"
