from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery
from clinical_symile.evaluation.pooled_auc import pooled_auc_per_query
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.metrics.retrieval import auc_over_scores
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.stats.bootstrap import bootstrap

COMPLETE = parse_pattern("complete")


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog, name)
    assert isinstance(made, Retrieval)
    return made


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinical_symile.evaluation._blocks._QUERIES_PER_BLOCK", 4)
    monkeypatch.setattr("clinical_symile.evaluation._blocks._CANDIDATES_PER_BLOCK", 3)


class _Table:
    def __init__(self, scores: np.ndarray):
        self.scores, self.cells = scores, []

    def score(self, request: Any, candidates: Any) -> np.ndarray:
        self.cells.append(candidates.size)
        full = self.scores[request.rows[:, None], candidates]
        return np.where(candidates == PADDING, -np.inf, full)

    def score_shared(self, request: Any, candidates: Any) -> np.ndarray:
        self.cells.append(len(request.rows) * len(candidates))
        return self.scores[np.ix_(request.rows, candidates)]


def _parts(task: Retrieval, scores: np.ndarray, among: CandidateLists | Gallery) -> np.ndarray:
    available = np.ones((len(among.queries), 2), dtype=bool)
    request = Request(task, among.queries, available, COMPLETE)
    return pooled_auc_per_query(request, _Table(scores), among=among)


def test_the_auc_over_scores_is_that_of_all_pairs_in_lists(
    task: Retrieval, rng: np.random.Generator
) -> None:
    for _ in range(1000):
        queries, size = rng.integers(1, 7), rng.integers(2, 6)
        scores = rng.integers(5, size=(8, 8)).astype(float)
        lists = np.stack([rng.permutation(np.delete(np.arange(8), q)) for q in range(queries)])
        lists = np.column_stack([np.arange(queries), lists])[:, :size]
        if size > 2:
            lists[0, -1] = PADDING
        rows, place = np.nonzero(lists != PADDING)
        label = place == 0
        expected = roc_auc_score(label, scores[rows, lists[rows, place]])
        found = _parts(task, scores, CandidateLists(np.arange(queries), lists)).mean()
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("subjects", [[0, 1, 2, 3, 4, 5, 6], [0, 0, 1, 2, 2, 2, 3]])
def test_the_auc_over_scores_is_that_of_all_pairs_in_a_gallery(
    subjects: list[int], task: Retrieval, rng: np.random.Generator
) -> None:
    queries, subject = np.array([1, 3, 4, 6, 8, 9, 10]), np.array(subjects)
    scores = rng.integers(6, size=(12, 12)).astype(float)
    found = _parts(task, scores, Gallery(queries, subject)).mean()
    own = np.equal.outer(queries, queries)
    asked = own | np.not_equal.outer(subject, subject)
    expected = roc_auc_score(own[asked], scores[np.ix_(queries, queries)][asked])
    assert found == pytest.approx(expected, abs=1e-12)


def test_no_more_than_a_block_is_held(task: Retrieval, rng: np.random.Generator) -> None:
    predictor = _Table(rng.random((30, 30)))
    gallery = Gallery(np.arange(30), np.arange(30))
    request = Request(task, gallery.queries, np.ones((30, 2), dtype=bool), COMPLETE)
    pooled_auc_per_query(request, predictor, among=gallery)
    assert max(predictor.cells) <= 4 * 3
    assert sum(predictor.cells) == 30 * 30 + 30


def test_resampling_the_parts_is_as_wide_as_resampling_the_queries(
    task: Retrieval, rng: np.random.Generator
) -> None:
    # Queries whose scores are all high or all low: right and wrong ones move together.
    queries, size = 120, 6
    scores = rng.normal(size=(queries, queries)) + rng.normal(size=(queries, 1))
    scores[np.diag_indices(queries)] += 1
    lists = (np.arange(queries)[:, None] + np.arange(size)) % queries
    listed = np.take_along_axis(scores, lists, axis=1)
    label = np.tile(np.arange(size) == 0, queries)
    drawn = rng.integers(queries, size=(400, queries))
    expected = np.std([roc_auc_score(label, listed[index].ravel()) for index in drawn])
    parts = _parts(task, scores, CandidateLists(np.arange(queries), lists))
    found = np.std([auc_over_scores(parts[index]) for index in drawn])
    assert found == pytest.approx(expected, rel=0.05)
    assert bootstrap(auc_over_scores, [parts], np.arange(queries), rng=rng).low < parts.mean()


def test_without_a_wrong_candidate_there_is_nothing_to_tell_apart(task: Retrieval) -> None:
    assert np.isnan(_parts(task, np.ones((3, 3)), Gallery(np.array([1]), np.array([0])))).all()
