"""How well right and wrong scores are told apart over all queries, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery
from clinical_symile.evaluation.predictors.embedding import Scorer

QUERIES_AT_A_TIME, CANDIDATES_AT_A_TIME = 256, 4096

Wrong = Iterator[tuple[slice, Float[np.ndarray, "query candidate"]]]


def pooled_auc_per_query(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    available: Bool[np.ndarray, "query modality"],
    *,
    among: CandidateLists | Gallery,
) -> Float[np.ndarray, " query"]:
    """Each query's part in the AUC over all scores; their mean is that AUC exactly.

    NaN for all where there is no wrong candidate at all.

    With R right scores and W wrong ones, of which n_i are query i's, let A be the share of all
    R W pairs in which the right score is above the wrong one, ties half; a_i that share for the
    right score of query i and all wrong ones, b_i for the wrong scores of query i and all right
    ones. The part of query i is a_i + (n_i R / W) (b_i - A). Resampling these parts resamples what
    a query adds as right and as wrong, to first order.

    Source: the structural components of DeLong, DeLong and Clarke-Pearson, Biometrics 1988, for
    clustered data as in Obuchowski, Biometrics 1997.

    Args:
        task: what is retrieved.
        scorer: who scores.
        rows: the queries, among those of `among`.
        available: which of the task's query modalities may be used.
        among: the candidates.
    """
    right = np.concatenate(
        [
            scorer.score(task, rows[part], available[part], rows[part, None])[:, 0]
            for part in _slices(len(rows), QUERIES_AT_A_TIME)
        ]
    )
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    won, wrong = np.zeros(len(rows)), np.zeros(len(rows))
    # How many wrong scores have so many right ones below them, and below or level with them.
    below, level = np.zeros(len(rows) + 1), np.zeros(len(rows) + 1)
    for part, scores in WRONG[type(among)](task, scorer, rows, available, among):
        there = scores > -np.inf
        low = np.searchsorted(ordered, scores[there], side="left")
        high = np.searchsorted(ordered, scores[there], side="right")
        query = np.nonzero(there)[0]
        won[part] += np.bincount(query, len(rows) - (low + high) / 2, minlength=len(scores))
        wrong[part] += there.sum(axis=1)
        below += np.bincount(low, minlength=len(below))
        level += np.bincount(high, minlength=len(level))
    total = wrong.sum()
    if not total:
        return np.full(len(rows), np.nan)
    above = np.empty(len(rows))
    above[order] = (np.cumsum(below) + np.cumsum(level))[:-1] / (2 * total)
    return above + (won - len(rows) * wrong * above.mean()) / total


def _of_lists(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    available: Bool[np.ndarray, "query modality"],
    lists: CandidateLists,
) -> Wrong:
    for part in _slices(len(rows), QUERIES_AT_A_TIME):
        listed = lists.of(rows[part])
        scores = scorer.score(task, rows[part], available[part], listed)
        wrong = (listed != rows[part, None]) & (listed != PADDING)
        yield part, np.where(wrong, scores, -np.inf)


def _of_gallery(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    available: Bool[np.ndarray, "query modality"],
    gallery: Gallery,
) -> Wrong:
    for part in _slices(len(rows), QUERIES_AT_A_TIME):
        own = gallery.subjects[np.searchsorted(gallery.queries, rows[part])]
        for columns in _slices(len(gallery.queries), CANDIDATES_AT_A_TIME):
            scores = scorer.score_all(task, rows[part], available[part], gallery.queries[columns])
            scores[own[:, None] == gallery.subjects[columns]] = -np.inf
            yield part, scores


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


WRONG = {CandidateLists: _of_lists, Gallery: _of_gallery}
