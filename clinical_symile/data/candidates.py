"""Candidates: the targets among which a retrieval query is ranked."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError

PADDING = -1


@dataclass(frozen=True, repr=False)
class CandidateLists:
    """A list of candidates for each query, as rows of the store.

    The correct candidate is first. Its position cannot help a model: ties are ranked in
    expectation.

    Attributes:
        queries: the queries, in the order of the store.
        candidates: the candidates of each query; shorter lists end in `PADDING`.
    """

    queries: Int[np.ndarray, " query"]
    candidates: Int[np.ndarray, "query candidate"]

    def for_queries(self, rows: Int[np.ndarray, " query"]) -> Int[np.ndarray, "query candidate"]:
        """Return the lists of some of the queries."""
        return self.candidates[np.searchsorted(self.queries, rows)]

    def table(self) -> pd.DataFrame:
        """Return one row for each query and candidate, as a run keeps it."""
        query, position = np.nonzero(self.candidates != PADDING)
        candidate = self.candidates[query, position]
        return pd.DataFrame({"query": self.queries[query], "candidate": candidate})


@dataclass(frozen=True, repr=False)
class Gallery:
    """One set of candidates for all queries: the targets of all of them, as rows of the store.

    Lists are never written out: there would be one per query, each as long as the gallery.

    Attributes:
        queries: the queries, which are also the candidates.
        subjects: a number for the subject of each query; other samples with the same number are no
            candidates of the query.
    """

    queries: Int[np.ndarray, " query"]
    subjects: Int[np.ndarray, " query"]

    def table(self) -> pd.DataFrame:
        """Return one row for each candidate, as a run keeps it."""
        return pd.DataFrame({"candidate": self.queries})


def candidate_lists(task: Retrieval, store: CohortStore) -> CandidateLists | Gallery:
    """Return the queries of a task and their candidates.

    Other targets of the query's subject are candidates only if the task sets `same_subject`. Draws
    depend on the task's seed and the query's row alone, so that all models have the same lists.

    Args:
        task: has `candidates`, `same_subject` and `seed`.
        store: a prepared cohort.

    Raises:
        DataError: the cohort has no published lists, or too few other samples to draw from.
    """
    rows = store.rows(task.split)
    gallery = rows[store.present[rows, store.modalities.index(task.target)]]
    if task.candidates == "published":
        return _published(task, store, gallery)
    # Samples with the same key are no candidates of one another.
    key = gallery if task.same_subject else store.samples["subject"].to_numpy()[gallery]
    if task.candidates == "all":
        return Gallery(gallery, np.unique(key, return_inverse=True)[1])
    lists = [
        _draw_list(row, gallery[key != own], task, store)
        for row, own in zip(gallery.tolist(), key, strict=True)
    ]
    return CandidateLists(gallery, _padded(lists))


def _draw_list(
    row: int, others: Int[np.ndarray, " other"], task: Retrieval, store: CohortStore
) -> Int[np.ndarray, " candidate"]:
    """Draw the candidates of a query, itself first."""
    n_others = int(task.candidates) - 1
    if len(others) < n_others:
        raise DataError(
            f"task '{task.name}': fewer than {n_others} samples of other subjects have "
            f"{task.target} in the {task.split} split of cohort '{store.cohort}'; expected as "
            f"many, to draw {n_others + 1} candidates. Lower `candidates` in your own task, or "
            'set it to "all".',
            code="CS-D022",
        )
    rng = np.random.default_rng([task.seed, row])
    return np.append(row, rng.choice(others, size=n_others, replace=False))


def _published(
    task: Retrieval, store: CohortStore, gallery: Int[np.ndarray, " target"]
) -> CandidateLists:
    """Return the cohort's published lists, of targets that are present."""
    if store.candidates is None:
        raise DataError(
            f"task '{task.name}' is not applicable to cohort '{store.cohort}': it publishes no "
            "candidate lists.",
            code="CS-D023",
        )
    lists = store.candidates
    usable = np.isin(lists["query"], gallery) & np.isin(lists["candidate"], gallery)
    table = lists.loc[usable & (lists["split"] == task.split)]
    if table.empty:
        raise DataError(
            f"task '{task.name}': cohort '{store.cohort}' publishes no candidate lists for the "
            f"{task.split} split. Choose another split, or a number of candidates.",
            code="CS-D023",
        )
    query_of, candidate = table["query"].to_numpy(), table["candidate"].to_numpy()
    queries = np.unique(query_of)
    lists = []
    for query in queries:
        others = candidate[query_of == query]
        lists.append(np.append(query, others[others != query]))
    return CandidateLists(queries, _padded(lists))


def _padded(lists: list[Int[np.ndarray, " _"]]) -> Int[np.ndarray, "query candidate"]:
    """Return lists as one array, padded to the longest."""
    width = max((len(candidates) for candidates in lists), default=0)
    padded = np.full((len(lists), width), PADDING, dtype=np.int64)
    for row, candidates in enumerate(lists):
        padded[row, : len(candidates)] = candidates
    return padded
