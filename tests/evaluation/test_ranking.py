from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery, candidate_lists
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.base import (
    Request,
    RetrievalPredictor,
    draw_request,
)
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.evaluation.ranking import Ranking, rank
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.synthetic.oracle import Oracle
from tests.helpers.objective_values import SCORING, registered

NAME = "retrieval/cxr_given_ecg_labs"


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, NAME, overrides=['candidates="all"'])
    assert isinstance(made, Retrieval)
    return made


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinical_symile.evaluation._blocks._QUERIES_PER_BLOCK", 5)
    monkeypatch.setattr("clinical_symile.evaluation._blocks._CANDIDATES_PER_BLOCK", 7)


@dataclass
class _Table:
    """Scores by row of the store, and how much was asked for at a time."""

    scores: np.ndarray
    cells: list[int] = field(default_factory=list)

    def score(self, request: Any, candidates: Any) -> np.ndarray:
        self.cells.append(candidates.size)
        full = self.scores[request.rows[:, None], candidates]
        return np.where(candidates == PADDING, -np.inf, full)

    def score_shared(self, request: Any, candidates: Any) -> np.ndarray:
        self.cells.append(len(request.rows) * len(candidates))
        return self.scores[np.ix_(request.rows, candidates)]


def _request(task: Retrieval, store: CohortStore) -> Request[Retrieval]:
    request = draw_request(task, store, parse_pattern("mcar-30"))
    return request.take(np.isin(request.rows, candidate_lists(task, store).queries))


def _ranked(
    task: Retrieval, predictor: RetrievalPredictor, store: CohortStore
) -> tuple[np.ndarray, Ranking]:
    request = _request(task, store)
    return request.rows, rank(request, predictor, among=candidate_lists(task, store))


def _complete(task: Retrieval, rows: np.ndarray) -> Request[Retrieval]:
    return Request(task, rows, np.ones((len(rows), 2), dtype=bool), parse_pattern("complete"))


def _few_scores(store: CohortStore, rng: np.random.Generator) -> np.ndarray:
    """Of four values, so that there are ties."""
    return rng.integers(0, 4, (len(store.samples), len(store.samples))).astype(float)


def _listed(store: CohortStore, row: int) -> list[int]:
    subject = store.samples["subject"].to_numpy()
    held_out = [r for r in store.rows("held_out") if store.present[r, 0]]
    return [other for other in held_out if other == row or subject[other] != subject[row]]


def test_a_gallery_is_ranked_as_if_each_query_had_it_as_its_list(
    task: Retrieval, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    scores = _few_scores(synthetic_store, rng)
    rows, ranking = _ranked(task, _Table(scores), synthetic_store)
    assert len(rows) > 10
    for place, row in enumerate(rows):
        listed = _listed(synthetic_store, row)
        values = [scores[row, candidate] for candidate in listed]
        assert ranking.above[place] == sum(value > scores[row, row] for value in values)
        assert ranking.tied[place] == sum(value == scores[row, row] for value in values) - 1
        assert ranking.candidates[place] == len(listed)
        answers = ranking.answers[place].tolist()
        assert len(set(answers)) == 3
        assert set(answers) <= set(listed)
        assert [scores[row, a] for a in answers] == sorted(values, reverse=True)[:3]


@pytest.mark.parametrize("objective", SCORING)
@pytest.mark.parametrize("points", [1, 4, 1000])
def test_a_model_ranks_a_gallery_as_it_ranks_lists(
    objective: str,
    points: int,
    task: Retrieval,
    synthetic_store: CohortStore,
    generator: torch.Generator,
) -> None:
    # Embeddings of a few points: candidates that are alike tie, wherever a block puts them.
    present = torch.from_numpy(synthetic_store.present.copy())
    made = registered(objective, dim=8)
    z = torch.nn.functional.normalize(torch.randn(points, 3, 8, generator=generator), dim=2)
    if made.spread:
        z = torch.cat([z, torch.randn(points, 3, 8, generator=generator)], dim=2)
    z = z[torch.randint(len(z), (len(present),), generator=generator)]
    rows = torch.arange(len(present))
    embeddings = Embeddings(
        z * present[:, :, None], present, synthetic_store.modalities, rows, spread=made.spread
    )
    _check_as_lists(task, EmbeddingPredictor(embeddings, made, synthetic_store), synthetic_store)


def test_an_oracle_ranks_a_gallery_as_it_ranks_lists(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    predictor = OraclePredictor(Oracle(synthetic_store), synthetic_store)
    _check_as_lists(task, predictor, synthetic_store)


def _check_as_lists(task: Retrieval, predictor: RetrievalPredictor, store: CohortStore) -> None:
    rows, ranking = _ranked(task, predictor, store)
    longest = max(len(_listed(store, row)) for row in rows)
    lists = np.full((len(rows), longest), PADDING)
    for place, row in enumerate(rows):
        listed = [row, *(other for other in _listed(store, row) if other != row)]
        lists[place, : len(listed)] = listed
    expected = rank(_request(task, store), predictor, among=CandidateLists(rows, lists))
    np.testing.assert_array_equal(ranking.above, expected.above)
    np.testing.assert_array_equal(ranking.tied, expected.tied)
    np.testing.assert_array_equal(ranking.candidates, expected.candidates)


def test_queries_and_candidates_are_never_held_all_at_once(
    task: Retrieval, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    predictor = _Table(_few_scores(synthetic_store, rng))
    rows, ranking = _ranked(task, predictor, synthetic_store)
    assert max(predictor.cells) == 5 * 7
    assert sum(predictor.cells) > len(rows) * (ranking.candidates.max() - 1)


def test_a_score_that_is_no_number_is_told_wherever_it_stands(
    task: Retrieval, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    scores = _few_scores(synthetic_store, rng)
    among = candidate_lists(task, synthetic_store)
    scores[:, among.queries[-1]] = np.nan
    with pytest.raises(ValueError, match="have a NaN score"):
        _ranked(task, _Table(scores), synthetic_store)


def test_answers_of_a_gallery_do_not_favour_the_right_one_among_ties(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    everyone = np.arange(len(synthetic_store.samples))
    predictor = _Table(np.zeros((len(everyone), len(everyone))))
    among = Gallery(everyone[:12], everyone[:12])
    right = [
        rank(
            _complete(task.model_copy(update={"seed": seed}), everyone[:12]), predictor, among=among
        ).answers[:, 0]
        == everyone[:12]
        for seed in range(200)
    ]
    assert np.mean(right) == pytest.approx(1 / 12, abs=1e-12)
    assert np.mean(right, axis=0).max() < 0.2


def test_answers_of_lists_do_not_favour_the_right_one_among_ties(task: Retrieval) -> None:
    lists = CandidateLists(np.arange(2000), np.arange(2000)[:, None] + np.arange(10))
    predictor = _Table(np.zeros((2000, 2010)))
    ranking = rank(_complete(task, lists.queries), predictor, among=lists)
    assert abs((ranking.answers[:, 0] == lists.queries).mean() - 0.1) < 0.03


def test_a_gallery_of_one_leaves_nothing_to_get_wrong(task: Retrieval) -> None:
    gallery = Gallery(np.array([1]), np.array([0]))
    ranking = rank(_complete(task, gallery.queries), _Table(np.ones((3, 3))), among=gallery)
    assert (ranking.above[0], ranking.tied[0], ranking.candidates[0]) == (0, 0, 1)
    assert ranking.answers.tolist() == [[1]]
