"""Where the right candidate of each query stands, by anybody's scores."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery
from clinical_symile.evaluation.predictors.embedding import Scorer
from clinical_symile.metrics.retrieval import above_and_tied, expected_ranks

ANSWERS = 3
QUERIES_AT_A_TIME, CANDIDATES_AT_A_TIME = 256, 4096


@dataclass(frozen=True)
class Ranking:
    """What became of each query.

    Attributes:
        above: how many candidates score above the right one.
        tied: how many others score the same.
        candidates: how many there are, the right one included.
        answers: the first candidates as rows of the store, the best first; `PADDING` where there
            are fewer. Ties are broken at random: a place in a list must not win them.
    """

    above: Int[np.ndarray, " query"]
    tied: Int[np.ndarray, " query"]
    candidates: Int[np.ndarray, " query"]
    answers: Int[np.ndarray, "query answer"]


def rank(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    available: Bool[np.ndarray, "query modality"],
    *,
    among: CandidateLists | Gallery,
) -> Ranking:
    """Rank the right candidate of each query among all of its candidates.

    Args:
        task: what is retrieved; its seed breaks the ties of answers.
        scorer: who scores.
        rows: the queries, among those of `among`.
        available: which of the task's query modalities may be used.
        among: the candidates.

    Raises:
        ValueError: a score is not a number.
    """
    return RANKED[type(among)](task, scorer, rows, available, among)


class SharedRanks:
    """Ranks under many patterns: a query is ranked once for each set of modalities it may use.

    Under a random pattern each query sees one of the sets that fixed patterns show, and stands
    where it stands there, since who else is asked and what is seen of them has no part in it.

    Args:
        task: what is retrieved.
        scorer: who scores.
        among: the candidates.
    """

    def __init__(self, task: Retrieval, scorer: Scorer, among: CandidateLists | Gallery):
        self._task, self._scorer, self._among = task, scorer, among
        # By set, as a number: which queries were ranked, and what became of them.
        self._done: dict[int, Bool[np.ndarray, " query"]] = {}
        self._ranked: dict[int, dict[str, np.ndarray]] = {}

    def of(
        self, rows: Int[np.ndarray, " query"], available: Bool[np.ndarray, "query modality"]
    ) -> Ranking:
        """The same as `rank`, of which only what was not asked for before is computed.

        It is the same to the last bit where a score does not depend on which queries are scored
        together, which matrix products keep but for the rounding of scores that cancel to about 0.

        Raises:
            ValueError: a score is not a number.
        """
        place = np.searchsorted(self._among.queries, rows)
        shown = available @ (1 << np.arange(available.shape[1]))
        new = np.ones(len(rows), dtype=bool)
        for one, own in _equal(shown):
            new[own] = ~self._done.setdefault(one, self._nobody())[place[own]]
        if new.any():
            try:
                found = rank(self._task, self._scorer, rows[new], available[new], among=self._among)
            except ValueError:
                # What is told of it is of all that were asked, as by each pattern alone.
                new[:] = True
                found = rank(self._task, self._scorer, rows, available, among=self._among)
            self._keep(place[new], shown[new], found)
        return self._read(place, shown)

    def _nobody(self) -> Bool[np.ndarray, " query"]:
        return np.zeros(len(self._among.queries), dtype=bool)

    def _keep(
        self, place: Int[np.ndarray, " new"], shown: Int[np.ndarray, " new"], found: Ranking
    ) -> None:
        for one, own in _equal(shown):
            self._done[one][place[own]] = True
            kept = self._ranked.setdefault(one, {})
            for name, values in vars(found).items():
                size = (len(self._among.queries), *values.shape[1:])
                kept.setdefault(name, np.zeros(size, values.dtype))[place[own]] = values[own]

    def _read(self, place: Int[np.ndarray, " query"], shown: Int[np.ndarray, " query"]) -> Ranking:
        made: dict[str, np.ndarray] = {}
        for one, own in _equal(shown):
            for name, values in self._ranked[one].items():
                size = (len(place), *values.shape[1:])
                made.setdefault(name, np.zeros(size, values.dtype))[own] = values[place[own]]
        return Ranking(**made)


def _equal(shown: Int[np.ndarray, " query"]) -> list[tuple[int, Int[np.ndarray, " own"]]]:
    """The queries of each set."""
    return [(one, np.flatnonzero(shown == one)) for one in np.unique(shown).tolist()]


def _in_lists(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    available: Bool[np.ndarray, "query modality"],
    lists: CandidateLists,
) -> Ranking:
    listed = lists.of(rows)
    scores = scorer.score(task, rows, available, listed)
    above, tied = expected_ranks(scores, np.zeros(len(rows), dtype=np.int64))
    noise = np.random.default_rng(task.seed).random(lists.candidates.shape)
    noise = noise[np.searchsorted(lists.queries, rows)]
    best = np.lexsort((noise, -scores), axis=1)[:, :ANSWERS]
    answers = np.take_along_axis(listed, best, axis=1)
    return Ranking(above, tied, (listed != PADDING).sum(axis=1), answers)


def _in_gallery(
    task: Retrieval,
    scorer: Scorer,
    rows: Int[np.ndarray, " query"],
    available: Bool[np.ndarray, "query modality"],
    gallery: Gallery,
) -> Ranking:
    """In blocks of queries and candidates, never all queries with all candidates.

    The gallery is gone through in a random order, and the earlier of equal candidates wins.
    """
    order = np.random.default_rng(task.seed).permutation(len(gallery.queries))
    parts = [
        _block(task, scorer, rows[part], available[part], gallery, order)
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
    available: Bool[np.ndarray, "query modality"],
    gallery: Gallery,
    order: Int[np.ndarray, " candidate"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Above, tied and answers of some queries."""
    right = scorer.score(task, rows, available, rows[:, None])[:, 0]
    subjects = gallery.subjects[np.searchsorted(gallery.queries, rows)]
    above, tied = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1)
    best = np.full((len(rows), ANSWERS), -np.inf)
    answers = np.full((len(rows), ANSWERS), PADDING)
    for columns in _slices(len(order), CANDIDATES_AT_A_TIME):
        candidates = gallery.queries[order[columns]]
        scores = scorer.score_all(task, rows, available, candidates)
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
        found = np.where(np.isneginf(score), PADDING, candidates[first])
        answers = np.column_stack([answers, found])
        scores[every, first] = -np.inf
    kept = np.argsort(-best, axis=1, kind="stable")[:, :ANSWERS]
    return np.take_along_axis(best, kept, axis=1), np.take_along_axis(answers, kept, axis=1)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


RANKED = {CandidateLists: _in_lists, Gallery: _in_gallery}
