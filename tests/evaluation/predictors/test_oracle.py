"""The oracle is asked with the columns of its store, and of real candidates only."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.predictors.oracle import GeneratingModel, OraclePredictor
from clinical_symile.missingness.patterns import parse_pattern

ROWS = np.array([3, 5])
COMPLETE = parse_pattern("complete")


@dataclass
class _Recorded:
    """A generating model that keeps what it is given; a score is the candidate's row."""

    available: list = field(default_factory=list)
    candidates: list = field(default_factory=list)

    def score(self, rows, available, candidates, /, *, target):
        self.available.append(available)
        self.candidates.append(candidates)
        return candidates.astype(float) + (100 if target == "cxr" else 0)

    def probability(self, rows, available, /, *, outcome):
        self.available.append(available)
        return rows / 10 if outcome == "deterioration" else np.zeros(len(rows))


@pytest.fixture
def model() -> _Recorded:
    made = _Recorded()
    assert isinstance(made, GeneratingModel)
    return made


@pytest.fixture
def retrieval(catalog: Catalog) -> Request[Retrieval]:
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    return Request(task, ROWS, np.array([[True, False], [True, True]]), COMPLETE)


def test_padding_scores_minus_infinity_and_the_model_never_sees_it(
    model: _Recorded, retrieval: Request[Retrieval], synthetic_store: CohortStore
):
    oracle = OraclePredictor(model, synthetic_store)
    scores = oracle.score(retrieval, np.array([[3, 7], [5, PADDING]]))
    assert scores.tolist() == [[103.0, 107.0], [105.0, -np.inf]]
    assert model.candidates[0].tolist() == [[3, 7], [5, 5]]


def test_shared_candidates_are_scored_for_every_query(
    model: _Recorded, retrieval: Request[Retrieval], synthetic_store: CohortStore
):
    scores = OraclePredictor(model, synthetic_store).score_shared(retrieval, np.array([1, 2]))
    assert scores.tolist() == [[101.0, 102.0], [101.0, 102.0]]


def test_what_the_task_does_not_use_is_unavailable_to_the_oracle(
    model: _Recorded, retrieval: Request[Retrieval], synthetic_store: CohortStore
):
    OraclePredictor(model, synthetic_store).score_shared(retrieval, np.array([1]))
    (available,) = model.available
    by_name = dict(zip(synthetic_store.modalities, available.T.tolist(), strict=True))
    assert by_name == {"cxr": [False, False], "ecg": [True, True], "labs": [False, True]}


def test_the_risk_is_the_models_probability_of_the_tasks_outcome(
    model: _Recorded, catalog: Catalog, synthetic_store: CohortStore
):
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    everything = np.ones((2, len(task.input_modalities)), dtype=bool)
    request = Request(task, ROWS, everything, COMPLETE)
    assert OraclePredictor(model, synthetic_store).predict_proba(request).tolist() == [0.3, 0.5]


def test_a_pattern_that_hides_by_the_outcome_has_no_best_possible_risk(
    model: _Recorded, catalog: Catalog, synthetic_store: CohortStore
):
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    everything = np.ones((2, len(task.input_modalities)), dtype=bool)
    oracle = OraclePredictor(model, synthetic_store)
    request = Request(task, ROWS, everything, parse_pattern("mnar-deterioration-30"))
    with pytest.raises(CannotScore, match="hides modalities by deterioration"):
        oracle.predict_proba(request)
    by_age = Request(task, ROWS, everything, parse_pattern("mar-age-30"))
    assert oracle.predict_proba(by_age).tolist() == [0.3, 0.5]
