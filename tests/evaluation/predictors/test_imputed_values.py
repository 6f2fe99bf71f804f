"""Scores and risks with imputed values rest on what the run trained on, and are averaged."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.completed import panel_values
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.diagnostics.conflict import Conflict
from clinical_symile.evaluation.predictors.base import Request, draw_request
from clinical_symile.evaluation.predictors.imputed_values import (
    ImputedPredictor,
    fit_imputed_values,
)
from clinical_symile.evaluation.predictors.training_embeddings import training_values
from clinical_symile.evaluation.runner import trained_predictor
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from tests.helpers.examined import values
from tests.helpers.synthetic import mlp_task


@pytest.fixture(autouse=True)
def few_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinical_symile.models.missing_modality._chained._COMPONENTS", 2)


def task_of(catalog: Catalog, *overrides: str) -> Pretraining:
    name = "pretraining/clip"
    return mlp_task(catalog, "missing_modality=imputed_values", *overrides, task=name)


def predictor_of(task: Pretraining, store: CohortStore) -> ImputedPredictor:
    learner = build_learner(task, store, seed=0).eval()
    run = Run(store.path / "no-such-run")
    found = trained_predictor(run, task, learner, store, seed=0)
    assert isinstance(found, ImputedPredictor)
    return found


def retrieval_request(
    catalog: Catalog, store: CohortStore, pattern: str = "without-labs"
) -> Request[Retrieval]:
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    return draw_request(task, store, parse_pattern(pattern))


def changed_labs(store: CohortStore, split: str) -> CohortStore:
    """The store with other values of labs in one split."""
    values = np.array(store.array("labs"))
    values[store.rows(split)] *= 1.5
    return replace(store, converted={"labs": values})


def test_what_is_fitted_reads_the_values_that_the_run_trained_on(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = task_of(catalog, "missingness=labs-mcar-50")
    trained_on = training_values(task, synthetic_store, ["labs"], seed=0)["labs"]
    whole = task_of(catalog)
    recorded = training_values(whole, synthetic_store, ["labs"], seed=0)["labs"]
    assert np.isnan(trained_on).mean() > np.isnan(recorded).mean() + 0.3
    rows = synthetic_store.rows("train")
    rows = rows[synthetic_store.present[rows].sum(axis=1) >= 2]
    rows = rows[synthetic_store.present[rows, synthetic_store.modalities.index("labs")]]
    np.testing.assert_array_equal(recorded, panel_values(synthetic_store, "labs", rows))


@pytest.mark.slow
def test_scores_are_averaged_over_imputations_that_read_no_held_out_value(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = task_of(catalog)
    predictor = predictor_of(task, synthetic_store)
    assert predictor.missing_query is None
    request = retrieval_request(catalog, synthetic_store)
    found = predictor.score_shared(request, request.rows)
    each = [one.score_shared(request, request.rows) for one in predictor.imputations]
    assert len(each) == 5
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(found, np.mean(each, axis=0))
    lists = request.rows[None].repeat(len(request.rows), axis=0)
    np.testing.assert_allclose(predictor.score(request, lists), found, atol=1e-6)
    # Labs are hidden: no held-out value of theirs is read, neither in fitting nor in use.
    other = changed_labs(synthetic_store, "held_out")
    assert predictor.encoders is not None
    model = predictor.encoders.learner.model
    changed = replace(predictor, store=other)
    np.testing.assert_array_equal(changed.score_shared(request, request.rows), found)
    fits = [
        fit_imputed_values(task, model, predictor.embeddings, store, seed=0)[0]
        for store in (synthetic_store, other, changed_labs(synthetic_store, "train"))
    ]
    asked = np.full((1, synthetic_store.array("labs").shape[1]), np.nan)
    made = [one.complete["labs"](asked, ["a"]) for one in fits]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@pytest.mark.slow
def test_hidden_analytes_are_imputed_after_they_are_hidden(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    predictor = predictor_of(task_of(catalog), synthetic_store)
    pattern = parse_pattern("labs-mcar-50")
    hidden = predictor.with_parts_hidden(pattern, seed=0)
    assert isinstance(hidden, ImputedPredictor)
    assert hidden.fitted() is predictor.fitted()
    rows = synthetic_store.rows("held_out")
    column = synthetic_store.modalities.index("labs")
    rows = rows[synthetic_store.present[rows, column]]
    for one in hidden.imputations:
        assert (one.store.inputs("labs", rows)[:, 1] == 1).all()
    request = retrieval_request(catalog, synthetic_store, "complete")
    plain = predictor.score_shared(request, request.rows)
    assert not np.allclose(hidden.score_shared(request, request.rows), plain)


@pytest.mark.slow
def test_log_odds_are_averaged_each_with_its_own_probe(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    predictor = predictor_of(task_of(catalog), synthetic_store)
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    request = draw_request(task, synthetic_store, parse_pattern("complete"))
    found = predictor.predict_proba(request)
    each = [one.predict_proba(request) for one in predictor.imputations]
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(logit(found), np.mean(logit(each), axis=0), atol=1e-6)


@pytest.mark.slow
def test_an_exchange_of_labs_changes_risks(catalog: Catalog, synthetic_store: CohortStore) -> None:
    predictor = predictor_of(task_of(catalog), synthetic_store)
    task = read_task(catalog, "diagnostic/conflict")
    assert isinstance(task, DiagnosticTask)
    request = draw_request(task, synthetic_store, parse_pattern("complete"))
    found = values(Conflict(), DiagnosticInputs(request, predictor, synthetic_store))
    for name in ("cxr", "ecg", "labs"):
        assert found[f"follows_others/{name}"] < 1
    assert found["follows_exchanged/labs"] > 0


@pytest.mark.slow
def test_another_hospital_gets_imputations_of_the_training_cohort(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    own = predictor_of(task_of(catalog), synthetic_store)
    elsewhere = ImputedPredictor(
        own.embeddings,
        own.objective,
        synthetic_store,
        encoders=own.encoders,
        source=lambda: own,
        fitted=lambda: own.fitted(),
    )
    request = retrieval_request(catalog, synthetic_store)
    np.testing.assert_array_equal(
        elsewhere.score_shared(request, request.rows), own.score_shared(request, request.rows)
    )
