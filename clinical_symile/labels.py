"""The labels that a classification task learns from and is scored by."""

import numpy as np
from jaxtyping import Float

from clinical_symile.probes.probe import Labelled
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification


def labels(store: CohortStore, task: Classification) -> Float[np.ndarray, " sample"]:
    """1 where the task's one outcome is positive, 0 where negative, NaN where unknown."""
    return store.outcome(str(task.outcome), uncertain=task.uncertain)


def few(known: Labelled, task: Classification) -> Labelled:
    """As many of some labelled samples as the task allows: a share of each class, at least one.

    They are drawn from the first of the task's label seeds; with a share of 1 all are taken.
    """
    if task.label_share == 1:
        return known
    rng = np.random.default_rng([task.seed, task.label_seeds[0]])
    drawn = [
        rng.choice(of_class, size=int(np.ceil(task.label_share * len(of_class))), replace=False)
        for of_class in (np.flatnonzero(known.label == label) for label in (0, 1))
    ]
    return known.take(np.sort(np.concatenate(drawn)))
