"""Every labelled sample is predicted once, of the scored and of the tuning split."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.base import Evaluator
from clinical_symile.evaluation.classification import ClassificationEvaluator
from clinical_symile.missingness.patterns import parse_pattern

COMPLETE = parse_pattern("complete")


@dataclass
class _ByRow:
    """Predicts (row + 1) / samples; NaN for the rows in `unknown`."""

    samples: int
    unknown: tuple[int, ...] = ()
    requests: list = field(default_factory=list)

    def predict_proba(self, request):
        self.requests.append(request)
        made = (request.rows + 1) / self.samples
        return np.where(np.isin(request.rows, self.unknown), np.nan, made)


class _RetrievalOnly:
    def score(self, request, candidates):
        return np.zeros(candidates.shape)

    def score_shared(self, request, candidates):
        return np.zeros((len(request.rows), len(candidates)))


@pytest.fixture
def task(catalog: Catalog) -> Classification:
    made = read_task(catalog, "classification/deterioration")
    assert isinstance(made, Classification)
    return made


def _evaluator(task: Classification, store: CohortStore, predictor: object):
    made = ClassificationEvaluator(task, predictor, store)  # pyright: ignore[reportArgumentType]
    assert isinstance(made, Evaluator)
    return made


def test_both_splits_are_predicted_in_one_request_with_their_own_labels(
    task: Classification, synthetic_store: CohortStore
):
    predictor = _ByRow(len(synthetic_store.samples))
    made = _evaluator(task, synthetic_store, predictor).outcome(COMPLETE)
    assert len(predictor.requests) == 1
    assert made.tuning is not None
    known = synthetic_store.outcome("deterioration")
    for split, frame in ((task.split, made.per_sample), ("tuning", made.tuning)):
        rows = frame["row"].to_numpy()
        assert set(rows) <= set(synthetic_store.rows(split))
        np.testing.assert_array_equal(frame["label"], known[rows])
        np.testing.assert_allclose(frame["probability"], (rows + 1) / len(known))


def test_tuning_samples_that_are_not_all_predicted_are_not_used(
    task: Classification, synthetic_store: CohortStore
):
    first = int(synthetic_store.rows("tuning")[0])
    tuning = tuple(int(row) for row in synthetic_store.rows("tuning"))
    assert first in tuning
    predictor = _ByRow(len(synthetic_store.samples), unknown=tuning)
    made = _evaluator(task, synthetic_store, predictor).outcome(COMPLETE)
    assert made.tuning is None
    assert not made.per_sample["probability"].isna().any()  # pyright: ignore[reportGeneralTypeIssues]


def test_with_a_share_of_the_labels_no_tuning_sample_is_predicted(
    task: Classification, synthetic_store: CohortStore
):
    few = task.model_copy(update={"label_share": 0.5, "label_seeds": (0,)})
    predictor = _ByRow(len(synthetic_store.samples))
    made = _evaluator(few, synthetic_store, predictor).outcome(COMPLETE)
    assert made.tuning is None
    for request in predictor.requests:
        assert set(request.rows) <= set(synthetic_store.rows(task.split))


def test_a_model_of_candidates_alone_is_refused(task: Classification, synthetic_store: CohortStore):
    with pytest.raises(CannotScore, match="does not predict outcomes"):
        _evaluator(task, synthetic_store, _RetrievalOnly()).outcome(COMPLETE)
