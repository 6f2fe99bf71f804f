"""Log a model to its run in MLflow, with a signature and an example, and register it."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_symile.tracking.model_files import ModelFiles

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any

_NAME = "model"
_URI_VARIABLE = "MLFLOW_TRACKING_URI"


def send_model(
    client: MlflowClient, copy: Copy, model: ModelFiles, sent: dict[str, str], *, uri: str
) -> list[str]:
    """Log a model, unless the copy has it.

    The example is made of random numbers, not of a patient. A module loads the model, for which
    MLflow writes no pickle.

    Args:
        client: of the server or database.
        copy: the run in MLflow.
        model: the files.
        sent: what was sent before; updated here.
        uri: tracking URI of the server or database.

    Returns:
        What was sent, in words.
    """
    state = " ".join([model.digest, *([model.register] if model.register else [])])
    if sent.get("model") == state:
        return []
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(shapes: Mapping[str, tuple[int, ...]]) -> Any:
        kind = np.dtype(np.float32)
        return Schema([TensorSpec(kind, (-1, *shape), name) for name, shape in shapes.items()])

    rng = np.random.default_rng(0)
    example = {
        name: rng.standard_normal((1, *shape)).round(1).astype(np.float32)
        for name, shape in model.inputs.items()
    }
    place: dict[str, Any] = {"artifact_path": _NAME}
    if hasattr(client, "create_logged_model"):
        # MLflow 3 keeps models beside the runs of an experiment; before, they were files of a run.
        made = client.create_logged_model(
            copy.info.experiment_id, _NAME, source_run_id=copy.info.run_id
        )
        place = {"artifact_path": None, "name": _NAME, "model_id": made.model_id}
    with _tracking_uri(uri), redirect_stderr(io.StringIO()):
        Model.log(
            **place,
            flavor=pyfunc,
            run_id=copy.info.run_id,
            registered_model_name=model.register,
            loader_module=model.loader,
            data_path=str(model.folder),
            signature=ModelSignature(schema(model.inputs), schema(model.outputs)),
            input_example=example,
            pip_requirements=list(model.requirements),
        )
    sent["model"] = state
    return [f"its model, registered as {model.register}" if model.register else "its model"]


@contextmanager
def _tracking_uri(uri: str) -> Iterator[None]:
    """Have MLflow's functions use a server or database for a while."""
    import mlflow

    before, variable = mlflow.get_tracking_uri(), os.environ.get(_URI_VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        os.environ.pop(_URI_VARIABLE, None)
        if variable is not None:
            os.environ[_URI_VARIABLE] = variable
