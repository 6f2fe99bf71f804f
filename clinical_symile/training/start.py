"""Start a training from the weights of a run, as a task's `start` says.

Encoders and their normalization must be those of the run. The parameters of the objective are taken
too if the objective has the same name and its parameters have the same shapes; otherwise they begin
anew, and so do vectors of missing modalities that the run does not have. The record of the new run
says which.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clinical_symile.config.component import WEIGHTS
from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.external.training_inputs import read_inputs
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.hashing import file_sha256
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights
from clinical_symile.training.learner import Learner

_NEEDED = ("task", "definition", "cohort", "store_digest", "finished")
# What must be the same in the run; encoders too.
_SAME = ("modalities", "dim", "norm")
# What must be the same of each modality in the store; units too.
_SAME_INPUTS = ("adapter", "shape", "parts", "unit")
_MODEL, _OBJECTIVE, _VECTORS = "model.", "objective.", "model.missing_modality."


def start_record(task: Pretraining, store: CohortStore) -> dict[str, Any]:
    """Check the run that a task starts from; return what the new run's record says of it.

    Returns:
        An empty mapping for a task that starts anew. Otherwise the table `start`, and `saw_labels`
        if the training of the run, or of this one, read labels.

    Raises:
        DataError: there is no finished run that was trained, or it or a run before it was trained
            on another store of the same cohort, whose train split may hold samples that this one
            evaluates; or see `read_inputs`.
        DefinitionError: its modalities, widths or encoders are others, or read other inputs; or
            there is none, and the missing-modality method needs one.
    """
    if task.start is None:
        if missing_modality_method(task.missing_modality).needs_start:
            raise DefinitionError(
                f"task '{task.name}': missing_modality '{task.missing_modality}' adapts trained "
                "encoders, and the task names no run that they are from. Name a finished run of "
                'the same modalities and encoders, such as start = "runs/symile-0".',
                code="CS-F031",
            )
        return {}
    run = Run(Path(task.start))
    record = _checked_record(task, run, store)
    problems = _differences(task, _task_of(run), run) or _input_differences(task, run, store)
    if problems:
        raise DefinitionError(*problems, code="CS-F027")
    own = task.labels_read(store.outcomes)
    labels = list(dict.fromkeys([*record.get("saw_labels", ()), *own]))
    start = {
        "run": run.path.resolve().name,  # not its path, which must not leave the machine
        "task": record["task"],
        "weights_sha256": file_sha256(run.weights),
        "trained_on": _trained_on(record),
    }
    return {"start": start, **({"saw_labels": labels} if labels else {})}


def ancestors(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return cohort and store digest of each run that a run's weights come from, latest first."""
    return list(record.get("start", {}).get("trained_on", ()))


def trained_on_another_store(
    trained_on: Iterable[Mapping[str, str]], store: CohortStore
) -> str | None:
    """Return the digest of another store of the same cohort that weights come from; else None.

    Args:
        trained_on: cohort and store digest of each training of the weights.
        store: the store to train or to evaluate on.
    """
    digests = [one["store_digest"] for one in trained_on if one["cohort"] == store.cohort]
    return next((digest for digest in digests if digest != store.digest), None)


def started_weights(task: Pretraining) -> str | None:
    """Return the SHA-256 of the weights that a task starts from; None if they are not there."""
    if task.start is None or not (weights := Run(Path(task.start)).weights).is_file():
        return None
    return file_sha256(weights)


def load_start(learner: Learner, task: Pretraining) -> list[str]:
    """Load the weights of the run that a task starts from; return what begins anew.

    Args:
        learner: new weights, which are replaced.
        task: names the run, which `start_record` has checked.

    Returns:
        `objective` or `missing_modality`, where the run has no parameters that fit.

    Raises:
        DefinitionError: the run's encoders have weights of other shapes, or it has another
            objective, whose parameters the missing-modality method would not train.
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
    if "objective" in anew and learner.model.encodes_by_set:
        raise DefinitionError(
            f"task '{task.name}': start: {run.path} has no parameters of the objective "
            f"'{task.objective.name}', which missing_modality '{task.missing_modality}' keeps as "
            "they are. Start from a run with this objective.",
            code="CS-F027",
        )
    # Not strict: what `anew` names keeps its new weights. The rest was checked above by its name.
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
    if other := trained_on_another_store(_trained_on(record), store):
        raise DataError(
            f"{where}: {run.path} has weights that were trained on store {other} of cohort "
            f"'{store.cohort}', by itself or by a run that it started from; this is store "
            f"{store.digest}, whose tuning and held-out subjects may have been in that training. "
            "Start from a run on this store, or from runs on cohorts of other names.",
            code="CS-R006",
        )
    return record


def _trained_on(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return cohort and store digest of a run and of its ancestors."""
    own = {"cohort": record["cohort"], "store_digest": record["store_digest"]}
    return [own, *(one for one in ancestors(record) if one != own)]


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


def _input_differences(task: Pretraining, run: Run, store: CohortStore) -> list[str]:
    """Return how the inputs that a run's encoders read differ from the store's, with what to do."""
    inputs = read_inputs(run.path, store_digest=run.metadata["store_digest"])
    manifest, problems = store.manifest, list[str]()
    for name in task.modalities:
        if name not in store.modalities:
            continue  # the training view says so
        had, own = inputs["modalities"].get(name, {}), manifest["modalities"][name]
        fields = [(key, had.get(key), own[key]) for key in _SAME_INPUTS]
        fields.append(("units", inputs["units"].get(name), manifest["units"].get(name)))
        problems += [
            f"task '{task.name}': start: the encoders of {run.path} read {name} with {what} = "
            f"{before}; this store has {now}, and their weights would mean something else. Prepare "
            "the store like that of the run, with the same panel in the same order, or start from "
            "another run."
            for what, before, now in fields
            if before != now
        ]
    return problems


def _encoder(named: EncoderConfig) -> dict[str, Any]:
    """Return an encoder without the file that its first weights came from."""
    arguments = {key: value for key, value in named.arguments.items() if key != WEIGHTS}
    adapter = None if named.adapter is None else named.adapter.model_dump()
    return {"name": named.name, "frozen": named.frozen, "adapter": adapter, **arguments}


def _fits(name: str, own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    return name in own and name in found and own[name].shape == found[name].shape


def _shape(weights: Mapping[str, Tensor], name: str) -> str:
    return f"shape {list(weights[name].shape)}" if name in weights else "no weights"
