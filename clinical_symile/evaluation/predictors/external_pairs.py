"""Other people's scores of queries and candidates, asked like a model.

A file is CSV or Parquet with the columns `query` and `candidate`, which are ids of samples, and
`score`, higher is better; perhaps `missingness`, a pattern whose name alone says what a query may
use. What a query under a random pattern sees is what it sees under one of these, so that its scores
are in the file as well.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, candidate_lists
from clinical_symile.data.external.files import parse_key, parse_number, read_table, row_positions
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.hashing import file_sha256
from clinical_symile.missingness.patterns import Pattern, apply_pattern, parse_pattern

NAMED = 3


@dataclass(frozen=True)
class Scores:
    """How well candidates go with queries, by somebody's model.

    Attributes:
        file: its name.
        sha256: of its bytes.
        table: `query`, `candidate`, `score` and `missingness`, which may be empty.
    """

    file: str
    sha256: str
    table: pd.DataFrame


@dataclass(frozen=True)
class PairScorer:
    """Scores of a file, by rows of the store and what may be seen of the query.

    Attributes:
        file: its name, for messages.
        store: whose samples they are of.
        sets: what may be seen of queries in the file, as numbers.
        complete: whether all queries in the file have every modality.
        keys: of each line, rising: what is seen, query and candidate as one number.
        scores: of each line.
    """

    file: str
    store: CohortStore
    sets: frozenset[int]
    complete: bool
    keys: Int[np.ndarray, " line"]
    scores: Float[np.ndarray, " line"]

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`.

        Raises:
            CannotScore: the file has no scores of queries of which just this may be seen.
            DataError: it lacks pairs that the task asks about.
        """
        return self._found(task, rows, available, candidates, needed=candidates != PADDING)

    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`; -inf for the targets of the query's own subject that are not asked about.

        Raises:
            CannotScore: as `score`.
            DataError: as `score`.
        """
        subject = self.store.samples["subject"].to_numpy()
        own = subject[rows][:, None] == subject[candidates]
        needed = ~own | (rows[:, None] == candidates) | task.same_subject
        listed = np.repeat(candidates[None, :], len(rows), axis=0)
        return self._found(task, rows, available, listed, needed=needed)

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`.

        Raises:
            CannotScore: always: there are scores of candidates alone.
        """
        raise CannotScore(
            "the file has scores of candidates. A classification needs --predictions or "
            "--embeddings."
        )

    def _found(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
        *,
        needed: Bool[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        shown = _as_number(available)
        for one in np.unique(shown).tolist():
            if one not in self.sets:
                names = [name for bit, name in enumerate(task.query) if one >> bit & 1]
                raise CannotScore(
                    f"the file has no scores of queries with {' and '.join(names)} alone, which "
                    "this pattern asks."
                )
        wanted = _keys(shown[:, None], rows[:, None], candidates, len(self.store.samples))
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        lacking = needed & (self.keys[place] != wanted)
        self._check_asked(task, rows, available, (lacking | ~needed).all(axis=1))
        if lacking.any():
            name = self.store.samples["sample"].tolist()
            pairs = np.argwhere(lacking)[:NAMED]
            told = ", ".join(f"{name[rows[q]]} with {name[candidates[q, c]]}" for q, c in pairs)
            raise DataError(
                f"{self.file}: lacks {int(lacking.sum())} of {int(needed.sum())} pairs that task "
                f"'{task.name}' asks about, such as {told}; expected a score for each query with "
                "each of its candidates, as all models choose among the same ones. Add them."
            )
        return np.where(needed, self.scores[place], -np.inf)

    def _check_asked(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        absent: Bool[np.ndarray, " query"],
    ) -> None:
        """A file that lacks queries says nothing of a pattern, but for what was recorded of them.

        Raises:
            CannotScore: it has no line of a query that is asked with less than was recorded, or of
                incomplete ones at all.
        """
        present = _present(self.store, task, rows)
        if self.complete and (absent & ~np.all(present, axis=1)).any():
            raise CannotScore(
                "the file has scores of complete queries alone, and this pattern asks others too."
            )
        less = absent & (available != present).any(axis=1)
        if less.any():
            raise CannotScore(
                f"the file has no scores of {int(less.sum())} of {len(rows)} queries as this "
                "pattern asks them, with less than was recorded."
            )


def read_scores(path: Path) -> Scores:
    """Read a file of scores.

    Raises:
        DataError: it cannot be read, lacks columns, or holds what is no score, or two of one pair;
            with the number of rows of each.
    """
    raw = read_table(path)
    missing = [name for name in ("query", "candidate", "score") if name not in raw]
    if missing:
        raise DataError(
            f"{path}: has no column {', '.join(missing)}; expected query, candidate and score, and "
            "perhaps missingness. Rename or add it."
        )
    told = raw["missingness"].fillna("").astype(str) if "missingness" in raw else ""
    table = pd.DataFrame(
        {
            "query": [parse_key(value) for value in raw["query"]],
            "candidate": [parse_key(value) for value in raw["candidate"]],
            "score": np.array([parse_number(value) for value in raw["score"]]),
            "missingness": told,
        }
    )
    score = table["score"].to_numpy()
    faults = (
        (np.isnan(score), "are NaN or no number; expected finite numbers"),
        (np.isinf(score), "are infinite; a pair that is no pair has no line"),
        (
            table[["query", "candidate"]].isna().any(axis=1),
            "have no id of query or candidate; give both",
        ),
        (
            table.duplicated(["query", "candidate", "missingness"]),
            "are of a pair that stands there before; keep one of them",
        ),
    )
    problems = [
        f"{path}: {int(np.count_nonzero(at))} of {len(table)} scores {what}."
        for at, what in faults
        if np.count_nonzero(at)
    ]
    if problems:
        raise DataError(*problems)
    return Scores(path.name, file_sha256(path), table)


def pair_scorer(
    scores: Scores, task: Retrieval, store: CohortStore
) -> tuple[PairScorer, list[str]]:
    """Scores by rows of a store, and notes on what of the file is not used.

    Args:
        scores: the file.
        task: what is retrieved.
        store: whose samples they are of.

    Raises:
        DataError: ids that are not in the store, patterns that hide at random, or two scores of one
            query that sees the same; with counts.
        DefinitionError: a pattern means nothing for the task's queries.
    """
    table, known = scores.table, store.samples["sample"].tolist()
    query, candidate = (
        row_positions(table[name].to_numpy(), known) for name in ("query", "candidate")
    )
    unknown = int(((query < 0) | (candidate < 0)).sum())
    if unknown:
        raise DataError(
            f"{scores.file}: {unknown} of {len(table)} scores are of samples that are not in the "
            f"store of cohort '{store.cohort}'; expected its sample ids. Leave others out."
        )
    shown = _shown(scores, task, store, query)
    keys = _keys(shown, query, candidate, len(known))
    order = np.argsort(keys, kind="stable")
    keys, score = keys[order], table["score"].to_numpy()[order]
    again = np.flatnonzero(np.diff(keys) == 0)
    differ = int((score[again] != score[again + 1]).sum())
    if differ:
        raise DataError(
            f"{scores.file}: {differ} of {len(table)} scores contradict that of the same pair "
            "under another pattern by which the same is seen of the query; expected one score. "
            "Keep that of either pattern."
        )
    lists = candidate_lists(task, store).table()
    if "query" in lists:
        listed = lists["query"].to_numpy() * len(known) + lists["candidate"].to_numpy()
        used = np.isin(query * len(known) + candidate, listed)
    else:
        used = np.isin(query, lists["candidate"]) & np.isin(candidate, lists["candidate"])
    unused = int((~used).sum())
    notes = [
        f"{scores.file}: {unused} of {len(table)} scores are of pairs that task '{task.name}' does "
        "not list; they are not used."
    ]
    sets, complete = frozenset(np.unique(shown).tolist()), bool(_whole(store, task, query).all())
    scorer = PairScorer(scores.file, store, sets, complete, keys, score)
    return scorer, notes if unused else []


def _shown(
    scores: Scores, task: Retrieval, store: CohortStore, query: Int[np.ndarray, " line"]
) -> Int[np.ndarray, " line"]:
    """What is seen of the query of each line, as a number; without a pattern, what was recorded."""
    present = _present(store, task, query)
    shown = np.zeros(len(query), dtype=np.int64)
    for name, lines in scores.table.groupby("missingness").indices.items():
        pattern = parse_pattern(str(name) or "observed")
        if pattern.mechanism:
            raise DataError(
                f"{scores.file}: {len(lines)} scores are under '{name}', which hides at random; "
                "expected patterns whose name says what a query has, such as complete, without-… "
                "or only-…. A random pattern's queries are among those of these: give these."
            )
        available = apply_pattern(pattern, modalities=task.query, present=present[lines])
        shown[lines] = _as_number(available)
    return shown


def _present(
    store: CohortStore, task: Retrieval, query: Int[np.ndarray, " query"]
) -> Bool[np.ndarray, "query modality"]:
    return store.present[query][:, [store.modalities.index(name) for name in task.query]]


def _whole(
    store: CohortStore, task: Retrieval, query: Int[np.ndarray, " query"]
) -> Bool[np.ndarray, " query"]:
    return np.all(_present(store, task, query), axis=1)


def _as_number(available: Bool[np.ndarray, "query modality"]) -> Int[np.ndarray, " query"]:
    return available @ (1 << np.arange(available.shape[1]))


def _keys(
    shown: np.ndarray, query: np.ndarray, candidate: np.ndarray, samples: int
) -> Int[np.ndarray, "..."]:
    return (shown * samples + query) * samples + candidate
