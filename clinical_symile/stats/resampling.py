"""Draw resamples by subject, and compute metrics on each of them.

All samples of a subject are drawn together, because they are not independent. A resample is a
weight for each sample: how often its subject was drawn. Values computed from the same weights are
resampled jointly.

Source: Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press,
1997: resampling of hierarchical data at the upper level.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from clinical_symile.stats.required_subjects import fatal_loss

RESAMPLES = 1000
# Weights held in memory at a time.
_MAX_WEIGHTS = 2_000_000
# The jackknife leaves out this many subjects or, if there are more, groups of subjects.
_MAX_LEFT_OUT = 1000

Arrays = Sequence[Shaped[np.ndarray, " sample"]]
Weights = Int[np.ndarray, "resample sample"]
# Maps weights and arrays to one or several values per row of weights; NaN where undefined.
Weighted = Callable[..., Float[np.ndarray, "resample ..."]]


def resample_metric(
    weighted: Weighted,
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, "resample ..."]:
    """Compute one or several values jointly on each resample by subject; NaN where undefined.

    Raises:
        ValueError: fewer than two subjects, or arrays of different lengths.
    """
    codes, people = _codes(arrays, subjects)
    at_once = max(1, _MAX_WEIGHTS // max(len(codes), 1))
    parts: list[np.ndarray] = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(people, size=(rows, people))
        drawn += people * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * people).reshape(rows, people)
        parts.append(weighted(counts.take(codes, axis=1), *arrays))
    return np.concatenate(parts)


def jackknife(
    weighted: Weighted, arrays: Arrays, subjects: Shaped[np.ndarray, " sample"]
) -> Float[np.ndarray, "left_out ..."]:
    """Compute values without each subject in turn; above 1,000, without each of 1,000 groups.

    In expectation a group adds as much to the sum of squared or cubed differences as its subjects
    add one by one. The acceleration of BCa can therefore be estimated either way.

    Raises:
        ValueError: as in `resample_metric`.
    """
    codes, people = _codes(arrays, subjects)
    groups = min(people, _MAX_LEFT_OUT)
    group = codes % groups
    at_once = max(1, _MAX_WEIGHTS // max(len(codes), 1))
    parts = [
        weighted((group[None, :] != left_out[:, None]).astype(np.int64), *arrays)
        for left_out in np.array_split(np.arange(groups), -(-groups // at_once))
    ]
    return np.concatenate(parts)


def by_weights(metric: Callable[..., float]) -> Weighted:
    """Turn a metric of arrays into one of weights; slow, but correct for any metric."""

    def weighted(weights: Weights, *arrays: np.ndarray) -> Float[np.ndarray, " resample"]:
        values = np.full(len(weights), np.nan)
        for place, row in enumerate(_rows(weights)):
            try:
                values[place] = metric(*(array[row] for array in arrays))
            except ValueError:
                continue
        return values

    return weighted


def defined_values(
    values: Float[np.ndarray, " resample"],
    metric: Callable[..., float],
    arrays: Arrays,
    subjects: Shaped[np.ndarray, " sample"],
) -> Float[np.ndarray, " defined"]:
    """Return the resamples in which a metric is defined.

    Raises:
        ValueError: the metric is undefined without some one or two subjects; the message has the
            metric's own reason.
    """

    def reason(kept: Bool[np.ndarray, " sample"]) -> str | None:
        try:
            value = metric(*(array[kept] for array in arrays))
        except ValueError as error:
            return str(error)
        return "it is not a number there." if np.isnan(value) else None

    lost = np.isnan(values)
    if not lost.any():  # of a metric that depends on two subjects, some resamples are undefined
        return values
    left = fatal_loss(lambda kept: reason(kept) is None, subjects)
    if left is not None:
        raise ValueError(
            "the metric is undefined without one or two of the subjects, too few for an interval: "
            f"{reason(left)}"
        )
    return values[~lost]


def _codes(
    arrays: Arrays, subjects: Shaped[np.ndarray, " sample"]
) -> tuple[Int[np.ndarray, " sample"], int]:
    """Return each sample's subject as a number from 0, and the number of subjects."""
    lengths = {len(array) for array in arrays}
    if lengths != {len(subjects)}:
        raise ValueError(
            f"arrays of length {', '.join(map(str, sorted(lengths)))} for "
            f"{len(subjects)} samples; expected one entry per sample in each."
        )
    people, codes = np.unique(subjects, return_inverse=True)
    if len(people) < 2:
        raise ValueError(
            "an interval over subjects needs at least 2 of them. Evaluate on more subjects."
        )
    return codes, len(people)


def _rows(weights: Weights) -> Iterator[Int[np.ndarray, " drawn"]]:
    """Yield each resample as row numbers."""
    places = np.arange(int(weights.shape[1]))
    for counts in weights:
        yield np.repeat(places, counts)
