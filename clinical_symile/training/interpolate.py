"""Interpolate between the weights of a run and those of a run that started from it (WiseFT).

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
https://arxiv.org/abs/2109.01903.
"""

from typing import Any

import torch
from torch import Tensor

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.external.training_inputs import INPUTS_FILE, write_inputs
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.files import lock_folder
from clinical_symile.hashing import file_sha256
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.checksums import CHECKSUMS_FILE, check_folder
from clinical_symile.tracking.provenance import now
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights, save_weights
from clinical_symile.training.learner import load_learner
from clinical_symile.training.run_record import new_record

# What a folder holds if writing it was cut short: it is written again.
_WRITTEN_FIRST = {"model.safetensors", INPUTS_FILE, CHECKSUMS_FILE}


def interpolate_weights(before: Tensor, after: Tensor, alpha: float) -> Tensor:
    """Return (1 - alpha) · before + alpha · after; at 0 and 1 the end itself, to the bit.

    Counters, which are whole numbers, are those of the nearer end.

    Args:
        before: weights of the first run.
        after: weights of the second run, of the same shape.
        alpha: the share of the second run, from 0 to 1.
    """
    if alpha in (0, 1) or not before.is_floating_point():
        return (after if alpha >= 0.5 else before).clone()
    return torch.lerp(before, after, alpha)


def write_interpolated_run(
    first: Run, second: Run, alpha: float, *, store: CohortStore, run: Run
) -> Run:
    """Write a run whose weights lie between two runs; a finished one is returned unchanged.

    All weights are interpolated: encoders, objective, learned vectors, and the running statistics
    of batch normalisation, which are not estimated again. The share is in the name of the run's
    task, so that it is a method of its own.

    Args:
        first: the run that the second started from.
        second: the run that was trained further, as its task's `start` says.
        alpha: the share of the second run, from 0 to 1.
        store: the store that both were trained on.
        run: the folder of the new run.

    Raises:
        DefinitionError: alpha is not from 0 to 1, or the two have weights of other names or shapes.
        DataError: a run is not finished, its weights do not fit its task, the second did not start
            from the first, the store is another one, or the folder has another run.
    """
    if not 0 <= alpha <= 1:
        raise DefinitionError(
            f"alpha is {alpha}; expected a share from 0 to 1. Give another one.", code="CS-F020"
        )
    check_run_name(run.name, where=str(run.path), advice="Give another --name.")
    for one in (first, second):
        check_folder(one.path)
    _check_start(first, second, store)
    sources = {"alpha": float(alpha), "first": first.name, "second": second.name}
    sources |= {
        f"{name}_sha256": file_sha256(one.weights)
        for name, one in (("first", first), ("second", second))
    }
    metadata = second.metadata
    task = parse_task(metadata["definition"], name=metadata["task"], where=str(second.path))
    assert isinstance(task, Pretraining)
    task = task.model_copy(update={"name": f"{task.name}-wiseft-{100 * alpha:g}"})
    learner = load_learner(second, task, store)
    _load(learner, first, second, alpha)
    record: dict[str, Any] = {
        **new_record(run, task, store, seed=metadata["seed"]),
        **{key: metadata[key] for key in ("saw_labels", "start", "encoders") if key in metadata},
        "interpolated": sources,
        "finished": now(),
    }
    with lock_folder(run.path):
        if run.is_finished and run.metadata.get("interpolated") == sources:
            return run
        if run.path.exists() and not {one.name for one in run.path.iterdir()} <= _WRITTEN_FIRST:
            raise DataError(
                f"{run.path}: holds another run. Give another --out or --name, or remove it.",
                code="CS-R002",
            )
        save_weights(learner, run)
        write_inputs(run.path, store)
        run.write_metadata(record)  # last: it says that the run is finished
    return run


def _check_start(first: Run, second: Run, store: CohortStore) -> None:
    """Refuse runs that are not finished, of other stores, or not one the start of the other."""
    for one in (first, second):
        if not one.weights.is_file() or "finished" not in one.metadata:
            raise DataError(
                f"{one.path}: is not a finished run of `clinical-symile train`. Finish its "
                "training, or name another run.",
                code="CS-R005",
            )
        if one.metadata.get("store_digest") != store.digest:
            raise DataError(
                f"{one.path}: was trained on another store than {store.path}. Give the store that "
                "both runs were trained on.",
                code="CS-R006",
            )
    start = second.metadata.get("start", {}).get("weights_sha256")
    if start != file_sha256(first.weights):
        raise DataError(
            f"{second.path}: did not start from the weights of {first.path}; expected a run whose "
            "task names that run as `start`. Between runs that were trained apart, weights mean "
            "nothing. Name the run that it started from.",
            code="CS-R005",
        )


def _load(learner: torch.nn.Module, first: Run, second: Run, alpha: float) -> None:
    """Load interpolated weights, all of them, into the learner of the second run.

    Raises:
        DefinitionError: the runs have weights of other names or shapes.
    """
    before, after = load_weights(first), load_weights(second)
    wrong = [
        name
        for name in sorted(before.keys() | after.keys())
        if name not in before or name not in after or before[name].shape != after[name].shape
    ]
    if wrong:
        raise DefinitionError(
            f"{first.path} and {second.path} have other weights '{wrong[0]}'; expected the same "
            "names and shapes. Interpolate between runs of the same objective, encoders and "
            "missing-modality method.",
            code="CS-F027",
        )
    mixed = {name: interpolate_weights(before[name], after[name], alpha) for name in after}
    learner.load_state_dict(mixed)
