"""Compute the fingerprint of a result: of the task, the cohort, the store and the mask.

Results with equal fingerprints answer the same question.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from clinical_symile import __version__
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.mask_files import pattern_file
from clinical_symile.data.store import CohortStore
from clinical_symile.hashing import digest_of
from clinical_symile.missingness.patterns import Pattern, parse_pattern


def result_fingerprints(
    task: Retrieval | Classification | DiagnosticTask,
    store: CohortStore,
    candidates: pd.DataFrame,
) -> Callable[[Pattern], str]:
    """Return a function from a pattern to the fingerprint of its results.

    A fingerprint is a digest of the task, the cohort, the store, the candidate lists and the
    package's version. If the pattern reads a table beside the store, the table's digest follows
    after a dot. An edit then outdates the results of this pattern only.

    Args:
        task: the evaluated task.
        store: the cohort.
        candidates: the candidate lists of a retrieval task; empty for others.
    """
    question = digest_of(
        task_digest(task),
        store.manifest["cohort_digest"],
        store.digest,
        __version__,
        np.ascontiguousarray(candidates.to_numpy(dtype=np.int64)).tobytes(),
    )

    def fingerprint(pattern: Pattern) -> str:
        path = pattern_file(pattern, store)
        if path is None:
            return question
        return f"{question}.{digest_of(path.read_bytes()) if path.is_file() else 'none'}"

    return fingerprint


def expected_fingerprints(
    task: Retrieval | Classification | DiagnosticTask, store: CohortStore
) -> Callable[[str], str]:
    """Return a function from a pattern's name to the fingerprint that its results have now.

    Raises:
        DataError: the task's candidate lists cannot be drawn.
    """
    is_retrieval = isinstance(task, Retrieval)
    table = candidate_lists(task, store).table() if is_retrieval else pd.DataFrame()
    fingerprint = result_fingerprints(task, store, table)
    return lambda name: fingerprint(parse_pattern(name))
