from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, candidate_lists
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request, draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.registry.families import OBJECTIVES
from tests.helpers.objective_values import SCORING, registered

MODALITIES = ("cxr", "ecg", "labs")
DIM = 6


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


@pytest.fixture
def predictor_of(
    synthetic_store: CohortStore, generator: torch.Generator
) -> Callable[[str], EmbeddingPredictor]:
    """Random embeddings of the whole store, scored by an objective."""

    def make(name: str) -> EmbeddingPredictor:
        present = torch.from_numpy(synthetic_store.present.copy())
        objective = registered(name, dim=DIM)
        width = 2 * DIM if objective.spread else DIM
        drawn = torch.randn(len(present), 3, width, generator=generator)
        means = torch.nn.functional.normalize(drawn[:, :, :DIM], dim=2)
        z = torch.cat([means, drawn[:, :, DIM:]], dim=2)
        embeddings = Embeddings(
            z=torch.where(present[:, :, None], z, 0.0),
            available=present,
            modalities=MODALITIES,
            rows=torch.arange(len(present)),
            spread=objective.spread,
        )
        return EmbeddingPredictor(embeddings, objective, synthetic_store)

    return make


@pytest.fixture(params=SCORING)
def predictor(
    request: pytest.FixtureRequest, predictor_of: Callable[[str], EmbeddingPredictor]
) -> EmbeddingPredictor:
    """The same for every objective that scores."""
    return predictor_of(request.param)


def _some(fast: tuple[str, ...], slow: tuple[str, ...]) -> list[Any]:
    return [*fast, *(pytest.param(name, marks=pytest.mark.slow) for name in slow)]


# A probe reads embeddings alone: an objective matters to it by whether they have log variances.
KINDS_OF_EMBEDDINGS = ("symile", "pcme")
OTHERS = tuple(name for name in OBJECTIVES if name not in KINDS_OF_EMBEDDINGS)


@pytest.fixture(params=_some(KINDS_OF_EMBEDDINGS, OTHERS))
def probed(
    request: pytest.FixtureRequest, predictor_of: Callable[[str], EmbeddingPredictor]
) -> EmbeddingPredictor:
    """The same for every objective; fast for one of each kind of embeddings."""
    return predictor_of(request.param)


def _spoiled(predictor: EmbeddingPredictor, kept: np.ndarray) -> EmbeddingPredictor:
    """The same with NaN wherever not `kept` [sample, modality]."""
    z = torch.where(torch.from_numpy(kept)[:, :, None], predictor.embeddings.z, torch.nan)
    return replace(predictor, embeddings=replace(predictor.embeddings, z=z))


RETRIEVAL_PATTERNS = _some(("without-ecg", "mcar-30"), ("observed", "complete", "without-labs"))
CLASSIFICATION_PATTERNS = _some(("only-ecg", "mcar-30"), ("observed", "complete", "without-cxr"))


@pytest.mark.parametrize("name", RETRIEVAL_PATTERNS)
def test_a_retrieval_rests_on_available_modalities_candidates_and_train_embeddings_alone(
    name: str, predictor: EmbeddingPredictor, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    request, candidates = _request(retrieval, name, synthetic_store)
    kept = np.zeros_like(synthetic_store.present)
    kept[np.unique(candidates[candidates != PADDING]), 0] = True
    if predictor.missing_query is not None:
        kept[synthetic_store.rows("train")] = True
    kept[np.ix_(request.rows, np.array([1, 2]))] = request.available
    expected = predictor.score(request, candidates)
    found = _spoiled(predictor, kept).score(request, candidates)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(found, expected)


def _request(
    task: Retrieval, pattern: str, store: CohortStore
) -> tuple[Request[Retrieval], np.ndarray]:
    lists = candidate_lists(task, store)
    assert isinstance(lists, CandidateLists)
    request = draw_request(task, store, parse_pattern(pattern))
    request = request.take(np.isin(request.rows, lists.queries))
    return request, lists.for_queries(request.rows)


def test_scores_are_the_objectives_own_for_each_candidate(
    predictor: EmbeddingPredictor, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    request, candidates = _request(retrieval, "complete", synthetic_store)
    scores = predictor.score(request, candidates)
    z = predictor.embeddings.z
    for place, row in enumerate(request.rows):
        query = predictor.embeddings.take(torch.tensor([row]))
        for column, candidate in enumerate(candidates[place]):
            own = predictor.objective.score(query, z[candidate, :1], target="cxr").item()
            assert scores[place, column] == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize("name", ["symile", "clip"])
def test_scores_are_products_or_sums_by_hand(
    name: str, predictor_of: Callable, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    predictor = predictor_of(name)
    request, candidates = _request(retrieval, "complete", synthetic_store)
    scores = predictor.score(request, candidates)
    z = predictor.embeddings.z.double().numpy()
    for place, row in enumerate(request.rows):
        for column, candidate in enumerate(candidates[place]):
            joined = z[row, 1] * z[row, 2] if name == "symile" else z[row, 1] + z[row, 2]
            expected = (joined * z[candidate, 0]).sum()
            assert scores[place, column] == pytest.approx(expected, abs=1e-6)


def test_permuting_candidates_permutes_scores(
    predictor: EmbeddingPredictor,
    retrieval: Retrieval,
    synthetic_store: CohortStore,
    rng: np.random.Generator,
) -> None:
    request, candidates = _request(retrieval, "complete", synthetic_store)
    order = rng.permutation(candidates.shape[1])
    np.testing.assert_array_equal(
        predictor.score(request, candidates[:, order]),
        predictor.score(request, candidates)[:, order],
    )


def test_nobody_scores_below_everyone(
    predictor: EmbeddingPredictor, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    request, candidates = _request(retrieval, "complete", synthetic_store)
    candidates = np.where(
        np.arange(candidates.shape[1]) > request.rows[:, None] % 3, PADDING, candidates
    )
    scores = predictor.score(request, candidates)
    np.testing.assert_array_equal(np.isneginf(scores), candidates == PADDING)


@pytest.mark.parametrize("cells", [1, 100, 1000])
def test_scores_are_the_same_whatever_is_held_at_a_time(
    cells: int,
    predictor: EmbeddingPredictor,
    retrieval: Retrieval,
    synthetic_store: CohortStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request, candidates = _request(retrieval, "mcar-30", synthetic_store)
    expected = predictor.score(request, candidates)
    monkeypatch.setattr("clinical_symile.evaluation.predictors.embedding._CELLS", cells)
    np.testing.assert_array_equal(predictor.score(request, candidates), expected)


def test_the_same_candidates_for_all_score_as_a_list_for_each(
    predictor: EmbeddingPredictor, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    request, candidates = _request(retrieval, "mcar-30", synthetic_store)
    together = np.unique(candidates)[::-1]
    full = predictor.score_shared(request, together)
    assert full.shape == (len(request.rows), len(together))
    listed = np.tile(together, (len(request.rows), 1))
    np.testing.assert_array_equal(full, predictor.score(request, listed))


@pytest.mark.parametrize("name", CLASSIFICATION_PATTERNS)
def test_a_probe_is_fitted_chosen_and_asked_under_the_same_pattern(
    name: str, probed: EmbeddingPredictor, classification: Classification
) -> None:
    # What the pattern hides is spoiled in every split: were it not hidden in training too, the
    # probe could not even be fitted.
    pattern = parse_pattern(name)
    kept = np.zeros_like(probed.store.present)
    for split in ("train", "tuning", "held_out"):
        request = draw_request(classification, probed.store, pattern, split=split)
        kept[request.rows] = request.available
    expected = _probability(probed, classification, pattern)
    found = _probability(_spoiled(probed, kept), classification, pattern)
    assert (np.ptp(expected) > 0) & ((expected >= 0) & (expected <= 1)).all()
    np.testing.assert_array_equal(found, expected)


def _probability(
    predictor: EmbeddingPredictor, task: Classification, pattern: Pattern, take: slice = slice(None)
) -> np.ndarray:
    return predictor.predict_proba(draw_request(task, predictor.store, pattern).take(take))


def _with_other_labs(predictor: EmbeddingPredictor) -> EmbeddingPredictor:
    """The same with each other's embeddings of labs."""
    z = predictor.embeddings.z.clone()
    z[:, 2] = z[:, 2].flip(0)
    return replace(predictor, embeddings=replace(predictor.embeddings, z=z))


def test_what_is_seen_does_count(predictor: EmbeddingPredictor, retrieval: Retrieval) -> None:
    request, candidates = _request(retrieval, "without-ecg", predictor.store)
    assert not np.array_equal(
        predictor.score(request, candidates),
        _with_other_labs(predictor).score(request, candidates),
    )


def test_what_is_seen_does_count_for_a_probe(
    probed: EmbeddingPredictor, classification: Classification
) -> None:
    pattern = parse_pattern("only-labs")
    assert not np.array_equal(
        _probability(probed, classification, pattern),
        _probability(_with_other_labs(probed), classification, pattern),
    )


def test_a_sample_is_predicted_alike_in_any_company(
    probed: EmbeddingPredictor, classification: Classification
) -> None:
    pattern = parse_pattern("mcar-30")
    np.testing.assert_allclose(
        _probability(probed, classification, pattern, slice(None, 4)),
        _probability(probed, classification, pattern)[:4],
        rtol=1e-12,
    )


def test_held_out_labels_have_no_part_in_a_prediction(
    probed: EmbeddingPredictor, classification: Classification
) -> None:
    table = probed.store.samples.copy()
    held_out = probed.store.rows("held_out")
    table.loc[held_out, "outcome_deterioration"] = 1 - table.loc[held_out, "outcome_deterioration"]
    other = replace(probed, store=replace(probed.store, samples=table))
    np.testing.assert_array_equal(
        _probability(probed, classification, parse_pattern("complete")),
        _probability(other, classification, parse_pattern("complete")),
    )


def test_a_probe_finds_what_an_embedding_shows(
    probed: EmbeddingPredictor, classification: Classification
) -> None:
    label = torch.tensor(probed.store.outcome("deterioration")).nan_to_num(0.0)
    z = probed.embeddings.z.clone()
    z[:, 2, 0] = 10 * label - 5
    knowing = replace(probed, embeddings=replace(probed.embeddings, z=z))
    rows = draw_request(classification, probed.store, parse_pattern("complete")).rows
    found = _probability(knowing, classification, parse_pattern("complete"))
    known = probed.store.outcome("deterioration")[rows]
    assert found[known == 1].min() > found[known == 0].max()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_outcome_that_nobody_has_cannot_be_learned(
    value: float, probed: EmbeddingPredictor, classification: Classification
) -> None:
    table = probed.store.samples.copy()
    table["outcome_deterioration"] = value
    other = replace(probed, store=replace(probed.store, samples=table))
    with pytest.raises(CannotScore, match="no model can be fitted to the labels"):
        _probability(other, classification, parse_pattern("complete"))
