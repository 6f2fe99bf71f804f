"""Samples with no modality available are answered at chance level, and never by the model."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.classification import ClassificationEvaluator
from clinical_symile.evaluation.labels import training_samples
from clinical_symile.evaluation.pooled_auc import pooled_auc_per_query
from clinical_symile.evaluation.predictors.base import Request, draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.ranking import rank
from clinical_symile.evaluation.retrieval import RetrievalEvaluator
from clinical_symile.metrics.retrieval import (
    AUC_PER_QUERY,
    MEAN_RECIPROCAL_RANK,
    MEDIAN_RANK,
    RECALL_AT_1,
    RECALL_AT_10,
)
from clinical_symile.missingness.patterns import is_applicable, parse_pattern
from clinical_symile.objectives.clip import Clip

TASKS = ["retrieval/cxr_given_ecg_labs", "retrieval/more/cxr_given_ecg_labs_among_all"]


@pytest.fixture
def predictor(synthetic_store: CohortStore, generator: torch.Generator) -> EmbeddingPredictor:
    z = torch.randn(len(synthetic_store.samples), 3, 5, generator=generator)
    embeddings = Embeddings(
        torch.nn.functional.normalize(z, dim=2),
        torch.from_numpy(synthetic_store.present.copy()),
        synthetic_store.modalities,
        torch.arange(len(z)),
    )
    return EmbeddingPredictor(embeddings, Clip(), synthetic_store)


@pytest.fixture
def request_of(catalog: Catalog, synthetic_store: CohortStore) -> Callable[..., Request]:
    def made(name: str, *, empty: slice) -> Request:
        task = read_task(catalog, name)
        request = draw_request(task, synthetic_store, parse_pattern("complete"))  # pyright: ignore[reportArgumentType]
        queries = candidate_lists(task, synthetic_store).queries  # pyright: ignore[reportArgumentType]
        request = request.take(np.isin(request.rows, queries))
        request.available[empty] = False
        return request

    return made


@pytest.mark.parametrize("name", TASKS)
def test_queries_with_nothing_have_the_chance_level_of_every_metric_of_ranks(
    name, predictor, request_of, synthetic_store
):
    request = request_of(name, empty=slice(None))
    ranking = rank(request, predictor, among=candidate_lists(request.task, synthetic_store))
    for metric in (RECALL_AT_1, RECALL_AT_10, MEAN_RECIPROCAL_RANK, MEDIAN_RANK, AUC_PER_QUERY):
        columns = [getattr(ranking, column) for column in metric.columns]
        assert metric.chance is not None
        assert metric.compute(*columns) == pytest.approx(metric.chance(ranking.candidates))


@pytest.mark.parametrize("name", TASKS)
def test_queries_with_nothing_change_no_rank_of_the_others(
    name, predictor, request_of, synthetic_store
):
    whole, some = request_of(name, empty=slice(0, 0)), request_of(name, empty=slice(0, 5))
    lists = candidate_lists(whole.task, synthetic_store)
    expected, found = (vars(rank(each, predictor, among=lists)) for each in (whole, some))
    for column in expected:
        np.testing.assert_array_equal(found[column][5:], expected[column][5:])
    assert (found["above"][:5] == 0).all()
    np.testing.assert_array_equal(found["tied"][:5] + 1, found["candidates"][:5])


@pytest.mark.parametrize("name", TASKS)
def test_half_of_the_pooled_pairs_with_a_query_with_nothing_are_won(
    name, predictor, request_of, synthetic_store
):
    whole, some = request_of(name, empty=slice(0, 0)), request_of(name, empty=slice(0, 5))
    lists = candidate_lists(whole.task, synthetic_store)
    alone = pooled_auc_per_query(some.take(slice(5, None)), predictor, among=lists).mean()
    found = pooled_auc_per_query(some, predictor, among=lists).mean()
    wrong = rank(whole, predictor, among=lists).candidates - 1
    share = wrong[5:].sum() * (len(wrong) - 5) / (wrong.sum() * len(wrong))
    assert found == pytest.approx(share * alone + (1 - share) / 2)
    nothing = request_of(name, empty=slice(None))
    assert pooled_auc_per_query(nothing, predictor, among=lists) == pytest.approx(0.5)


DRAWN = (
    "without-ecg",
    "mcar-60",
    "mcar-ecg-90-labs-20",
    "mcar-60-corr-60",
    "mcar-50@at-least-one",
    "mnar-60",
    "mnar-deterioration-60",
    "site",
)


@pytest.mark.parametrize(
    ("name", "evaluator"),
    [
        ("retrieval/cxr_given_ecg_labs", RetrievalEvaluator),
        ("classification/deterioration", ClassificationEvaluator),
    ],
)
def test_all_patterns_keep_the_samples_of_complete(
    name, evaluator, catalog, predictor, synthetic_store
):
    asked = evaluator(read_task(catalog, name), predictor, synthetic_store)
    expected = asked.outcome(parse_pattern("complete")).per_sample["row"].tolist()
    assert expected
    for pattern in map(parse_pattern, DRAWN):
        if is_applicable(pattern, asked._task.input_modalities):
            assert asked.outcome(pattern).per_sample["row"].tolist() == expected, pattern.name


def test_no_model_is_fitted_to_samples_with_nothing(catalog, synthetic_store):
    task = read_task(catalog, "classification/deterioration")
    fitted = training_samples(task, synthetic_store, parse_pattern("mcar-60"))  # pyright: ignore[reportArgumentType]
    allowed = draw_request(task, synthetic_store, parse_pattern("mcar-60"), split="train")  # pyright: ignore[reportArgumentType]
    assert not allowed.available.any(axis=1).all()
    assert all(samples.available.any(axis=1).all() for samples in fitted)


def test_a_sample_with_nothing_has_the_prevalence_of_the_train_split(
    catalog, predictor, synthetic_store
):
    name = "classification/deterioration"
    task = read_task(catalog, name)
    pattern = parse_pattern("mcar-60")
    outcome = ClassificationEvaluator(task, predictor, synthetic_store).outcome(pattern)  # pyright: ignore[reportArgumentType]
    request = draw_request(task, synthetic_store, pattern)  # pyright: ignore[reportArgumentType]
    empty = request.rows[~request.available.any(axis=1)]
    assert len(empty)
    rows = synthetic_store.complete_rows("train", task.inputs)  # pyright: ignore[reportAttributeAccessIssue]
    label = synthetic_store.outcome("deterioration")[rows]
    table = outcome.per_sample.set_index("row")["probability"]
    answered = table.reindex(empty).dropna()
    assert answered.to_numpy() == pytest.approx(np.nanmean(label))
    assert table.drop(answered.index).nunique() > 1  # pyright: ignore[reportGeneralTypeIssues]
