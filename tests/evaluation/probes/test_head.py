"""The probe `head` is the run's own prediction, and says when there is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import mlp_task


@pytest.fixture
def task(catalog: Catalog) -> Classification:
    made = read_task(catalog, "classification/more/deterioration_by_head")
    assert isinstance(made, Classification)
    return made


def predictor_of(
    catalog: Catalog, store: CohortStore, *overrides: str, task: str = "outcome_concat"
) -> EmbeddingPredictor:
    name = f"pretraining/objectives/{task}"
    learner = build_learner(mlp_task(catalog, *overrides, task=name), store, seed=0).eval()
    embeddings = embed_rows(learner.model, store, np.arange(len(store.samples)))
    return EmbeddingPredictor(embeddings, learner.objective, store, Encoders(learner, store))


@pytest.mark.parametrize("missing_modality", ["drop", "learned"])
@pytest.mark.parametrize("pattern", ["complete", "only-ecg"])
def test_it_predicts_by_the_fusion_of_what_the_pattern_leaves(
    catalog: Catalog,
    synthetic_store: CohortStore,
    task: Classification,
    missing_modality: str,
    pattern: str,
) -> None:
    predictor = predictor_of(catalog, synthetic_store, f"missing_modality={missing_modality}")
    request = draw_request(task, synthetic_store, parse_pattern(pattern))
    request = request.take(np.flatnonzero(request.available.any(axis=1)))
    found = predictor.predict_proba(request)
    objective = predictor.objective
    assert isinstance(objective, Supervised)
    rows, visible = torch.from_numpy(request.rows), torch.from_numpy(request.available)
    z, has = predictor.embeddings.z[rows], visible
    if missing_modality == "learned":
        substitute = predictor.embeddings.substitute
        assert substitute is not None
        z, has = torch.where(visible[:, :, None], z, substitute), torch.ones_like(visible)
    with torch.inference_mode():
        log_odds = objective.head(objective.fusion(z, has))[:, 0].double().numpy()
    np.testing.assert_allclose(found, expit(log_odds), rtol=1e-6)


def test_a_model_without_a_head_for_the_outcome_is_refused_with_the_reason(
    catalog: Catalog, synthetic_store: CohortStore, task: Classification
) -> None:
    request = draw_request(task, synthetic_store, parse_pattern("complete"))
    contrastive = predictor_of(catalog, synthetic_store, task="supcon")
    with pytest.raises(
        CannotScore, match="objective that predicts labels, such as 'outcome' or 'farcon'"
    ):
        contrastive.predict_proba(request)
    with pytest.raises(
        CannotScore, match="objective that predicts labels, such as 'outcome' or 'farcon'"
    ):
        replace(contrastive, encoders=None).predict_proba(request)
    other = predictor_of(
        catalog,
        synthetic_store,
        'side.labels=["lung_mass"]',
        'selection.targets=["lung_mass"]',
    )
    with pytest.raises(CannotScore, match="no head for 'deterioration'; it was trained on lung_m"):
        other.predict_proba(request)
