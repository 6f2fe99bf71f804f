"""Replacements that are fitted to train embeddings: what they rest on, and how they are pooled."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logit

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.base import Request, draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import mlp_task

WAYS = (pytest.param("imputed", marks=pytest.mark.slow), "neighbours", "prototypes")


def predictor_of(catalog: Catalog, store: CohortStore, way: str, name: str) -> EmbeddingPredictor:
    task = mlp_task(catalog, f"missing_modality={way}", task=name)
    learner = build_learner(task, store, seed=0).eval()
    embeddings = embed_rows(learner.model, store, np.arange(len(store.samples)))
    return EmbeddingPredictor(
        embeddings, learner.objective, store, encoders=Encoders(learner, store)
    )


def retrieval_request(catalog: Catalog, store: CohortStore) -> Request[Retrieval]:
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    pattern = parse_pattern("without-ecg")
    return draw_request(task, store, pattern)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["pretraining/symile", "pretraining/clip"])
def test_scores_rest_on_train_samples_and_what_a_query_has(
    catalog: Catalog, synthetic_store: CohortStore, way: str, name: str
):
    predictor = predictor_of(catalog, synthetic_store, way, name)
    assert predictor.missing_query is None
    request = retrieval_request(catalog, synthetic_store)
    candidates = request.rows
    scores = predictor.score_shared(request, candidates)
    assert np.isfinite(scores).all()
    # All other slots hold NaN: those of other splits, and the missing ECG.
    kept = np.zeros_like(synthetic_store.present)
    kept[synthetic_store.rows("train")] = True
    kept[request.rows, 2] = True
    kept[candidates, 0] = True
    z = torch.where(torch.from_numpy(kept)[:, :, None], predictor.embeddings.z, torch.nan)
    spoiled = replace(predictor, embeddings=replace(predictor.embeddings, z=z))
    np.testing.assert_array_equal(spoiled.score_shared(request, candidates), scores)
    alone = predictor.score_shared(request.take(slice(0, 1)), candidates)
    np.testing.assert_allclose(alone, scores[:1], atol=1e-6)


@pytest.mark.slow
def test_scores_are_averaged_over_imputations(catalog: Catalog, synthetic_store: CohortStore):
    predictor = predictor_of(catalog, synthetic_store, "imputed", "pretraining/clip")
    request = retrieval_request(catalog, synthetic_store)
    assert predictor.encoders is not None
    rows = torch.from_numpy(synthetic_store.rows("train").copy())
    fills = predictor.encoders.learner.model.fitted(predictor.embeddings.take(rows), seed=0)
    each = [replace(predictor, fills=(fill,)).score_shared(request, request.rows) for fill in fills]
    assert len(each) == 5
    assert not np.allclose(each[0], each[1])
    found = predictor.score_shared(request, request.rows)
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)


@pytest.mark.slow
def test_log_odds_are_averaged_over_imputations(catalog: Catalog, synthetic_store: CohortStore):
    name = "pretraining/objectives/outcome_gated"
    predictor = predictor_of(catalog, synthetic_store, "imputed", name)
    task = read_task(catalog, "classification/more/deterioration_by_head")
    assert isinstance(task, Classification)
    pattern = parse_pattern("without-ecg")
    request = draw_request(task, synthetic_store, pattern)
    found = predictor.predict_proba(request)
    assert isinstance(predictor.objective, Supervised)
    rows = torch.from_numpy(synthetic_store.rows("train").copy())
    assert predictor.encoders is not None
    model = predictor.encoders.learner.model
    each = [
        replace(predictor, fills=(fill,)).predict_proba(request)
        for fill in model.fitted(predictor.embeddings.take(rows), seed=0)
    ]
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(logit(found), np.mean(logit(each), axis=0), atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_another_hospital_gets_replacements_of_the_training_cohort(
    catalog: Catalog, synthetic_store: CohortStore, way: str
):
    own = predictor_of(catalog, synthetic_store, way, "pretraining/clip")
    request = retrieval_request(catalog, synthetic_store)
    elsewhere = replace(own, source=lambda: own)
    z = own.embeddings.z.clone()
    z[synthetic_store.rows("train")] = torch.nan
    changed = replace(elsewhere, embeddings=replace(own.embeddings, z=z))
    np.testing.assert_array_equal(
        changed.score_shared(request, request.rows), own.score_shared(request, request.rows)
    )
