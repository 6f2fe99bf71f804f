"""The tasks that analyses are tested on."""

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval


@pytest.fixture
def risk_task(catalog: Catalog) -> Classification:
    made = read_task(catalog, "classification/deterioration")
    assert isinstance(made, Classification)
    return made


@pytest.fixture
def search_task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made
