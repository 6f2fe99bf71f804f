"""A request holds the samples that a pattern is scored on, and what is available of them."""

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import (
    RetrievalPredictor,
    RiskPredictor,
    draw_request,
    hide_parts_from,
)
from clinical_symile.missingness.patterns import parse_pattern


@pytest.fixture
def retrieval(catalog: Catalog) -> Retrieval:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog, name)
    assert isinstance(made, Retrieval)
    return made


@pytest.fixture
def classification(catalog: Catalog) -> Classification:
    name = "classification/deterioration"
    made = read_task(catalog, name)
    assert isinstance(made, Classification)
    return made


@pytest.mark.parametrize("name", ["complete", "without-ecg", "only-labs", "mcar-30"])
def test_patterns_use_the_same_samples(
    name: str, classification: Classification, synthetic_store: CohortStore
) -> None:
    request = draw_request(classification, synthetic_store, parse_pattern(name))
    held_out = synthetic_store.rows("held_out")
    complete = held_out[synthetic_store.present[held_out].all(axis=1)]
    np.testing.assert_array_equal(request.rows, complete)
    assert request.available.any(axis=1).all()


def test_observed_uses_all_that_have_anything(
    retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    request = draw_request(retrieval, synthetic_store, parse_pattern("observed"))
    present = synthetic_store.present[:, [1, 2]]
    held_out = synthetic_store.rows("held_out")
    np.testing.assert_array_equal(request.rows, held_out[present[held_out].any(axis=1)])
    np.testing.assert_array_equal(request.available, present[request.rows])


def test_some_samples_of_a_request_keep_what_is_available_of_them(
    retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    request = draw_request(retrieval, synthetic_store, parse_pattern("observed"))
    some = request.take(np.array([3, 1]))
    assert some.rows.tolist() == [request.rows[3], request.rows[1]]
    np.testing.assert_array_equal(some.available, request.available[[3, 1]])
    assert (some.task, some.pattern) == (request.task, request.pattern)


class _Risk:
    def predict_proba(self, request):
        return np.zeros(len(request.rows))


def test_a_predictor_of_outcomes_is_no_predictor_of_candidates() -> None:
    assert isinstance(_Risk(), RiskPredictor)
    assert not isinstance(_Risk(), RetrievalPredictor)


def test_a_model_that_cannot_encode_again_is_not_evaluated_without_parts() -> None:
    with pytest.raises(CannotScore, match="hides parts of labs; only a model with its encoders"):
        hide_parts_from(_Risk(), parse_pattern("labs-mcar-50"), seed=0)
