"""What is fitted or drawn at evaluation learns from no more than the training of the run had."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, build_training_view
from clinical_symile.evaluation.predictors.bank import read_bank
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.training_embeddings import training_embeddings
from clinical_symile.evaluation.runner import trained_predictor
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import mlp_task

LABS, SEED = 2, 3
HALF_THE_LABS = "missingness=mcar-labs-50"
FEW_WOMEN = 'undersample={group="sex", value="F", keep=0.2}'


def embedded(task: Pretraining, store: CohortStore) -> tuple[MultimodalEncoder, Embeddings]:
    model = build_learner(task, store, seed=0).eval().model
    return model, embed_rows(model, store, np.arange(len(store.samples)))


def view_of(task: Pretraining, store: CohortStore) -> TrainingView:
    return build_training_view(task, store, seed=SEED, min_modalities=2)


@pytest.mark.parametrize(
    "overrides",
    [(), (HALF_THE_LABS,), (FEW_WOMEN,), ("pairs=mismatched-50",), ("pairs=paired-25",)],
)
def test_a_run_gives_the_vectors_that_its_training_read_and_no_others(
    catalog: Catalog, synthetic_store: CohortStore, overrides: tuple[str, ...]
):
    task = mlp_task(catalog, *overrides)
    model, embeddings = embedded(task, synthetic_store)
    view = view_of(task, synthetic_store)
    read = np.zeros_like(synthetic_store.present)
    for partners, available in zip(view.partners, view.available, strict=True):
        for column in range(3):
            read[partners[column], column] |= available[column]
    z = torch.where(torch.from_numpy(read)[:, :, None], embeddings.z, torch.nan)
    found = training_embeddings(task, model, replace(embeddings, z=z), synthetic_store, seed=SEED)
    assert torch.isfinite(found.z).all()
    assert found.rows.tolist() == view.rows.tolist()
    assert found.available.tolist() == view.available.tolist()
    for place in range(len(view.rows)):
        for column in range(3):
            own = embeddings.z[view.partners[place, column], column]
            expected = own if view.available[place, column] else torch.zeros_like(own)
            assert torch.equal(found.z[place, column], expected)


def test_samples_without_two_modalities_are_not_learned_from(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, HALF_THE_LABS)
    model, embeddings = embedded(task, synthetic_store)
    found = training_embeddings(task, model, embeddings, synthetic_store, seed=SEED)
    train = synthetic_store.rows("train")
    assert (found.available.sum(dim=1) >= 2).all()
    assert np.isin(found.rows.numpy(), train).all()
    assert 0 < found.available[:, LABS].sum() < 0.7 * synthetic_store.present[train, LABS].sum()


def test_a_modality_is_encoded_without_the_parts_that_training_lacked(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, "missingness=labs-mcar-50")
    model, embeddings = embedded(task, synthetic_store)
    view = view_of(task, synthetic_store)
    found = training_embeddings(task, model, embeddings, synthetic_store, seed=SEED)
    expected = embed_rows(model, view.store, view.rows)
    torch.testing.assert_close(found.z, expected.z, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found.z[:, LABS], embeddings.z[view.rows, LABS])


@pytest.mark.parametrize("way", ["neighbours", "prototypes"])
@pytest.mark.parametrize("override", [HALF_THE_LABS, FEW_WOMEN])
def test_a_way_is_fitted_to_what_the_training_of_the_run_had(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, way: str, override: str
):
    task = mlp_task(catalog, override, f"missing_modality={way}", task="pretraining/clip")
    learner = build_learner(task, synthetic_store, seed=0).eval()
    predictor = trained_predictor(Run(tmp_path), task, learner, synthetic_store, seed=SEED)
    asked = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(asked, Retrieval)
    request = draw_request(asked, synthetic_store, parse_pattern("without-labs"))
    own, everyone = (
        learner.model.fitted(train, seed=0)
        for train in (
            training_embeddings(
                task, learner.model, predictor.embeddings, synthetic_store, seed=SEED
            ),
            predictor.embeddings.take(torch.from_numpy(synthetic_store.rows("train").copy())),
        )
    )
    found = predictor.score_shared(request, request.rows)
    expected, before = (
        replace(predictor, fills=fills).score_shared(request, request.rows)
        for fills in (own, everyone)
    )
    np.testing.assert_array_equal(found, expected)
    assert not np.allclose(found, before)


def test_the_bank_of_a_run_holds_what_its_training_had(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = mlp_task(catalog, HALF_THE_LABS, "objective.missing_query=marginalize")
    learner = build_learner(task, synthetic_store, seed=0).eval()
    predictor = trained_predictor(Run(tmp_path), task, learner, synthetic_store, seed=SEED)
    view = view_of(task, synthetic_store)
    had = predictor.embeddings.z[view.rows[view.available[:, LABS]], LABS].tolist()
    bank = read_bank(tmp_path, seed=SEED)
    assert bank is not None
    assert len(bank.z["labs"]) == len(had)  # all of them: fewer than the bank's size
    assert sorted(bank.z["labs"].tolist()) == sorted(had)


@pytest.mark.parametrize("way", ["learned", "imputed", "imputed_values"])
def test_a_run_whose_missing_embeddings_are_replaced_keeps_no_bank(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, way: str
):
    task = mlp_task(catalog, f"missing_modality={way}", "objective.missing_query=marginalize")
    learner = build_learner(task, synthetic_store, seed=0).eval()
    predictor = trained_predictor(Run(tmp_path), task, learner, synthetic_store, seed=SEED)
    assert predictor.missing_query is None
    assert read_bank(tmp_path, seed=SEED) is None
