"""Candidates are ranked by a model's scores, and nothing else."""

from dataclasses import dataclass

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.base import Evaluator
from clinical_symile.evaluation.retrieval import RetrievalEvaluator
from clinical_symile.missingness.patterns import parse_pattern

COMPLETE = parse_pattern("complete")


@dataclass
class _ByDistance:
    """Scores a candidate by the distance of its row from `sign` · the query's; 0 is the best."""

    best_is_own: bool = True
    value: float | None = None

    def score(self, request, candidates):
        distance = -np.abs(candidates - request.rows[:, None]).astype(float)
        scores = distance if self.best_is_own else -distance
        if self.value is not None:
            scores = np.full(scores.shape, self.value)
        return np.where(candidates == PADDING, -np.inf, scores)

    def score_shared(self, request, candidates):
        return self.score(request, np.tile(candidates, (len(request.rows), 1)))


class _RiskOnly:
    def predict_proba(self, request):
        return np.zeros(len(request.rows))


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made


def _outcome(task: Retrieval, store: CohortStore, predictor: object):
    evaluator = RetrievalEvaluator(task, predictor, store)  # pyright: ignore[reportArgumentType]
    assert isinstance(evaluator, Evaluator)
    return evaluator, evaluator.outcome(COMPLETE).per_sample


def test_a_model_that_knows_the_answer_has_nothing_above_it(
    task: Retrieval, synthetic_store: CohortStore
):
    evaluator, made = _outcome(task, synthetic_store, _ByDistance())
    assert not made["above"].any()  # pyright: ignore[reportGeneralTypeIssues]
    assert not made["tied"].any()  # pyright: ignore[reportGeneralTypeIssues]
    assert (made["answer_1"] == made["row"]).all()  # pyright: ignore[reportGeneralTypeIssues]
    assert set(made["row"]) <= set(synthetic_store.rows(task.split))
    lengths = evaluator.candidates.groupby("query").size()
    assert set(made["candidates"]) <= set(lengths)


def test_a_model_that_ranks_in_reverse_has_all_others_above_the_answer(
    task: Retrieval, synthetic_store: CohortStore
):
    _, made = _outcome(task, synthetic_store, _ByDistance(best_is_own=False))
    np.testing.assert_array_equal(made["above"], made["candidates"] - 1)


def test_a_model_with_one_score_for_all_ties_with_all_others(
    task: Retrieval, synthetic_store: CohortStore
):
    _, made = _outcome(task, synthetic_store, _ByDistance(value=0.5))
    assert not made["above"].any()  # pyright: ignore[reportGeneralTypeIssues]
    np.testing.assert_array_equal(made["tied"], made["candidates"] - 1)


def test_a_nan_score_is_a_reason_to_skip_the_task(task: Retrieval, synthetic_store: CohortStore):
    with pytest.raises(CannotScore, match="NaN score"):
        _outcome(task, synthetic_store, _ByDistance(value=float("nan")))


def test_a_model_of_outcomes_alone_is_refused(task: Retrieval, synthetic_store: CohortStore):
    with pytest.raises(CannotScore, match="does not score candidates"):
        _outcome(task, synthetic_store, _RiskOnly())
