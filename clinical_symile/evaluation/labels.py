"""The labels that a classification task learns from and is scored by."""

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.probes.base import Labelled


def outcome_labels(store: CohortStore, task: Classification) -> Float[np.ndarray, " sample"]:
    """1 where the task's one outcome is positive, 0 where negative, NaN where unknown."""
    return store.outcome(str(task.outcome), uncertain=task.uncertain)


def subsample_labels(known: Labelled, task: Classification) -> Labelled:
    """As many of some labelled samples as the task allows: see `subsample_label_rows`."""
    return known if task.label_share == 1 else known.take(subsample_label_rows(known.label, task))


def subsample_label_rows(
    label: Int[np.ndarray, " sample"], task: Classification
) -> Int[np.ndarray, " taken"]:
    """Which labels the task allows to be learned from: a share of each class, at least one.

    They are drawn from the first of the task's label seeds; with a share of 1 all are taken.
    """
    if task.label_share == 1:
        return np.arange(len(label))
    rng = np.random.default_rng([task.seed, task.label_seeds[0]])
    drawn = [
        rng.choice(of_class, size=int(np.ceil(task.label_share * len(of_class))), replace=False)
        for of_class in (np.flatnonzero(label == value) for value in (0, 1))
    ]
    return np.sort(np.concatenate(drawn))
