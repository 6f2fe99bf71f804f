"""Read checkpoints that Lightning wrote as weights and settings, without running code in them."""

import pickle
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clinical_symile.errors import DataError


@dataclass(frozen=True, repr=False)
class LightningFile:
    """The content of a checkpoint.

    Attributes:
        weights: weights by name, mapped from disk.
        settings: the hyperparameters of the model; paths are text.
        epoch: the epoch in which it was written.
    """

    weights: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    epoch: int


def _path(*parts: str) -> str:
    return "/".join(parts)


# Types in settings besides numbers and text. Paths may be another system's and become text.
_HARMLESS: list[Any] = [
    Namespace,
    *(
        (_path, f"{module}.{kind}")
        for module in ("pathlib", "pathlib._local")
        for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    ),
]


def read_lightning_file(file: Path) -> LightningFile:
    """Read a checkpoint.

    Args:
        file: a file that `torch.save` wrote.

    Raises:
        DataError: the file is missing, has code in it, or is no checkpoint of Lightning.
    """
    if not file.is_file():
        raise DataError(
            f"{file}: no such file; expected a checkpoint that Lightning wrote.", code="CS-M025"
        )
    with torch.serialization.safe_globals(_HARMLESS):
        try:
            content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        except pickle.UnpicklingError:
            raise DataError(_refusal(file), code="CS-M025") from None
        except (RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
            raise DataError(
                f"{file}: cannot be read as a checkpoint ({type(error).__name__}); expected the "
                "archive that torch.save writes. Was its download cut off? Get the file again.",
                code="CS-M025",
            ) from None
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise DataError(
            f"{file}: has no 'state_dict' of weights; expected a checkpoint that Lightning wrote.",
            code="CS-M025",
        )
    settings = content.get("hyper_parameters", {})
    settings = vars(settings) if isinstance(settings, Namespace) else settings
    return LightningFile(weights, settings, int(content.get("epoch", 0)))


def _refusal(file: Path) -> str:
    """Return the error message for a file with other content than weights and settings."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    except Exception:  # it may be malformed on purpose, and is refused already
        names = []
    found = f"names {', '.join(sorted(names)[:5])}" if names else "is not as torch.save writes it"
    return (
        f"{file}: {found}; expected weights and settings only. Loading the rest could run code; "
        "nothing was run. Use a file from a source that you trust, or save its weights again."
    )
