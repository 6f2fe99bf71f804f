"""Score candidates from a file of an external model: one row for each query and candidate."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, candidate_lists
from clinical_symile.data.external.pair_scores import PairScores
from clinical_symile.data.external.tables import row_positions, unknown_samples
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.missingness.patterns import apply_pattern, parse_pattern

# Pairs named in one message.
_NAMED_PAIRS = 3


@dataclass(frozen=True, repr=False)
class ExternalPairsPredictor:
    """Scores from a file, by rows of the store and what is available of the query.

    A set of available modalities is a number whose bits are the task's query modalities.

    Attributes:
        file: its name, for messages.
        store: holds the samples.
        available_sets: the sets of available modalities that the file's queries have.
        is_complete: True if all queries in the file have every modality in the store.
        keys: set, query and candidate of each line as one number, in rising order.
        scores: the score of each line.
    """

    file: str
    store: CohortStore
    available_sets: frozenset[int]
    is_complete: bool
    keys: Int[np.ndarray, " line"]
    scores: Float[np.ndarray, " line"]

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Look up the scores of each query's candidates.

        Raises:
            CannotScore: the file has no scores of queries with just these modalities.
            DataError: the file lacks pairs that the task needs.
        """
        return self._find(request, candidates, needed=candidates != PADDING)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Look up the same candidates for every query.

        Other samples of the query's own subject score -inf where the task leaves them out.

        Raises:
            CannotScore: as in `score`.
            DataError: as in `score`.
        """
        rows, subject = request.rows, self.store.samples["subject"].to_numpy()
        own = subject[rows][:, None] == subject[candidates]
        needed = ~own | (rows[:, None] == candidates) | request.task.same_subject
        listed = np.repeat(candidates[None, :], len(rows), axis=0)
        return self._find(request, listed, needed=needed)

    def _find(
        self,
        request: Request[Retrieval],
        candidates: Int[np.ndarray, "query candidate"],
        *,
        needed: Bool[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        task, rows = request.task, request.rows
        available_set = _set_number(request.available)
        for number in np.unique(available_set).tolist():
            if number not in self.available_sets:
                names = [name for bit, name in enumerate(task.query) if number >> bit & 1]
                raise CannotScore(
                    f"the file has no scores of queries with {' and '.join(names)} alone, which "
                    "this pattern needs.",
                    code="CS-S011",
                )
        wanted = _keys(available_set[:, None], rows[:, None], candidates, len(self.store.samples))
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        lacking = needed & (self.keys[place] != wanted)
        self._check_pattern(request, (lacking | ~needed).all(axis=1))
        if lacking.any():
            name = self.store.samples["sample"].tolist()
            pairs = np.argwhere(lacking)[:_NAMED_PAIRS]
            some = ", ".join(f"{name[rows[q]]} with {name[candidates[q, c]]}" for q, c in pairs)
            raise DataError(
                f"{self.file}: lacks {int(lacking.sum())} of {int(needed.sum())} pairs that task "
                f"'{task.name}' needs, such as {some}; expected a score for each query with each "
                "of its candidates. All models rank the same ones. Add them.",
                code="CS-M009",
            )
        return np.where(needed, self.scores[place], -np.inf)

    def _check_pattern(
        self, request: Request[Retrieval], lacking: Bool[np.ndarray, " query"]
    ) -> None:
        """Refuse a pattern of which the file has no queries.

        Args:
            request: the queries.
            lacking: the queries that have no line at all.

        Raises:
            CannotScore: a lacking query has less than the store has of it, or the file has no
                incomplete queries.
        """
        present = _present(self.store, request.task, request.rows)
        if self.is_complete and (lacking & ~np.all(present, axis=1)).any():
            raise CannotScore(
                "the file has scores of complete queries only, and this pattern needs others too.",
                code="CS-S011",
            )
        reduced = lacking & (request.available != present).any(axis=1)
        if reduced.any():
            raise CannotScore(
                f"this pattern hides a modality of {int(reduced.sum())} of {len(request.rows)} "
                "queries, and the file has no scores for these without that modality.",
                code="CS-S011",
            )


def external_pairs_predictor(
    scores: PairScores, task: Retrieval, store: CohortStore
) -> tuple[ExternalPairsPredictor, list[str]]:
    """Match scores to a store.

    Args:
        scores: the file.
        task: the retrieval task.
        store: holds the samples.

    Returns:
        The predictor, and a note if the file has pairs that the task does not use.

    Raises:
        DataError: the store lacks a sample, a pattern hides at random, or the file has two scores
            of one pair for the same available modalities. Messages give numbers of rows.
        DefinitionError: a pattern means nothing for the task's queries.
    """
    table, known = scores.table, store.samples["sample"].tolist()
    query, candidate = (
        row_positions(table[name].to_numpy(), known) for name in ("query", "candidate")
    )
    lower = np.minimum(query, candidate)
    if problems := unknown_samples(scores.file, lower, store, what="scores"):
        raise DataError(*problems, code="CS-M007")
    available_set = _available_sets(scores, task, store, query)
    keys = _keys(available_set, query, candidate, len(known))
    order = np.argsort(keys, kind="stable")
    keys, score = keys[order], table["score"].to_numpy()[order]
    repeated = np.flatnonzero(np.diff(keys) == 0)
    differ = int((score[repeated] != score[repeated + 1]).sum())
    if differ:
        raise DataError(
            f"{scores.file}: {differ} of {len(table)} scores contradict the score of the same pair "
            "under another pattern that leaves the query the same modalities; expected one score. "
            "Keep that of either pattern.",
            code="CS-M012",
        )
    unused = int((~_used(task, store, query, candidate)).sum())
    notes = [
        f"{scores.file}: {unused} of {len(table)} scores are of pairs that task '{task.name}' does "
        "not list; they are not used."
    ]
    predictor = ExternalPairsPredictor(
        file=scores.file,
        store=store,
        available_sets=frozenset(np.unique(available_set).tolist()),
        is_complete=bool(_present(store, task, query).all()),
        keys=keys,
        scores=score,
    )
    return predictor, notes if unused else []


def _used(
    task: Retrieval,
    store: CohortStore,
    query: Int[np.ndarray, " line"],
    candidate: Int[np.ndarray, " line"],
) -> Bool[np.ndarray, " line"]:
    """Return True for each line whose pair the task ranks."""
    lists, samples = candidate_lists(task, store).table(), len(store.samples)
    if "query" in lists:
        listed = lists["query"].to_numpy() * samples + lists["candidate"].to_numpy()
        return np.isin(query * samples + candidate, listed)
    return np.isin(query, lists["candidate"]) & np.isin(candidate, lists["candidate"])


def _available_sets(
    scores: PairScores, task: Retrieval, store: CohortStore, query: Int[np.ndarray, " line"]
) -> Int[np.ndarray, " line"]:
    """Return the set of available modalities of each line's query, as a number.

    Without a pattern it is what the store has of the query.
    """
    present = _present(store, task, query)
    available_set = np.zeros(len(query), dtype=np.int64)
    for name, lines in scores.table.groupby("missingness").indices.items():
        pattern = parse_pattern(str(name) or "observed")
        if pattern.mechanism:
            raise DataError(
                f"{scores.file}: {len(lines)} scores are under '{name}', which hides at random; "
                "expected patterns whose name says what a query has, such as complete, without-… "
                "or only-…. A query under a random pattern has what it has under one of these: "
                "give these.",
                code="CS-M011",
            )
        available = apply_pattern(pattern, modalities=task.query, present=present[lines])
        available_set[lines] = _set_number(available)
    return available_set


def _present(
    store: CohortStore, task: Retrieval, rows: Int[np.ndarray, " query"]
) -> Bool[np.ndarray, "query modality"]:
    return store.present[rows][:, [store.modalities.index(name) for name in task.query]]


def _set_number(available: Bool[np.ndarray, "query modality"]) -> Int[np.ndarray, " query"]:
    return available @ (1 << np.arange(available.shape[1]))


def _keys(
    available_set: np.ndarray, query: np.ndarray, candidate: np.ndarray, samples: int
) -> Int[np.ndarray, "..."]:
    return (available_set * samples + query) * samples + candidate
