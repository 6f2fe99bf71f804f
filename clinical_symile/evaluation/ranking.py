"""Rank the right candidate of each query among all of its candidates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery
from clinical_symile.evaluation._blocks import candidate_blocks, query_blocks
from clinical_symile.evaluation.predictors.base import Request, RetrievalPredictor
from clinical_symile.metrics.retrieval import above_and_tied, expected_ranks

# Best candidates that are kept of each query.
_ANSWERS = 3


@dataclass(frozen=True, repr=False)
class Ranking:
    """The rank of each query's right candidate.

    Attributes:
        above: the number of candidates that score above the right one.
        tied: the number of other candidates that score the same.
        candidates: the number of candidates, the right one included.
        answers: the first candidates as rows of the store, the best first; `PADDING` where there
            are fewer. Ties are broken at random, so that a place in a list does not win them.
    """

    above: Int[np.ndarray, " query"]
    tied: Int[np.ndarray, " query"]
    candidates: Int[np.ndarray, " query"]
    answers: Int[np.ndarray, "query answer"]


def rank(
    request: Request[Retrieval],
    predictor: RetrievalPredictor,
    *,
    among: CandidateLists | Gallery,
) -> Ranking:
    """Rank the right candidate of each query among all of its candidates.

    A query with no modality available is not given to the model: all its candidates tie.

    Args:
        request: the queries, among those of `among`; the task's seed breaks the ties of answers.
        predictor: the model.
        among: the candidates.

    Raises:
        ValueError: a score is NaN.
    """
    rank_among = _RANK[type(among)]
    informed = np.asarray(request.available.any(axis=1))
    if informed.all():
        return rank_among(request, predictor, among)
    parts = [
        (index, vars(rank_among(request.take(index), model, among)))
        for index, model in ((informed, predictor), (~informed, NoInformation()))
        if index.any()
    ]
    joined: dict[str, np.ndarray] = {}
    for index, values in parts:
        for name, value in values.items():
            size = (len(informed), *value.shape[1:])
            joined.setdefault(name, np.zeros(size, value.dtype))[index] = value
    return Ranking(**joined)


class NoInformation:
    """A predictor that scores all candidates alike: its ranks have the chance level exactly."""

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Return 0 for every candidate."""
        return np.where(candidates == PADDING, -np.inf, 0.0)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Return 0 for every candidate."""
        return np.zeros((len(request.rows), len(candidates)))


class SharedRanks:
    """Ranks under many patterns; each query is ranked once for each set of available modalities.

    Under a random pattern a query has one of the sets that fixed patterns leave it. Its rank is the
    same there, since it depends neither on the other queries nor on what they have.

    Args:
        predictor: the model.
        among: the candidates.
    """

    def __init__(self, predictor: RetrievalPredictor, among: CandidateLists | Gallery):
        self._predictor, self._among = predictor, among
        # By available set, as a number: the queries ranked so far, and their ranks.
        self._done: dict[int, Bool[np.ndarray, " query"]] = {}
        self._ranked: dict[int, dict[str, np.ndarray]] = {}

    def rank(self, request: Request[Retrieval]) -> Ranking:
        """Return the same as `rank`, and compute only what earlier requests did not need.

        It is the same to the last bit if a score does not depend on which queries are scored
        together. Matrix products keep this up to the rounding of scores that cancel to about 0.

        Raises:
            ValueError: a score is NaN.
        """
        available = request.available
        place = np.searchsorted(self._among.queries, request.rows)
        set_number = available @ (1 << np.arange(available.shape[1]))
        new = np.ones(len(place), dtype=bool)
        for number, own in _by_set(set_number):
            new[own] = ~self._done.setdefault(number, self._none_done())[place[own]]
        if new.any():
            try:
                found = rank(request.take(new), self._predictor, among=self._among)
            except ValueError:
                # The message must count all queries, as for each pattern alone.
                new[:] = True
                found = rank(request, self._predictor, among=self._among)
            self._keep(place[new], set_number[new], found)
        return self._read(place, set_number)

    def _none_done(self) -> Bool[np.ndarray, " query"]:
        return np.zeros(len(self._among.queries), dtype=bool)

    def _keep(
        self, place: Int[np.ndarray, " new"], set_number: Int[np.ndarray, " new"], found: Ranking
    ) -> None:
        for number, own in _by_set(set_number):
            self._done[number][place[own]] = True
            kept = self._ranked.setdefault(number, {})
            for name, values in vars(found).items():
                size = (len(self._among.queries), *values.shape[1:])
                kept.setdefault(name, np.zeros(size, values.dtype))[place[own]] = values[own]

    def _read(
        self, place: Int[np.ndarray, " query"], set_number: Int[np.ndarray, " query"]
    ) -> Ranking:
        made: dict[str, np.ndarray] = {}
        for number, own in _by_set(set_number):
            for name, values in self._ranked[number].items():
                size = (len(place), *values.shape[1:])
                made.setdefault(name, np.zeros(size, values.dtype))[own] = values[place[own]]
        return Ranking(**made)


def _by_set(
    set_number: Int[np.ndarray, " query"],
) -> list[tuple[int, Int[np.ndarray, " own"]]]:
    """Return the positions of the queries of each available set."""
    return [(one, np.flatnonzero(set_number == one)) for one in np.unique(set_number).tolist()]


def _rank_in_lists(
    request: Request[Retrieval], predictor: RetrievalPredictor, lists: CandidateLists
) -> Ranking:
    rows = request.rows
    listed = lists.for_queries(rows)
    scores = predictor.score(request, listed)
    above, tied = expected_ranks(scores, np.zeros(len(rows), dtype=np.int64))
    noise = np.random.default_rng(request.task.seed).random(lists.candidates.shape)
    noise = noise[np.searchsorted(lists.queries, rows)]
    best = np.lexsort((noise, -scores), axis=1)[:, :_ANSWERS]
    answers = np.take_along_axis(listed, best, axis=1)
    return Ranking(above, tied, (listed != PADDING).sum(axis=1), answers)


def _rank_in_gallery(
    request: Request[Retrieval], predictor: RetrievalPredictor, gallery: Gallery
) -> Ranking:
    """Rank in blocks of queries and candidates.

    The candidates are in a random order, and the earlier of equal candidates wins.
    """
    order = np.random.default_rng(request.task.seed).permutation(len(gallery.queries))
    blocks = [
        _rank_block(request.take(block), predictor, gallery, order)
        for block in query_blocks(len(request.rows))
    ]
    subjects = gallery.subjects[np.searchsorted(gallery.queries, request.rows)]
    own = np.bincount(gallery.subjects)[subjects]
    above, tied, answers = (np.concatenate(values) for values in zip(*blocks, strict=True))
    return Ranking(above, tied, len(gallery.queries) - own + 1, answers)


def _rank_block(
    request: Request[Retrieval],
    predictor: RetrievalPredictor,
    gallery: Gallery,
    order: Int[np.ndarray, " candidate"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return above, tied and answers of a block of queries."""
    rows = request.rows
    right = predictor.score(request, rows[:, None])[:, 0]
    subjects = gallery.subjects[np.searchsorted(gallery.queries, rows)]
    above, tied = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1)
    best = np.full((len(rows), _ANSWERS), -np.inf)
    answers = np.full((len(rows), _ANSWERS), PADDING)
    for columns in candidate_blocks(len(order)):
        candidates = gallery.queries[order[columns]]
        scores = predictor.score_shared(request, candidates)
        scores[subjects[:, None] == gallery.subjects[order[columns]]] = -np.inf
        query, place = np.nonzero(rows[:, None] == candidates)
        scores[query, place] = right[query]
        more_above, more_tied = above_and_tied(scores, right)
        above, tied = above + more_above, tied + more_tied
        best, answers = _merge_answers(best, answers, scores, candidates)
    width = min(_ANSWERS, len(order))
    return above, tied, answers[:, :width]


def _merge_answers(
    best: Float[np.ndarray, "query answer"],
    answers: Int[np.ndarray, "query answer"],
    scores: Float[np.ndarray, "query candidate"],
    candidates: Int[np.ndarray, " candidate"],
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the first answers so far with those of one more block; `scores` is overwritten."""
    every = np.arange(len(scores))
    for _ in range(min(_ANSWERS, len(candidates))):
        first = scores.argmax(axis=1)
        score = scores[every, first]
        best = np.column_stack([best, score])
        found = np.where(np.isneginf(score), PADDING, candidates[first])
        answers = np.column_stack([answers, found])
        scores[every, first] = -np.inf
    kept = np.argsort(-best, axis=1, kind="stable")[:, :_ANSWERS]
    return np.take_along_axis(best, kept, axis=1), np.take_along_axis(answers, kept, axis=1)


_RANK = {CandidateLists: _rank_in_lists, Gallery: _rank_in_gallery}
