"""Three queries for an X-ray with an ECG and labs: both, labs alone, none of them."""

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.predictors.query_modalities import (
    encoded_modalities,
    missing_modalities,
    queries_with_bank,
)
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.missing_query import Bank

MODALITIES = ("labs", "cxr", "ecg")  # not in the order of the task
Z = torch.zeros(1, 2)


@pytest.fixture
def request_of_three(catalog: Catalog) -> Request[Retrieval]:
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    available = np.array([[True, True], [False, True], [False, False]])
    return Request(task, np.arange(3), available, parse_pattern("observed"))


def test_a_hidden_modality_and_one_without_a_question_are_missing(request_of_three):
    found = missing_modalities(request_of_three, (*MODALITIES, "echo"))
    assert {name: lacking.tolist() for name, lacking in found.items()} == {
        "labs": [False, False, True],
        "ecg": [False, True, True],
        "echo": [True, True, True],
    }


def test_the_bank_serves_queries_that_lack_something(request_of_three):
    for bank, expected in [
        (None, [False, False, False]),
        (Bank({"ecg": Z, "labs": Z}), [False, True, True]),
    ]:
        assert queries_with_bank(request_of_three, MODALITIES, bank).tolist() == expected


def test_a_bank_without_a_missing_modality_is_refused_by_its_name(request_of_three):
    with pytest.raises(CannotScore, match="embeddings of ecg to replace"):
        queries_with_bank(request_of_three, MODALITIES, Bank({"labs": Z}))


def test_a_query_is_encoded_with_what_it_has_and_the_target(request_of_three):
    assert encoded_modalities(request_of_three, MODALITIES).tolist() == [
        [True, True, True],
        [True, True, False],
        [True, True, True],  # it has nothing: as a whole sample
    ]
