"""Where the right candidate of each query stands, by anybody's scores."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.candidates import NOBODY, Gallery, Lists
from clinical_symile.metrics.retrieval import above_and_tied, ranks
from clinical_symile.scorer import Scorer
from clinical_symile.task import Retrieval

ANSWERS = 3
QUERIES_AT_A_TIME, CANDIDATES_AT_A_TIME = 256, 4096


@dataclass(frozen=True)
class Ranking:
    """What became of each query.

    Attributes:
        above: how many candidates score above the right one.
        tied: how many others score the same.
        candidates: how many there are, the right one included.
        answers: the first candidates as rows of the store, the best first; `NOBODY` where there are
            fewer. Ties are broken at random: a place in a list must not win them.
    """

    above: Int[np.ndarray, " query"]
    tied: Int[np.ndarray, " query"]
    candidates: Int[np.ndarray, " query"]
    answers: Int[np.ndarray, "query answer"]


def rank(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    seen: Bool[np.ndarray, "query modality"],
    *,
    among: Lists | Gallery,
) -> Ranking:
    """Rank the right candidate of each query among all of its candidates.

    Args:
        task: what is retrieved; its seed breaks the ties of answers.
        scorer: who scores.
        rows: the queries, among those of `among`.
        seen: which of the task's query modalities may be used.
        among: the candidates.

    Raises:
        ValueError: a score is not a number.
    """
    return RANKED[type(among)](task, scorer, rows, seen, among)


def _in_lists(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    seen: Bool[np.ndarray, "query modality"],
    lists: Lists,
) -> Ranking:
    listed = lists.of(rows)
    scores = scorer.score(task, rows, seen, listed)
    above, tied = ranks(scores, np.zeros(len(rows), dtype=np.int64))
    noise = np.random.default_rng(task.seed).random(scores.shape)
    best = np.lexsort((noise, -scores), axis=1)[:, :ANSWERS]
    answers = np.take_along_axis(listed, best, axis=1)
    return Ranking(above, tied, (listed != NOBODY).sum(axis=1), answers)


def _in_gallery(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    seen: Bool[np.ndarray, "query modality"],
    gallery: Gallery,
) -> Ranking:
    """In blocks of queries and candidates, never all queries with all candidates.

    The gallery is gone through in a random order, and the earlier of equal candidates wins.
    """
    order = np.random.default_rng(task.seed).permutation(len(gallery.queries))
    parts = [
        _block(task, scorer, rows[part], seen[part], gallery, order)
        for part in _slices(len(rows), QUERIES_AT_A_TIME)
    ]
    subjects = gallery.subjects[np.searchsorted(gallery.queries, rows)]
    own = np.bincount(gallery.subjects)[subjects]
    above, tied, answers = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Ranking(above, tied, len(gallery.queries) - own + 1, answers)


def _block(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    seen: Bool[np.ndarray, "query modality"],
    gallery: Gallery,
    order: Int[np.ndarray, " candidate"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Above, tied and answers of some queries."""
    right = scorer.score(task, rows, seen, rows[:, None])[:, 0]
    subjects = gallery.subjects[np.searchsorted(gallery.queries, rows)]
    above, tied = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1)
    best = np.full((len(rows), ANSWERS), -np.inf)
    answers = np.full((len(rows), ANSWERS), NOBODY)
    for columns in _slices(len(order), CANDIDATES_AT_A_TIME):
        candidates = gallery.queries[order[columns]]
        scores = scorer.score_all(task, rows, seen, candidates)
        scores[subjects[:, None] == gallery.subjects[order[columns]]] = -np.inf
        query, place = np.nonzero(rows[:, None] == candidates)
        scores[query, place] = right[query]
        more_above, more_tied = above_and_tied(scores, right)
        above, tied = above + more_above, tied + more_tied
        best, answers = _merged(best, answers, scores, candidates)
    width = min(ANSWERS, len(order))
    return above, tied, answers[:, :width]


def _merged(
    best: Float[np.ndarray, "query answer"],
    answers: Int[np.ndarray, "query answer"],
    scores: Float[np.ndarray, "query candidate"],
    candidates: Int[np.ndarray, " candidate"],
) -> tuple[np.ndarray, np.ndarray]:
    """The first answers so far and those of one more block, which is used up."""
    every = np.arange(len(scores))
    for _ in range(min(ANSWERS, len(candidates))):
        first = scores.argmax(axis=1)
        score = scores[every, first]
        best = np.column_stack([best, score])
        found = np.where(np.isneginf(score), NOBODY, candidates[first])
        answers = np.column_stack([answers, found])
        scores[every, first] = -np.inf
    kept = np.argsort(-best, axis=1, kind="stable")[:, :ANSWERS]
    return np.take_along_axis(best, kept, axis=1), np.take_along_axis(answers, kept, axis=1)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


RANKED = {Lists: _in_lists, Gallery: _in_gallery}
