"""Fixtures that every test may use; each test gets fresh generators."""

import gc
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.cases import cases
from tests.helpers.hospital import (
    Hospital,
    hospital,
    hospital_files,
    hospital_store,
    prepared_hospital,
)
from tests.helpers.mlflow_database import copied_mlflow_tables
from tests.helpers.panels import draw, panels
from tests.helpers.quick import (
    few_resamples,
    few_resamples_everywhere,
    no_analyses,
    no_mlflow_copies,
)
from tests.helpers.recordings import write_ecg, write_image
from tests.helpers.seeded import same_draws
from tests.helpers.synthetic import TINY, catalog, quiet, synthetic_store, tiny, tiny_task

__all__ = [
    "TINY",
    "Hospital",
    "cases",
    "catalog",
    "copied_mlflow_tables",
    "draw",
    "few_resamples",
    "few_resamples_everywhere",
    "hospital",
    "hospital_files",
    "hospital_store",
    "no_analyses",
    "no_mlflow_copies",
    "panels",
    "prepared_hospital",
    "quiet",
    "synthetic_store",
    "tiny",
    "tiny_task",
    "write_ecg",
    "write_image",
]

# Small tensors: a second thread costs more than it gives.
torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without garbage collection, which would visit all that is loaded each time.

    Later collections leave it out: each full one would take a second.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    with same_draws():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    with same_draws():
        return (yield)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Golden numbers and real files that stand beside a checkout, never in it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside this checkout: golden numbers and real files are there")
    return folder
