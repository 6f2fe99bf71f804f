"""What a result was made with, as a digest: equal digests are of the same question."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from clinical_symile import __version__
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.masks import pattern_file
from clinical_symile.data.store import CohortStore
from clinical_symile.hashing import digest_of
from clinical_symile.missingness.patterns import Pattern, parse_pattern


def result_fingerprints(
    task: Retrieval | Classification, store: CohortStore, candidates: pd.DataFrame
) -> Callable[[Pattern], str]:
    """The digest of results under each pattern: of the task, the store with its cohort, the lists.

    Where a pattern reads a table beside the store, that table's own stands behind a dot, so that an
    edit is told from what was scored before it, and is nothing to other patterns.
    """
    question = digest_of(
        task_digest(task),
        store.manifest["cohort_digest"],
        store.digest,
        __version__,
        np.ascontiguousarray(candidates.to_numpy(dtype=np.int64)).tobytes(),
    )

    def of(pattern: Pattern) -> str:
        path = pattern_file(pattern, store)
        if path is None:
            return question
        return f"{question}.{digest_of(path.read_bytes()) if path.is_file() else 'none'}"

    return of


def expected_fingerprints(
    task: Retrieval | Classification, store: CohortStore
) -> Callable[[str], str]:
    """The digest that results of the task on the store have now, by the name of the pattern.

    Raises:
        DataError: the task's candidate lists cannot be drawn.
    """
    retrieves = isinstance(task, Retrieval)
    table = candidate_lists(task, store).table() if retrieves else pd.DataFrame()
    of = result_fingerprints(task, store, table)
    return lambda name: of(parse_pattern(name))
