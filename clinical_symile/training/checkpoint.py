"""What an epoch leaves behind: the chosen weights, and all it takes to go on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clinical_symile.tracking.run import Run

# Beginnings of weights' names in version 0.1, and their names since.
_RENAMED_WEIGHTS = {"model.slots.": "model.missing_modality."}


def save_epoch(
    run: Run,
    learner: nn.Module,
    optimiser: Any,
    history: Sequence[Mapping[str, Any]],
    *,
    best: bool,
) -> None:
    """Write an epoch: weights, the optimiser's moments and, last, the history that counts them.

    Args:
        run: where to.
        learner: its weights become the run's if `best`.
        optimiser: a `torch.optim` optimiser.
        history: one entry per epoch, the new one last.
        best: whether this epoch's weights are the ones to keep.
    """
    weights = learner.state_dict()
    if best:
        _save(weights, run.weights)
    moments = {
        f"optimiser.{index}.{key}": torch.as_tensor(value)
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
    }
    folder = run.path / "last"
    folder.mkdir(exist_ok=True)
    state = folder / f"{len(history)}.safetensors"
    _save({**{f"learner.{name}": value for name, value in weights.items()}, **moments}, state)
    run.write_history(history)
    for path in folder.glob("*.safetensors"):
        if path != state:
            path.unlink()


def save_weights(learner: nn.Module, run: Run) -> None:
    """Make a learner's weights those that the run keeps."""
    _save(learner.state_dict(), run.weights)


def load_weights(run: Run) -> dict[str, Tensor]:
    """Load the weights that a run keeps, under today's names."""
    return {_current_name(name): tensor for name, tensor in load_file(run.weights).items()}


def resume(run: Run, learner: nn.Module, optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Load what was after the last whole epoch; the history that led there, empty at the start."""
    history = run.history
    if not history:
        return []
    weights, moments = {}, {}
    for name, tensor in load_file(run.path / "last" / f"{len(history)}.safetensors").items():
        kind, _, rest = name.partition(".")
        if kind == "learner":
            weights[rest] = tensor
        else:
            index, _, key = rest.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
    learner.load_state_dict(weights)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    return history


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, partial)
    partial.replace(path)


def _current_name(name: str) -> str:
    """Return the name of a weight; those of version 0.1 are translated."""
    for old, new in _RENAMED_WEIGHTS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
