"""Candidates: which targets a retrieval query chooses among."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError

PADDING = -1


@dataclass(frozen=True)
class CandidateLists:
    """A list of candidates for each query, as rows of the store.

    The right candidate stands first, which no score can make use of: ties count in expectation.

    Attributes:
        queries: in the order of the store.
        candidates: of each; shorter lists end in `PADDING`.
    """

    queries: Int[np.ndarray, " query"]
    candidates: Int[np.ndarray, "query candidate"]

    def of(self, rows: Int[np.ndarray, " asked"]) -> Int[np.ndarray, "asked candidate"]:
        """The lists of some of the queries."""
        return self.candidates[np.searchsorted(self.queries, rows)]

    def table(self) -> pd.DataFrame:
        """One row for each query and candidate, as it is kept in a run."""
        query, place = np.nonzero(self.candidates != PADDING)
        candidate = self.candidates[query, place]
        return pd.DataFrame({"query": self.queries[query], "candidate": candidate})


@dataclass(frozen=True)
class Gallery:
    """Every query chooses among all others' targets and its own; as rows of the store.

    No list is ever written out: there are as many as queries, each as long as the gallery.

    Attributes:
        queries: who asks, and who is chosen among.
        subjects: of each, numbered; those of the same number are not among each other's candidates.
    """

    queries: Int[np.ndarray, " query"]
    subjects: Int[np.ndarray, " query"]

    def table(self) -> pd.DataFrame:
        """One row for each candidate, as it is kept in a run."""
        return pd.DataFrame({"candidate": self.queries})


def candidate_lists(task: Retrieval, store: CohortStore) -> CandidateLists | Gallery:
    """The queries of a task and their candidates.

    Other targets of the query's subject are among them only if the task says `same_subject`. A list
    is drawn from the task's seed and the query's row, and so is the same for every model.

    Args:
        task: `candidates`, `same_subject` and `seed` of it say how.
        store: what is there.

    Raises:
        DataError: the cohort has no published lists, or too few others to draw from.
    """
    rows = store.rows(task.split)
    gallery = rows[store.present[rows, store.modalities.index(task.target)]]
    if task.candidates == "published":
        return _published(task, store, gallery)
    # Who counts as one: the samples of a subject, or each for itself.
    one = gallery if task.same_subject else store.samples["subject"].to_numpy()[gallery]
    if task.candidates == "all":
        return Gallery(gallery, np.unique(one, return_inverse=True)[1])
    lists = [
        _drawn(row, gallery[one != own], task, store)
        for row, own in zip(gallery.tolist(), one, strict=True)
    ]
    return CandidateLists(gallery, _padded(lists))


def _drawn(
    row: int, others: Int[np.ndarray, " other"], task: Retrieval, store: CohortStore
) -> Int[np.ndarray, " candidate"]:
    wanted = int(task.candidates) - 1
    if len(others) < wanted:
        raise DataError(
            f"task '{task.name}': fewer than {wanted} samples of others have {task.target} in the "
            f"{task.split} split of cohort '{store.cohort}', too few to draw {wanted + 1} "
            'candidates. Lower the number in a task of your own, or set it to "all".'
        )
    rng = np.random.default_rng([task.seed, row])
    return np.append(row, rng.choice(others, size=wanted, replace=False))


def _published(
    task: Retrieval, store: CohortStore, gallery: Int[np.ndarray, " target"]
) -> CandidateLists:
    if store.candidates is None:
        raise DataError(
            f"task '{task.name}' is not applicable to cohort '{store.cohort}': it publishes no "
            "candidate lists."
        )
    lists = store.candidates
    usable = np.isin(lists["query"], gallery) & np.isin(lists["candidate"], gallery)
    table = lists.loc[usable & (lists["split"] == task.split)]
    if table.empty:
        raise DataError(
            f"task '{task.name}': cohort '{store.cohort}' publishes no candidate lists for the "
            f"{task.split} split. Choose another split, or a number of candidates."
        )
    asked, candidate = table["query"].to_numpy(), table["candidate"].to_numpy()
    queries = np.unique(asked)
    lists = []
    for query in queries:
        others = candidate[asked == query]
        lists.append(np.append(query, others[others != query]))
    return CandidateLists(queries, _padded(lists))


def _padded(lists: list[Int[np.ndarray, " _"]]) -> Int[np.ndarray, "query candidate"]:
    width = max((len(candidates) for candidates in lists), default=0)
    padded = np.full((len(lists), width), PADDING, dtype=np.int64)
    for place, candidates in enumerate(lists):
        padded[place, : len(candidates)] = candidates
    return padded
