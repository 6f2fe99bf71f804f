"""A folder with a small store and two evaluated runs, as the examples of the API expect it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import clinical_symile as cs
from clinical_symile.data.store import CohortStore
from tests.helpers.synthetic import TINY

TASK = "retrieval/cxr_given_ecg_labs"


@pytest.fixture(scope="session")
def _workplace(synthetic_store: CohortStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(synthetic_store.path, folder / "store")
    shutil.copytree(synthetic_store.path.parent / "source", folder / "store-source")
    for name in ("symile", "clip"):
        run = cs.train(f"pretraining/{name}", folder / "store", out=folder / "runs", overrides=TINY)
        cs.evaluate(run, folder / "store", tasks=TASK, missingness=["complete", "without-ecg"])
    return folder


@pytest.fixture
def workplace(_workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, as the current directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(_workplace)
    yield _workplace
    assert os.environ.get("MLFLOW_TRACKING_URI") is None
