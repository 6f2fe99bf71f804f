"""Write a run's encoders as a model that MLflow logs and loads: safetensors, and this module.

The model reads what encoders read: `CohortStore.inputs`. The statistics that make these inputs of
measurements hold single values of patients; they stay in the run's folder.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file

from clinical_symile import __version__
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.external.training_inputs import read_inputs
from clinical_symile.data.loader import Batch
from clinical_symile.errors import DataError
from clinical_symile.files import write_text
from clinical_symile.hashing import file_sha256
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MODALITIES
from clinical_symile.tracking.disclosure import without_folders
from clinical_symile.tracking.model_files import ModelFiles
from clinical_symile.tracking.records import read_json
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import save_tensors
from clinical_symile.training.learner import build_learner, load_learner, with_kept_weights

_FOLDER, _WEIGHTS, _RECORD = "encoders", "model.safetensors", "model.json"
_TYPES: Mapping[str, Any] = {
    "task": str,
    "definition": dict[str, Any],
    "inputs": dict[str, list[int]],
}


class ServedModel:
    """The encoders of a run, as MLflow calls them.

    Args:
        encoder: in evaluation mode, on the CPU.
    """

    def __init__(self, encoder: MultimodalEncoder):
        self.encoder = encoder

    @torch.inference_mode()
    def predict(self, model_input: Mapping[str, Any]) -> dict[str, Float[np.ndarray, "sample dim"]]:
        """Embed samples: one vector for each modality, zero where it is missing.

        Args:
            model_input: for each modality `[sample, ...]`; a sample of NaN alone is missing.
        """
        names = self.encoder.modalities
        arrays = {name: np.asarray(model_input[name], np.float32) for name in names}
        missing = [np.isnan(one).reshape(len(one), -1).all(axis=1) for one in arrays.values()]
        inputs = {name: torch.from_numpy(np.nan_to_num(one)) for name, one in arrays.items()}
        available = torch.from_numpy(~np.stack(missing, axis=1))
        batch = Batch(inputs, available, names, torch.arange(len(available)))
        z = self.encoder(batch).z.float()
        return {name: z[:, place].numpy() for place, name in enumerate(names)}


class _InputShapes:
    """The shapes of encoders' inputs, where a learner is built without a store."""

    cohort = "of the model"

    def __init__(self, shapes: Mapping[str, Sequence[int]]):
        self.shapes, self.modalities = shapes, tuple(shapes)

    def inputs(self, modality: str, rows: np.ndarray) -> Float[np.ndarray, "row ..."]:
        """Return inputs of zeros."""
        return np.zeros((len(rows), *self.shapes[modality]), dtype=np.float32)

    def unmeasured(self, modality: str) -> None:
        """Return None: only training needs it."""


def write_served_model(run: Run, folder: Path) -> ModelFiles:
    """Write the encoders of a run into a new folder `encoders` of a folder.

    Args:
        run: a run that was trained.
        folder: where the new folder is made.

    Raises:
        DataError: the run was not trained, is not finished, or its files are damaged.
    """
    if not run.is_trained or not run.is_finished:
        raise DataError(
            f"{run.path}: has no finished training; expected a run of `clinical-symile train`. "
            "Leave --log-model out, or name a trained run.",
            code="CS-R005",
        )
    record = run.metadata
    inputs = read_inputs(run.path, store_digest=record["store_digest"])["modalities"]
    task = _task(record, str(run.path / "run.toml"))
    shapes = {name: _input_shape(inputs[name]) for name in task.modalities}
    model = ServedModel(load_learner(run, task, _InputShapes(shapes)).model)
    folder = folder / _FOLDER
    save_tensors(model.encoder.state_dict(), folder / _WEIGHTS)
    about = {
        "task": task.name,
        "definition": without_folders(record)["definition"],
        "inputs": shapes,
    }
    write_text(folder / _RECORD, json.dumps(about))
    embedded = model.predict({name: np.zeros((1, *shape)) for name, shape in shapes.items()})
    return ModelFiles(
        folder=folder,
        loader=__name__,
        digest=file_sha256(folder / _WEIGHTS),
        inputs={name: tuple(shape) for name, shape in shapes.items()},
        outputs={name: z.shape[1:] for name, z in embedded.items()},
        requirements=(f"clinical-symile=={__version__}",),
    )


def _load_pyfunc(folder: str) -> ServedModel:
    """Load a model that `write_served_model` wrote; MLflow calls it by this name.

    Raises:
        DataError: the files are damaged.
    """
    path = Path(folder) / _RECORD
    about = read_json(path, types=_TYPES, action="Log the model again.", code="CS-R004")
    weights = load_file(Path(folder) / _WEIGHTS)
    task = with_kept_weights(_task(about, str(path)), weights)
    encoder = build_learner(task, _InputShapes(about["inputs"]), seed=0).model
    encoder.load_state_dict(weights)
    return ServedModel(encoder.eval())


def _task(record: Mapping[str, Any], where: str) -> Pretraining:
    task = parse_task(record["definition"], name=record["task"], where=where)
    assert isinstance(task, Pretraining)
    return task


def _input_shape(about: Mapping[str, Any]) -> list[int]:
    """Return the shape of an encoder's input of one sample, from what `inputs.json` says."""
    adapter = resolve(about["adapter"], MODALITIES)
    if hasattr(adapter, "divisor"):
        return list(about["shape"])
    values = np.zeros((1, *about["shape"]), dtype=about["dtype"])
    return list(adapter.transform(values, about["statistics"]).shape[1:])
