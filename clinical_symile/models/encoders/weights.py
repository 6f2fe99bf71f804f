"""Read weights from a local file, check its digest, and load them into a network."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clinical_symile.errors import DefinitionError
from clinical_symile.hashing import file_sha256

# A file of weights, or the tensors that a run kept of an encoder.
WeightSource = str | Mapping[str, Tensor]

_DOWNLOAD = "Nothing is downloaded: download it yourself."
# The files of a folder that are weights or say how they are used.
FOLDER_FILES = ("*.json", "*.safetensors")
_ENCODERS = "model.encoders."  # names of a run's weights begin so


def weights_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, or of what `sha256sum` prints of a folder's files.

    Of a folder it is that of the output of `sha256sum *.json *.safetensors`, in the order of bytes
    of the names.
    """
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(file for pattern in FOLDER_FILES for file in path.glob(pattern))
    lines = "".join(f"{file_sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def check_weights(path: Path, sha256: str | None) -> None:
    """Refuse a file or folder of weights that is missing or not the one of the digest.

    Args:
        path: the file or folder.
        sha256: the digest that a task states; None for any file.

    Raises:
        DefinitionError: there is no such file, or it has another digest.
    """
    if not path.exists():
        raise DefinitionError(
            f"weights '{path}': no such file; expected a local file of weights. {_DOWNLOAD}",
            code="CS-M024",
        )
    if sha256 is None:
        return
    found = weights_sha256(path)
    if found != sha256:
        raise DefinitionError(
            f"weights '{path}': have the SHA-256 {found}; expected {sha256}, as the task says. Get "
            "the file again, or correct sha256 if this is the file that you mean.",
            code="CS-M028",
        )


def read_tensors(path: Path, *, may_be_torch: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Args:
        path: a safetensors file.
        may_be_torch: a file of PyTorch's format may be read too, without the code in it.

    Raises:
        DefinitionError: the file is missing or no such file.
    """
    check_weights(path, None)
    try:
        if path.suffix == ".safetensors" or not may_be_torch:
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError) as error:
        form = ", or PyTorch's format without code" if may_be_torch else ""
        raise DefinitionError(
            f"weights '{path}': not a file of weights; expected safetensors{form}. Convert or "
            f"replace it. ({type(error).__name__})",
            code="CS-M024",
        ) from error


def fit_tensors(
    network: nn.Module, found: Mapping[str, Tensor], *, leave: Sequence[str] = (), where: str
) -> None:
    """Load tensors into a network, all of which must fit.

    Args:
        network: is changed.
        found: the tensors by name.
        leave: beginnings of names that may be missing or differ, and are not loaded.
        where: the file, for messages.

    Raises:
        DefinitionError: a tensor is missing, unknown or of another shape.
    """
    own = network.state_dict()
    found = {name: tensor for name, tensor in found.items() if not name.startswith((*leave,))}
    wrong = [
        name
        for name in sorted(own.keys() | found.keys())
        if not name.startswith((*leave,))
        and (name not in own or name not in found or own[name].shape != found[name].shape)
    ]
    if wrong:
        raise DefinitionError(
            f"{where}: do not fit the network; {len(wrong)} keys differ, such as '{wrong[0]}'. Use "
            "weights of the same architecture and settings.",
            code="CS-M024",
        )
    # Not strict: what `leave` names keeps its new weights. All other names were compared above.
    network.load_state_dict(found, strict=False)


def of_one_encoder(found: Mapping[str, Tensor], *, like: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the encoder in a run's weights that is like a network, by its names.

    Tensors of a file of another kind are returned as they are.
    """
    own = like.state_dict().keys()
    names = {name.removeprefix(_ENCODERS).partition(".")[0] for name in found if _ENCODERS in name}
    for modality in sorted(names):
        prefix = f"{_ENCODERS}{modality}."
        part = {n.removeprefix(prefix): t for n, t in found.items() if n.startswith(prefix)}
        if part.keys() == own:
            return part
    return dict(found)


def as_buffer(content: bytes) -> Tensor:
    """Return bytes as a tensor, which a run keeps with its weights."""
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())


def from_buffer(tensor: Tensor) -> bytes:
    """Return the bytes of such a tensor."""
    return tensor.cpu().numpy().tobytes()


def read_json_object(path: Path) -> dict[str, object]:
    """Read a JSON file beside weights.

    Raises:
        DefinitionError: it is missing, or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DefinitionError(
            f"{path}: cannot be read as JSON ({type(error).__name__}); expected the file that "
            f"belongs to the weights. {_DOWNLOAD}",
            code="CS-M024",
        ) from error
    if not isinstance(content, dict):
        raise DefinitionError(
            f"{path}: holds no JSON object; expected one. Get the file again.", code="CS-M024"
        )
    return content
