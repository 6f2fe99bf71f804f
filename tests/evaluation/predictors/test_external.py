"""Predictions and embeddings of external models, matched to a store."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.external.embeddings import ExternalEmbeddings
from clinical_symile.data.external.predictions import Predictions
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.evaluation.predictors.base import Request, draw_request
from clinical_symile.evaluation.predictors.external import (
    external_embedding_predictor,
    external_risk_predictor,
)
from clinical_symile.missingness.patterns import parse_pattern

OUTCOME = "deterioration"


@pytest.fixture
def task(catalog: Catalog) -> Classification:
    made = read_task(catalog, "classification/deterioration")
    assert isinstance(made, Classification)
    return made


@pytest.fixture
def table(synthetic_store: CohortStore) -> pd.DataFrame:
    """A prediction of every sample: its row, divided by the number of samples."""
    sample = synthetic_store.samples["sample"]
    return pd.DataFrame({"sample": sample, "probability": np.arange(len(sample)) / len(sample)})


def _matched(table: pd.DataFrame, store: CohortStore, *, outcomes: tuple[str, ...] = (OUTCOME,)):
    predictions = Predictions("theirs.csv", "0", "ours", table)
    patterns = ("complete", "mcar-30")
    return external_risk_predictor(predictions, store, outcomes=outcomes, patterns=patterns)


def _request(task: Classification, store: CohortStore, pattern: str) -> Request[Classification]:
    return draw_request(task, store, parse_pattern(pattern))


def test_predictions_are_matched_by_sample_whatever_their_order(
    task: Classification, synthetic_store: CohortStore, table: pd.DataFrame
):
    predictor, notes = _matched(table.sample(frac=1, random_state=0), synthetic_store)
    request = _request(task, synthetic_store, "complete")
    made = predictor.predict_proba(request)
    np.testing.assert_allclose(made, request.rows / len(table))
    assert notes == []


def test_predictions_without_a_pattern_serve_only_patterns_that_hide_nothing(
    task: Classification, synthetic_store: CohortStore, table: pd.DataFrame
):
    predictor, _ = _matched(table, synthetic_store)
    predictor.predict_proba(_request(task, synthetic_store, "observed"))
    with pytest.raises(CannotScore, match=f"no predictions of {OUTCOME} under this pattern"):
        predictor.predict_proba(_request(task, synthetic_store, "mcar-30"))


def test_a_pattern_of_the_file_is_used_for_its_own_name_alone(
    task: Classification, synthetic_store: CohortStore, table: pd.DataFrame
):
    hidden = table.assign(missingness="mcar-30", probability=0.125)
    both = pd.concat([table.assign(missingness=""), hidden])
    predictor, _ = _matched(both, synthetic_store)
    assert set(predictor.predict_proba(_request(task, synthetic_store, "mcar-30"))) == {0.125}
    complete = predictor.predict_proba(_request(task, synthetic_store, "complete"))
    assert set(complete) != {0.125}


def test_a_scored_sample_without_a_prediction_is_an_error_with_numbers_only(
    task: Classification, synthetic_store: CohortStore, table: pd.DataFrame
):
    request = _request(task, synthetic_store, "complete")
    lacking = table.drop(index=int(request.rows[0]))
    predictor, _ = _matched(lacking, synthetic_store)
    with pytest.raises(DataError, match=f"lacks 1 of {len(request.rows)} samples") as caught:
        predictor.predict_proba(request)
    assert str(table["sample"][int(request.rows[0])]) not in str(caught.value)


def test_samples_of_other_splits_may_lack_a_prediction(
    task: Classification, synthetic_store: CohortStore, table: pd.DataFrame
):
    scored = synthetic_store.rows(task.split)
    predictor, _ = _matched(table.loc[scored], synthetic_store)
    rows = np.append(scored[:2], synthetic_store.rows("tuning")[:1])
    available = np.ones((3, len(task.input_modalities)), dtype=bool)
    made = predictor.predict_proba(Request(task, rows, available, parse_pattern("complete")))
    assert np.isnan(made).tolist() == [False, False, True]


def test_labels_that_contradict_the_store_are_refused(
    synthetic_store: CohortStore, table: pd.DataFrame
):
    known = synthetic_store.outcome(OUTCOME)
    _matched(table.assign(label=known), synthetic_store)
    wrong = known.copy()
    place = int(np.flatnonzero(~np.isnan(known))[0])
    wrong[place] = 1 - wrong[place]
    with pytest.raises(DataError, match=f"1 of {len(table)} labels are not those of the store"):
        _matched(table.assign(label=wrong), synthetic_store)


def test_a_sample_with_two_predictions_and_a_missing_outcome_are_refused(
    synthetic_store: CohortStore, table: pd.DataFrame
):
    with pytest.raises(
        DataError, match=r"1 of .* predictions are of a sample that already has one"
    ):
        _matched(pd.concat([table, table.iloc[:1]]), synthetic_store)
    with pytest.raises(DataError, match="does not say which outcome it predicts"):
        _matched(table, synthetic_store, outcomes=(OUTCOME, "another"))


def test_an_outcome_that_no_task_predicts_is_noted(
    synthetic_store: CohortStore, table: pd.DataFrame
):
    more = pd.concat([table.assign(outcome=OUTCOME), table.assign(outcome="another")])
    _, notes = _matched(more, synthetic_store)
    assert notes == ["theirs.csv: no task predicts another; its predictions are not used."]


def _vectors(store: CohortStore, *, skip: int = 0, length: float = 3.0) -> ExternalEmbeddings:
    rows, columns = np.nonzero(store.present)
    rows, columns = rows[skip:], columns[skip:]
    z = np.zeros((len(rows), 2))
    z[:, 0] = length
    return ExternalEmbeddings(
        file="theirs.npz",
        sha256="0",
        samples=store.samples["sample"].to_numpy()[rows],
        modalities=np.array(store.modalities)[columns],
        z=z,
    )


def _embedded(vectors: ExternalEmbeddings, store: CohortStore, similarity: str = "cosine"):
    predictor, _ = external_embedding_predictor(
        vectors, store, objective="clip", similarity=similarity
    )
    return predictor.embeddings


@pytest.mark.parametrize(("similarity", "length"), [("cosine", 1.0), ("dot", 3.0)])
def test_only_cosine_similarity_scales_embeddings_to_length_one(
    similarity: str, length: float, synthetic_store: CohortStore
):
    made = _embedded(_vectors(synthetic_store), synthetic_store, similarity)
    np.testing.assert_array_equal(made.available.numpy(), synthetic_store.present)
    lengths = made.z.norm(dim=2).numpy()
    np.testing.assert_allclose(lengths, length * synthetic_store.present, rtol=1e-6)


def test_a_recording_without_an_embedding_is_refused(synthetic_store: CohortStore):
    with pytest.raises(DataError, match="1 recordings of the store have no embedding"):
        _embedded(_vectors(synthetic_store, skip=1), synthetic_store)


def test_a_vector_without_a_direction_has_no_cosine_similarity(synthetic_store: CohortStore):
    with pytest.raises(DataError, match="direction"):
        _embedded(_vectors(synthetic_store, length=0.0), synthetic_store)


def test_an_objective_of_gaussians_needs_a_file_with_log_variances(synthetic_store: CohortStore):
    vectors = _vectors(synthetic_store)
    with pytest.raises(DataError, match="has no log variances, which 'probmed' compares"):
        external_embedding_predictor(
            vectors, synthetic_store, objective="probmed", similarity="cosine"
        )
    whole = replace(vectors, log_variance=np.full_like(vectors.z, -2.0))
    predictor, _ = external_embedding_predictor(
        whole, synthetic_store, objective="probmed", similarity="cosine"
    )
    there = predictor.embeddings.available
    assert predictor.embeddings.spread
    assert predictor.embeddings.log_variance is not None
    assert (predictor.embeddings.log_variance[there] == -2).all()
    assert (predictor.embeddings.means[there][:, 0] == 1).all()
    predictor, notes = external_embedding_predictor(
        whole, synthetic_store, objective="clip", similarity="dot"
    )
    assert not predictor.embeddings.spread
    assert notes == ["theirs.npz: 'clip' does not use the log variances."]
