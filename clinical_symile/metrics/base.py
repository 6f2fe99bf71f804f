"""What a metric must say of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real


@dataclass(frozen=True)
class Metric:
    """A function from arrays to one number.

    Attributes:
        name: as in `names.py`, in results and in reports.
        compute: of `columns`, one entry per sample.
        columns: of what became of each sample: for retrieval `above`, `tied`, `candidates` and
            `separation`, for classification `label` and `probability`.
        higher_is_better: the direction of improvement.
        low: the least value it can take.
        high: the greatest.
        interval: how its 95 % interval is made, `bca` or `percentile`: what holds the truth more
            nearly so often in simulation, see `docs/explanation/statistics.md`.
        chance: what a model that knows nothing scores in expectation, of the number of candidates
            of each query or of the labels; None where there is no such value.
        each: the value of every sample, where the metric is the mean of these; else None.
        weighted: `compute` for many resamples at once: of weights `[resample, sample]` and the same
            arrays, NaN where it is undefined; None where there is no such form, and resampling
            takes its time.
    """

    name: str
    compute: Callable[..., float]
    columns: tuple[str, ...]
    higher_is_better: bool
    low: float
    high: float
    interval: str
    chance: Callable[[Any], float] | None
    each: Callable[..., Float[np.ndarray, " sample"]] | None = None
    weighted: Callable[..., Float[np.ndarray, " resample"]] | None = None


def weighted_mean(
    each: Callable[..., Float[np.ndarray, " sample"]],
) -> Callable[..., Float[np.ndarray, " resample"]]:
    """The weighted form of a metric that is the mean of `each`."""

    def weighted(
        weights: Real[np.ndarray, "resample sample"], *arrays: np.ndarray
    ) -> Float[np.ndarray, " resample"]:
        return weights @ each(*arrays) / weights.sum(axis=1)

    return weighted
