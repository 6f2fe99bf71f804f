"""Define what every metric declares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from clinical_symile.stats.estimate import Estimate
from clinical_symile.stats.proportions import mean_estimate


@dataclass(frozen=True)
class Metric:
    """A function from arrays to one number, and its properties.

    Attributes:
        name: the registered name, as in results and in reports.
        compute: the metric of `columns`, one entry per sample.
        columns: what it reads of each sample's outcome: for retrieval `above`, `tied`, `candidates`
            and `separation`, for classification `label` and `probability`.
        higher_is_better: the direction of improvement.
        low: its smallest possible value.
        high: its largest possible value.
        interval: method of its 95 % interval, `bca` or `percentile`: the one with the better
            coverage in simulation, see `docs/explanation/statistics.md`.
        chance: the expected value of an uninformed model, computed from the number of candidates of
            each query or from the labels; None if there is no such value.
        each: the value of every sample, if the metric is their mean; else None.
        weighted: `compute` for many resamples at once, from weights `[resample, sample]` and the
            same arrays; NaN where it is undefined. None if there is no such form: resampling is
            then slow. It may have `prepare(*arrays)`, which returns the same of weights alone: what
            all resamples share is then computed once.
        limits: limits of the metric from `columns` and the subjects, for few subjects or events.
            None for a mean of `each` in [0, 1], which has its own, and where there is no method.
        display_name: the name in reports.
        description: one sentence, which reports show.
        source: the publication; empty if there is none.
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
    limits: Callable[..., Estimate] | None = None
    display_name: str = ""
    description: str = ""
    source: str = ""

    def estimate(
        self,
        arrays: Sequence[Shaped[np.ndarray, " sample"]],
        subjects: Shaped[np.ndarray, " sample"],
    ) -> Estimate | None:
        """Estimate the metric for few subjects or events; None if there is no such method.

        Raises:
            ValueError: the samples do not suffice, such as one subject.
        """
        if self.limits is not None:
            return self.limits(*arrays, subjects)
        if self.each is not None and (self.low, self.high) == (0.0, 1.0):
            return mean_estimate(self.each(*arrays), subjects)
        return None


def weighted_mean(
    each: Callable[..., Float[np.ndarray, " sample"]],
) -> Callable[..., Float[np.ndarray, " resample"]]:
    """Return the weighted form of a metric that is the mean of `each`."""

    def weighted(
        weights: Real[np.ndarray, "resample sample"], *arrays: np.ndarray
    ) -> Float[np.ndarray, " resample"]:
        return weights @ each(*arrays) / weights.sum(axis=1)

    return weighted


def check_predictions(
    label: Int[np.ndarray, " sample"], probability: Float[np.ndarray, " sample"]
) -> None:
    """Refuse labels and probabilities that no metric can be computed from.

    Raises:
        ValueError: there are none, or one is out of range.
    """
    if len(label) == 0:
        raise ValueError("there are no samples; expected at least one.")
    if not ((label == 0) | (label == 1)).all():
        raise ValueError("labels other than 0 and 1. Leave out samples with an unknown outcome.")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities outside 0 … 1 or NaN; expected predicted probabilities.")
