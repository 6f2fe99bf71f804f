"""Leave most train subjects of one group out of a training."""

import numpy as np
from jaxtyping import Bool, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError


def draw_undersample(
    rows: Int[np.ndarray, " sample"],
    store: CohortStore,
    *,
    group: str,
    value: str,
    keep: float,
    seed: int,
) -> Bool[np.ndarray, " sample"]:
    """Return which samples stay when a group is under-sampled by subject.

    The draw depends on the seed and the train subjects of the group, and a larger share contains a
    smaller one. Samples of other groups, or of an unknown one, stay.

    Args:
        rows: samples, as rows of the store.
        store: a prepared cohort.
        group: one of its subgroups.
        value: the level that is under-sampled.
        keep: the share of its train subjects that stays; it is rounded.
        seed: seed of the run.

    Raises:
        DataError: the cohort has no such subgroup, or no train subject with this level.
    """
    if group not in store.subgroups:
        raise DataError(
            f"undersample.group is '{group}'; cohort '{store.cohort}' has "
            f"{', '.join(store.subgroups) or 'no subgroups'}. Name one of these.",
            code="CS-F015",
        )
    subjects = store.samples["subject"].to_numpy()
    of_level = store.group(group) == value
    train = store.rows("train")
    named = np.unique(subjects[train[of_level[train]]])
    if not len(named):
        raise DataError(
            f"undersample.value is '{value}'; no train subject of cohort '{store.cohort}' has this "
            f"level of {group}. Correct it.",
            code="CS-F015",
        )
    order = np.random.default_rng(seed).permutation(named)
    left_out = order[round(keep * len(named)) :]
    return ~(of_level[rows] & np.isin(subjects[rows], left_out))
