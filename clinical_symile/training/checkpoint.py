"""Checkpoints: the best weights, and the state that training resumes from."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clinical_symile.errors import DataError
from clinical_symile.files import remove_file, write_file
from clinical_symile.tracking.checksums import check_content
from clinical_symile.tracking.run import Run

# Parts of a learner whose state may be only for training.
_TEACHER, _OBJECTIVE = "teacher.", "objective."
# Prefixes of weight names in version 0.1, and their current names.
_RENAMED_WEIGHTS = {"model.slots.": "model.missing_modality."}
_SETS = re.compile(r"(model\.encoders\..+\.)values\.2\.weight")  # of the labs encoder `sets`


def save_epoch(
    run: Run,
    learner: nn.Module,
    optimiser: Any,
    history: Sequence[Mapping[str, Any]],
    *,
    best: bool,
) -> None:
    """Write an epoch: its weights, the optimiser's state and, last, the history.

    Args:
        run: the run's folder.
        learner: its weights become the run's weights if `best`.
        optimiser: a `torch.optim` optimiser.
        history: one entry per epoch, the new one last.
        best: True if this epoch's weights are the best so far.
    """
    weights = _weights(learner)
    if best:
        save_tensors(weights, run.weights)
    moments = {
        f"optimiser.{index}.{key}": torch.as_tensor(value)
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
    }
    folder = run.path / "last"
    state = folder / f"{len(history)}.safetensors"
    parts = {f"learner.{name}": value for name, value in weights.items()}
    parts |= {f"training.{name}": value for name, value in _training_state(learner).items()}
    save_tensors({**parts, **moments}, state)
    run.write_history(history)
    for path in folder.glob("*.safetensors"):
        if path != state:
            remove_file(path)


def save_weights(learner: nn.Module, run: Run) -> None:
    """Write a learner's weights as the run's weights."""
    save_tensors(_weights(learner), run.weights)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name as safetensors; those of a shared network once for each name."""
    whole: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        # The file's format refuses tensors of one memory, such as those of a shared network.
        whole[name] = own.clone() if place in places else own
        places.add(place)
    write_file(path, lambda file: save_file(whole, file))


def load_weights(run: Run) -> dict[str, Tensor]:
    """Load the weights of a run under their current names.

    The labs encoder `sets` of versions up to 0.2.6 read percentiles as they are, and kept no scale.

    Raises:
        DataError: the file was changed since it was written.
    """
    check_content(run.weights, run.path)
    found = {_current_name(name): tensor for name, tensor in load_file(run.weights).items()}
    for stem in [match[1] for name in found if (match := _SETS.fullmatch(name))]:
        if f"{stem}analytes" in found and f"{stem}start" in found:
            found.setdefault(f"{stem}read_as", torch.tensor([0.0, 1.0]))
    return found


def resume(run: Run, learner: nn.Module, optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Load the state after the last complete epoch; return the history, empty for a new run.

    Raises:
        DataError: the state is missing, was changed, or is of another model.
    """
    history = run.history
    if not history:
        return []
    file = run.path / "last" / f"{len(history)}.safetensors"
    check_content(file, run.path)
    try:
        _load_state(file, learner, optimiser)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{file}: cannot be read as the state after epoch {len(history)} "
            f"({type(error).__name__}). Remove the run's folder and train again.",
            code="CS-R004",
        ) from error
    return history


def _load_state(file: Path, learner: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    weights, moments, only_training = {}, {}, {}
    for name, tensor in load_file(file).items():
        kind, _, rest = name.partition(".")
        if kind == "learner":
            weights[rest] = tensor
        elif kind == "training":
            only_training[rest] = tensor
        else:
            index, _, key = rest.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
    state = _training_state(learner)
    if state.keys() != only_training.keys():
        raise ValueError("the state that is only for training is of another objective.")
    for name, tensor in state.items():
        if tensor.shape != only_training[name].shape:
            raise ValueError("the state that is only for training has another shape.")
        tensor.copy_(only_training[name])
    if weights.keys() != _weights(learner).keys():
        raise ValueError("the weights are of another model.")
    # Not strict: the teacher is loaded above. All other names were compared just before.
    learner.load_state_dict(weights, strict=False)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    _lay_out_moments(optimiser)


def _lay_out_moments(optimiser: torch.optim.Optimizer) -> None:
    """Give the moments of each parameter its order in memory, which a file does not keep.

    Fused AdamW reads both in the order of memory: with channels last in the parameter alone, it
    would take the moments of other weights.
    """
    for parameter, state in optimiser.state.items():
        for key, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _weights(learner: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a learner without those of its teacher."""
    named = learner.state_dict()
    return {name: tensor for name, tensor in named.items() if not name.startswith(_TEACHER)}


def _training_state(learner: nn.Module) -> dict[str, Tensor]:
    """Return what only training has: the teacher, and buffers of the objective that are not saved.

    The teacher's buffers are copies of the encoders' and are left out.
    """
    saved = learner.state_dict().keys()
    state = {name: b for name, b in learner.named_buffers() if name.startswith(_OBJECTIVE)}
    state = {name: buffer for name, buffer in state.items() if name not in saved}
    slow = {name: p for name, p in learner.named_parameters() if name.startswith(_TEACHER)}
    return {name: tensor.detach() for name, tensor in {**state, **slow}.items()}


def _current_name(name: str) -> str:
    """Return the current name of a weight of this version or of version 0.1."""
    for old, new in _RENAMED_WEIGHTS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
