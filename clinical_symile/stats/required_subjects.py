"""Find out whether a metric is undefined without one or two subjects, such as AUPRC without events.

A resample misses k given subjects with a probability of at most e⁻ᵏ: 0.37, 0.14 and 0.05 for 1, 2
and 3. Where two subjects suffice to make a metric undefined, its resamples tell too little of it.
The decision is one of counts, and the same for every seed.

A metric that is defined on some subjects must be defined on more of them. The search then needs few
evaluations: two subjects can only matter if they hit every set on which the metric is defined.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

# Tells whether a metric is defined on the samples where the mask is True.
IsDefined = Callable[[Bool[np.ndarray, " sample"]], bool]


def fatal_loss(
    is_defined: IsDefined, subjects: Shaped[np.ndarray, " sample"]
) -> Bool[np.ndarray, " sample"] | None:
    """Return the samples that are left without one or two subjects where the metric is undefined.

    A loss of all subjects does not count, because no resample is empty.

    Args:
        is_defined: of a mask of samples; True for all of them.
        subjects: the subject of each sample.

    Returns:
        None if the metric is defined without any two subjects.
    """
    people, codes = np.unique(subjects, return_inverse=True)

    def kept(lost: Sequence[int]) -> Bool[np.ndarray, " sample"]:
        return ~np.isin(codes, lost)

    def is_fatal(lost: Sequence[int]) -> bool:
        return len(lost) < len(people) and not is_defined(kept(lost))

    for first in _sufficient(is_defined, codes, np.arange(len(people))):
        if is_fatal([first]):
            return kept([first])
        others = np.delete(np.arange(len(people)), first)
        for second in _sufficient(is_defined, codes, others):
            if is_fatal([first, second]):
                return kept([first, second])
    return None


def lasting_columns(
    drawn: Float[np.ndarray, "resample number"],
    weighted: Callable[[Int[np.ndarray, "row sample"]], Float[np.ndarray, "row number"]],
    subjects: Shaped[np.ndarray, " sample"],
) -> Bool[np.ndarray, " number"]:
    """Return which of several metrics are defined without any two subjects.

    A metric that depends on two subjects is undefined in some resamples; the others are not
    searched. Searches share many sets of samples: all metrics are evaluated once on each set.

    Args:
        drawn: the metrics in resamples; NaN where undefined.
        weighted: the same metrics for rows of weights.
        subjects: the subject of each sample.
    """
    defined_on: dict[bytes, Bool[np.ndarray, " number"]] = {}

    def defined(kept: Bool[np.ndarray, " sample"]) -> Bool[np.ndarray, " number"]:
        key = np.packbits(kept).tobytes()
        if key not in defined_on:
            defined_on[key] = ~np.isnan(weighted(kept[None, :].astype(np.int64))[0])
        return defined_on[key]

    lasting: list[bool] = []
    for column in range(int(drawn.shape[1])):
        if not np.isnan(drawn[:, column]).any():
            lasting.append(True)
            continue

        def is_defined(kept: Bool[np.ndarray, " sample"], at: int = column) -> bool:
            return bool(defined(kept)[at])

        lasting.append(fatal_loss(is_defined, subjects) is None)
    return np.array(lasting, dtype=bool)


def _sufficient(
    is_defined: IsDefined, codes: Int[np.ndarray, " sample"], among: Int[np.ndarray, " subject"]
) -> list[int]:
    """Return subjects on whom the metric is defined, none of whom can be left out.

    Each round finds the first subject whose addition makes the metric defined, by bisection, and
    drops all subjects after it.
    """
    found: list[int] = []
    while not found or not is_defined(np.isin(codes, found)):
        too_few, enough = 0, len(among)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if is_defined(np.isin(codes, [*found, *among[:middle]])):
                enough = middle
            else:
                too_few = middle
        if enough == 0:
            break
        found.append(int(among[enough - 1]))
        among = among[: enough - 1]
    return found
