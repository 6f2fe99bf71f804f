"""Compute the features of frozen encoders once per store, and keep them beside it.

The folder `<store>.features` has a file for each modality and digest. The digest is that of the
encoder's definition and frozen weights, of the modality in the store, of the device and of the
versions of the packages that compute features. The store itself is only read. A file counts only
if its checksum is known and right, so that half a file is none.
"""

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from clinical_symile import __version__
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.files import (
    FolderBusyError,
    FolderHeldByParentError,
    lock_folder,
    write_file,
)
from clinical_symile.formatting import format_duration
from clinical_symile.hashing import digest_of
from clinical_symile.models.adapters.base import FrozenEncoder
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.checksums import changed_files, read_checksums
from clinical_symile.tracking.progress import log_line

_FOLDER, _ARRAY = ".features", "features"
_PACKAGES = ("torch", "torchvision", "monai", "timm", "transformers", "onnxruntime")
_ROWS_AT_A_TIME = 64
# When a line first says how far it is, and how often another one does.
_FIRST_LINE_S, _NEXT_LINE_S = 5.0, 60.0
_PAUSE_S = 30.0  # the longest wait for another process between two calls of `pause`


def reasons_to_encode(task: Pretraining, objective: Objective) -> dict[str, str]:
    """Return why a training encodes modalities in each step, although an encoder is frozen.

    Args:
        task: may augment modalities or train in double precision.
        objective: may change inputs.
    """
    if type(objective).views is not Objective.views:
        return dict.fromkeys(task.modalities, "the objective encodes changed inputs")
    if task.precision == "64-true":
        return dict.fromkeys(task.modalities, "they are kept in float32, and the task trains in 64")
    return dict.fromkeys(task.augment, "its inputs are augmented")


def with_features(
    store: CohortStore,
    model: MultimodalEncoder,
    *,
    device: torch.device | str = "cpu",
    without: Mapping[str, str] | None = None,
    pause: Callable[[], object] = lambda: None,
) -> CohortStore:
    """Return a store that holds features in place of the measurements of frozen encoders.

    A line on standard error says for each frozen encoder whether its features were kept before, are
    computed now, or are not used, and why. While they are computed, a line each minute says how
    many are there and about how long the others take.

    Args:
        store: a prepared cohort.
        model: its frozen encoders read features in place of measurements.
        device: where features are computed.
        without: the reason why a modality is read as measured, by modality.
        pause: called between the parts of a long computation, and while another process has the
            features' folder, at least each half minute.
    """
    device = torch.device(device)
    for name, encoder in model.encoders.items():
        if not isinstance(encoder, FrozenEncoder):
            continue
        why = (without or {}).get(name) or _why_not(store, model, name, encoder)
        if why:
            log_line(f"{name}: features of the frozen encoder are computed in each step: {why}")
        else:
            store = _replaced(store, name, _features(store, name, encoder, device, pause))
    return store


def features_folder(store: CohortStore) -> Path:
    """Return the folder of the features of a store; it may not exist."""
    path = store.path.resolve()
    return path.with_name(path.name + _FOLDER)


def features_digest(
    store: CohortStore,
    modality: str,
    encoder: FrozenEncoder,
    *,
    device: torch.device | str = "cpu",
) -> str:
    """Compute the digest of what the features of a modality depend on.

    Args:
        store: a prepared cohort.
        modality: the modality that the encoder reads.
        encoder: computes the features.
        device: where it does; on a CPU, with as many threads as PyTorch has now.
    """
    about = {
        "device": _device_name(torch.device(device)),
        "modality": store.manifest["modalities"][modality],
        "encoder": encoder.definition,
        "versions": {"clinical-symile": __version__, **dict(map(_version, _PACKAGES))},
    }
    frozen = [
        part
        for name, tensor in sorted(encoder.frozen_state().items())
        for part in (name, str(tensor.dtype), tensor.cpu().contiguous().numpy().tobytes())
    ]
    present = store.present[:, store.modalities.index(modality)]
    return digest_of(json.dumps(about, sort_keys=True), present.tobytes(), *frozen)


def _device_name(device: torch.device) -> list[str | int]:
    """Return what the last bits of features depend on: a GPU's name, or a CPU's kernels."""
    if device.type == "cuda":
        return [device.type, torch.cuda.get_device_name(device)]
    return [device.type, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]


def _version(package: str) -> tuple[str, str | None]:
    try:
        return package, version(package)
    except PackageNotFoundError:
        return package, None


def _why_not(
    store: CohortStore, model: MultimodalEncoder, name: str, encoder: FrozenEncoder
) -> str | None:
    """Return why features of a modality cannot be used; None if they can."""
    if name in store.withheld or name in store.converted or name in store.noise:
        return "the store's measurements are changed in memory"
    if not getattr(model.missing_modality, "encodes_available_only", False):
        return "the missing-modality method also encodes samples without the modality"
    if encoder.shape == (encoder.width,):
        return "they have the shape of its inputs"
    return None


def _replaced(
    store: CohortStore, name: str, features: Float[np.ndarray, "sample feature"]
) -> CohortStore:
    """Return a store with features in place of the measurements of a modality."""
    shape = list(features.shape[1:])
    about = {"adapter": "embedding", "shape": shape, "dtype": "float32", "statistics": {}}
    modalities = {**store.manifest["modalities"]}
    modalities[name] = {**modalities[name], **about}
    return replace(
        store,
        manifest={**store.manifest, "modalities": modalities},
        converted={**store.converted, name: features},
    )


def _features(
    store: CohortStore,
    name: str,
    encoder: FrozenEncoder,
    device: torch.device,
    pause: Callable[[], object],
) -> Float[np.ndarray, "sample feature"]:
    """Return the features of every sample, zero where the modality is missing."""
    digest = features_digest(store, name, encoder, device=device)
    folder = features_folder(store)
    file = path_in(folder, f"{name}-{digest}", suffix=".safetensors")
    try:
        with _locked(folder, pause):
            if _is_kept(file, folder):
                log_line(f"{name}: features of the frozen encoder were kept before ({file.name})")
                return load_file(file)[_ARRAY]
            computed = _computed(store, name, encoder, device, pause)
            write_file(file, lambda partial: save_file({_ARRAY: computed}, partial))
            log_line(f"{name}: features of the frozen encoder are kept in {file}")
            return computed
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):  # a store that others share
            raise
        log_line(f"{name}: {folder} cannot be written, so that features are not kept")
        return _computed(store, name, encoder, device, pause)


@contextmanager
def _locked(folder: Path, pause: Callable[[], object]) -> Iterator[None]:
    """Lock the folder of features; another process may compute some for hours."""
    told: list[str] = []

    def tell_once(sentence: str) -> None:
        if not told:
            log_line(sentence)
        told.append(sentence)

    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock_folder(folder, notify=tell_once, wait_s=_PAUSE_S))
                break
            except FolderHeldByParentError:
                raise
            except FolderBusyError:
                pause()
        yield


def _is_kept(file: Path, folder: Path) -> bool:
    """Return True for a file that is as it was written."""
    if not file.is_file() or file.name not in (read_checksums(folder) or {}):
        return False
    if not changed_files(folder, everything=True, wanted=lambda name: name == file.name):
        return True
    log_line(f"{file} was changed since it was written; its features are computed again")
    return False


def _computed(
    store: CohortStore,
    name: str,
    encoder: FrozenEncoder,
    device: torch.device,
    pause: Callable[[], object],
) -> Float[np.ndarray, "sample feature"]:
    rows = np.flatnonzero(store.present[:, store.modalities.index(name)])
    log_line(
        f"{name}: computing features of the frozen encoder for {len(rows)} samples, before the "
        "first step and once for every training on this store"
    )
    encoder.to(device)
    features = np.zeros((len(store.samples), encoder.width), dtype=np.float32)
    begin, next_line = monotonic(), monotonic() + _FIRST_LINE_S
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        part = rows[start : start + _ROWS_AT_A_TIME]
        inputs = torch.from_numpy(store.inputs(name, part)).to(device)
        features[part] = encoder.features(inputs).float().cpu().numpy()
        done = start + len(part)
        if monotonic() >= next_line and done < len(rows):
            left = (monotonic() - begin) / done * (len(rows) - done)
            next_line = monotonic() + _NEXT_LINE_S
            log_line(
                f"{name}: features of {done} of {len(rows)} samples are computed; about "
                f"{format_duration(left)} for the others"
            )
        pause()
    return features
