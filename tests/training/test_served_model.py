"""The encoders of a run as a model that MLflow logs: signature, example, loader, registry."""

import json
from pathlib import Path

import numpy as np
import pytest

import clinical_symile as cs
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.tracking.run import Run
from clinical_symile.training import served_model
from clinical_symile.training.learner import build_learner, load_learner
from clinical_symile.training.served_model import ServedModel, _load_pyfunc, write_served_model
from tests.helpers.mlflow_runs import runs_of
from tests.helpers.mlflow_servers import Server
from tests.helpers.synthetic import TINY


@pytest.fixture(scope="module")
def run(synthetic_store: CohortStore, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch."""
    settings = [*TINY, "epochs=1"]
    runs = tmp_path_factory.mktemp("runs")
    return cs.train(
        "pretraining/symile", synthetic_store, out=runs, overrides=settings, progress=False
    )


def as_input(store: CohortStore, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of encoders, with NaN where a modality is missing."""
    inputs = {name: store.inputs(name, rows) for name in store.modalities}
    for place, name in enumerate(store.modalities):
        inputs[name][~store.present[rows, place]] = np.nan
    return inputs


def check_predictions(model: ServedModel, run: Run, store: CohortStore) -> None:
    """Check that a model gives the embeddings of a run, zero where a modality is missing."""
    from clinical_symile.config.tasks.read import parse_task

    record, rows = run.metadata, store.rows("held_out")
    assert not store.present[rows].all()
    task = parse_task(record["definition"], name=record["task"], where="run.toml")
    expected = embed_rows(load_learner(run, task, store).model, store, rows)  # pyright: ignore
    found = model.predict(as_input(store, rows))
    for place, name in enumerate(store.modalities):
        np.testing.assert_array_equal(found[name], expected.z[:, place].numpy())
        assert not found[name][~store.present[rows, place]].any()


def test_a_model_gives_the_embeddings_of_its_run_without_the_store(
    run: Run, synthetic_store: CohortStore, tmp_path: Path
):
    files = write_served_model(run, tmp_path)
    shapes = {n: synthetic_store.inputs(n, np.zeros(0, int)).shape[1:] for n in files.inputs}
    assert files.inputs == shapes
    assert files.outputs == dict.fromkeys(files.inputs, (8,))
    check_predictions(_load_pyfunc(str(files.folder)), run, synthetic_store)


def test_a_model_of_a_network_that_modalities_share_is_written_and_read(
    run: Run, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, monkeypatch
):
    task = read_task(catalog, "pretraining/encoders/clippo", overrides=["dim=8"])
    assert isinstance(task, Pretraining)
    learner = build_learner(task, synthetic_store, seed=0).eval()
    definition = task.model_dump(mode="json", exclude={"name"})
    monkeypatch.setattr(Run, "metadata", {**run.metadata, "definition": definition})
    monkeypatch.setattr(served_model, "load_learner", lambda *_: learner)
    model = _load_pyfunc(str(write_served_model(run, tmp_path).folder))
    rows = synthetic_store.rows("held_out")[:2]
    given = as_input(synthetic_store, rows)
    expected = ServedModel(learner.model).predict(given)
    for name, z in model.predict(given).items():
        np.testing.assert_array_equal(z, expected[name])


def test_a_model_holds_weights_and_shapes_alone(run: Run, tmp_path: Path):
    files = write_served_model(run, tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == {"encoders/model.json", "encoders/model.safetensors"}
    record = json.loads((files.folder / "model.json").read_text())
    assert record.keys() == {"task", "definition", "inputs"}
    assert "distributions" not in json.dumps(record), "values of patients stay in the run's folder"


def test_a_model_names_no_folder_of_the_run_that_it_began_with(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    definition = {**run.metadata["definition"], "start": "/home/ann/runs/clip-0"}
    monkeypatch.setattr(Run, "metadata", {**run.metadata, "definition": definition})
    record = json.loads((write_served_model(run, tmp_path).folder / "model.json").read_text())
    assert record["definition"]["start"] == "clip-0"


def test_a_run_without_a_training_has_no_model(tmp_path: Path):
    folder = tmp_path / "prevalence"
    folder.mkdir()
    (folder / "run.toml").write_text('baseline = "prevalence"\ncohort = "c"\n')
    with pytest.raises(DataError, match="no finished training"):
        write_served_model(Run(folder), tmp_path)


@pytest.mark.slow
def test_a_model_on_a_server_is_registered_and_loaded_with_its_signature(
    run: Run,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    import mlflow
    from mlflow.artifacts import download_artifacts

    server, before = Server(tmp_path), mlflow.get_tracking_uri()
    server.start()
    try:
        capsys.readouterr()
        found = cs.sync_mlflow(run, uri=server.uri, register="symile")
        assert found.problem is None
        assert "its model, registered as symile" in found.sent
        assert cs.sync_mlflow(run, uri=server.uri, register="symile").sent == ()
        assert capsys.readouterr() == ("", "")
        assert mlflow.get_tracking_uri() == before
        (copy,) = runs_of(server.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        mlflow.set_tracking_uri(server.uri)
        (version,) = mlflow.MlflowClient().search_model_versions("name = 'symile'")
        assert version.run_id == copy.info.run_id
        place = download_artifacts("models:/symile/1", dst_path=str(tmp_path))
        names = {path.name for path in Path(place).rglob("*") if path.is_file()}
        assert {"MLmodel", "model.safetensors", "input_example.json"} <= names
        assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
        loaded = mlflow.pyfunc.load_model("models:/symile/1")
        signature = loaded.metadata.signature
        assert signature is not None
        assert [one.name for one in signature.inputs] == list(synthetic_store.modalities)
        loaded.predict(loaded.input_example)
        check_predictions(loaded, run, synthetic_store)  # pyright: ignore[reportArgumentType]
    finally:
        mlflow.set_tracking_uri(before)
        server.stop()
