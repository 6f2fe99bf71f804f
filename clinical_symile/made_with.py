"""What a result was made with, as a digest: equal digests are of the same question."""

import numpy as np
import pandas as pd

from clinical_symile import __version__
from clinical_symile.candidates import candidate_lists
from clinical_symile.catalog import digest
from clinical_symile.masks import pattern_file
from clinical_symile.missingness import parse_pattern
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification, Retrieval, task_digest


def evaluation_digest(
    task: Retrieval | Classification, store: CohortStore, candidates: pd.DataFrame
) -> str:
    """Of the task, the store with its cohort, the lists, and the tables that patterns read."""
    files = [pattern_file(parse_pattern(name), store) for name in task.missingness]
    return digest(
        task_digest(task),
        store.manifest["cohort_digest"],
        store.digest,
        __version__,
        np.ascontiguousarray(candidates.to_numpy(dtype=np.int64)).tobytes(),
        *(
            part
            for path in files
            if path is not None and path.is_file()
            for part in (path.relative_to(store.path).as_posix(), path.read_bytes())
        ),
    )


def expected_digest(task: Retrieval | Classification, store: CohortStore) -> str:
    """The digest that results of the task on the store have now.

    Raises:
        DataError: the task's candidate lists cannot be drawn.
    """
    retrieves = isinstance(task, Retrieval)
    table = candidate_lists(task, store).table() if retrieves else pd.DataFrame()
    return evaluation_digest(task, store, table)
