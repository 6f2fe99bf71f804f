"""Compute the AUC of right against wrong scores pooled over all queries, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery
from clinical_symile.evaluation._blocks import candidate_blocks, query_blocks
from clinical_symile.evaluation.predictors.base import Request, RetrievalPredictor
from clinical_symile.evaluation.ranking import NoInformation

WrongScores = Iterator[tuple[slice, Float[np.ndarray, "query candidate"]]]


def pooled_auc_per_query(
    request: Request[Retrieval],
    predictor: RetrievalPredictor,
    *,
    among: CandidateLists | Gallery,
) -> Float[np.ndarray, " query"]:
    """Compute the component of each query in the pooled AUC; their mean is that AUC exactly.

    With R right scores and W wrong ones, of which n_i are query i's, let A be the share of all R W
    pairs in which the right score is above the wrong one, ties half. Let a_i be that share for the
    right score of query i and all wrong ones, b_i for the wrong scores of query i and all right
    ones. The component of query i is a_i + (n_i R / W) (b_i - A). To first order, resampling the
    components is resampling the right and wrong scores that a query adds.

    Source: the structural components of DeLong, DeLong and Clarke-Pearson, Biometrics 1988, for
    clustered data as in Obuchowski, Biometrics 1997.

    Args:
        request: the queries, among those of `among`.
        predictor: the model.
        among: the candidates.

    A query with no modality available is not given to the model. Its scores win half of all pairs.

    Returns:
        One component per query; NaN for all if there is no wrong candidate.
    """
    informed = np.asarray(request.available.any(axis=1))
    right_wins, wrong_wins, n_wrong = (np.zeros(len(informed)) for _ in range(3))
    right_wins[informed], wrong_wins[informed], n_wrong[informed] = _pair_counts(
        request.take(informed), predictor, among
    )
    if not informed.all():
        # Nothing is known of these queries: half of all pairs with one of their scores are won.
        uninformed = request.take(~informed)
        n_wrong[~informed] = _pair_counts(uninformed, NoInformation(), among)[2]
        right_wins[informed] += n_wrong[~informed].sum() / 2
        wrong_wins[informed] += n_wrong[informed] * (~informed).sum() / 2
        right_wins[~informed] = n_wrong.sum() / 2
        wrong_wins[~informed] = n_wrong[~informed] * len(informed) / 2
    total = n_wrong.sum()
    if not total:
        return np.full(len(informed), np.nan)
    above = right_wins / total
    return above + (wrong_wins - len(informed) * n_wrong * above.mean()) / total


def _pair_counts(
    request: Request[Retrieval], predictor: RetrievalPredictor, among: CandidateLists | Gallery
) -> tuple[Float[np.ndarray, " query"], Float[np.ndarray, " query"], Float[np.ndarray, " query"]]:
    """Count won pairs of right and wrong scores, ties half.

    Returns:
        For each query the pairs that its right score wins, the pairs that its wrong scores lose,
        and the number of its wrong candidates.
    """
    rows = request.rows
    if not len(rows):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    right = np.concatenate(
        [
            predictor.score(request.take(block), rows[block, None])[:, 0]
            for block in query_blocks(len(rows))
        ]
    )
    order = np.argsort(right, kind="stable")
    ordered = right[order]
    wrong_wins, n_wrong = np.zeros(len(rows)), np.zeros(len(rows))
    # Wrong scores counted by the number of right scores below them, and below or tied.
    below, level = np.zeros(len(rows) + 1), np.zeros(len(rows) + 1)
    for block, scores in _WRONG_SCORES[type(among)](request, predictor, among):
        is_wrong = scores > -np.inf
        low = np.searchsorted(ordered, scores[is_wrong], side="left")
        high = np.searchsorted(ordered, scores[is_wrong], side="right")
        query = np.nonzero(is_wrong)[0]
        won = len(rows) - (low + high) / 2
        wrong_wins[block] += np.bincount(query, won, minlength=len(scores))
        n_wrong[block] += is_wrong.sum(axis=1)
        below += np.bincount(low, minlength=len(below))
        level += np.bincount(high, minlength=len(level))
    right_wins = np.empty(len(rows))
    right_wins[order] = (np.cumsum(below) + np.cumsum(level))[:-1] / 2
    return right_wins, wrong_wins, n_wrong


def _wrong_in_lists(
    request: Request[Retrieval], predictor: RetrievalPredictor, lists: CandidateLists
) -> WrongScores:
    """Yield the scores of wrong candidates block by block; -inf elsewhere."""
    for block in query_blocks(len(request.rows)):
        rows = request.rows[block]
        listed = lists.for_queries(rows)
        scores = predictor.score(request.take(block), listed)
        is_wrong = (listed != rows[:, None]) & (listed != PADDING)
        yield block, np.where(is_wrong, scores, -np.inf)


def _wrong_in_gallery(
    request: Request[Retrieval], predictor: RetrievalPredictor, gallery: Gallery
) -> WrongScores:
    """Yield the scores of other subjects' candidates block by block; -inf elsewhere."""
    for block in query_blocks(len(request.rows)):
        own = gallery.subjects[np.searchsorted(gallery.queries, request.rows[block])]
        for columns in candidate_blocks(len(gallery.queries)):
            scores = predictor.score_shared(request.take(block), gallery.queries[columns])
            scores[own[:, None] == gallery.subjects[columns]] = -np.inf
            yield block, scores


_WRONG_SCORES = {CandidateLists: _wrong_in_lists, Gallery: _wrong_in_gallery}
