"""Build measures that are resampled by subject: means over samples, pairs, and their averages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from clinical_symile.evaluation.diagnostics.base import DiagnosticMeasure
from clinical_symile.metrics.base import Metric
from clinical_symile.metrics.classification import AUROC
from clinical_symile.stats.estimate import Estimate
from clinical_symile.stats.proportions import mean_estimate

# Measures of all pairs use at most this many samples, drawn at random.
MOST_PAIRED = 2000

# Maps weights [resample, sample] to a value per resample; NaN where it is undefined.
ByWeights = Callable[[Real[np.ndarray, "resample sample"]], Float[np.ndarray, " resample"]]
# Maps the places of the samples that take part to a function of their weights.
Prepare = Callable[[Int[np.ndarray, " part"]], ByWeights]


def sample_mean(
    name: str,
    values: Float[np.ndarray, " sample"],
    *,
    low: float,
    high: float,
    higher_is_better: bool = True,
    chance: float | None = None,
) -> DiagnosticMeasure:
    """Return the mean of a value over the samples that have it.

    Args:
        name: of the measure.
        values: NaN where a sample has none.
        low: its smallest possible value.
        high: its largest possible value.
        higher_is_better: the direction of improvement.
        chance: the value of an uninformed model; None if there is no such value.
    """

    def limits(values: np.ndarray, subjects: np.ndarray) -> Estimate:
        known = ~np.isnan(values)
        return mean_estimate(values[known], subjects[known])

    metric = Metric(
        name=name,
        compute=lambda values: _defined(_mean_by_weights(np.ones((1, len(values))), values), name),
        columns=(name,),
        higher_is_better=higher_is_better,
        low=low,
        high=high,
        interval="bca",
        chance=None if chance is None else lambda known: chance,
        weighted=_mean_by_weights,
        limits=limits if (low, high) == (0.0, 1.0) else None,
    )
    return DiagnosticMeasure(metric, {name: values})


def joint_measure(
    name: str,
    used: Bool[np.ndarray, " sample"],
    prepare: Prepare,
    *,
    low: float,
    high: float,
    higher_is_better: bool = True,
    chance: float | None = None,
    among: Mapping[str, Bool[np.ndarray, " sample"]] | None = None,
) -> DiagnosticMeasure:
    """Return a number of all samples together, such as a mean over pairs of them.

    Args:
        name: of the measure.
        used: True where a sample takes part.
        prepare: computes what all resamples share.
        low: its smallest possible value.
        high: its largest possible value.
        higher_is_better: the direction of improvement.
        chance: the value of an uninformed model; None if there is no such value.
        among: by column, groups of samples; the measure counts as one of the smallest group.
    """
    form, groups = _Weighted(prepare), among or {}
    metric = Metric(
        name=name,
        compute=lambda place, *_: _defined(form(np.ones((1, len(place))), place), name),
        columns=(name, *groups),
        higher_is_better=higher_is_better,
        low=low,
        high=high,
        interval="percentile",
        chance=None if chance is None else lambda known: chance,
        weighted=form,
    )
    columns = {name: np.where(used, np.arange(len(used)), np.nan)}
    return DiagnosticMeasure(
        metric, columns | {key: np.where(has, 1.0, np.nan) for key, has in groups.items()}
    )


def average(name: str, parts: Sequence[DiagnosticMeasure]) -> list[DiagnosticMeasure]:
    """Return the parts of a measure, after their mean; nothing of no part.

    Args:
        name: of the mean; each part has `name/…`.
        parts: all of the same limits and direction.
    """
    if not parts:
        return []
    metrics = [part.metric for part in parts]
    first, ends = metrics[0], np.cumsum([len(one.columns) for one in metrics])[:-1].tolist()

    def compute(*arrays: Float[np.ndarray, " sample"]) -> float:
        own = _split(arrays, ends)
        return float(np.mean([one.compute(*some) for one, some in zip(metrics, own, strict=True)]))

    mean = Metric(
        name=name,
        compute=compute,
        columns=tuple(column for one in metrics for column in one.columns),
        higher_is_better=first.higher_is_better,
        low=first.low,
        high=first.high,
        interval=first.interval,
        chance=_mean_chance(metrics),
        weighted=_MeanOfParts([one.weighted for one in metrics], ends),
    )
    columns = {key: array for part in parts for key, array in part.columns.items()}
    return [DiagnosticMeasure(mean, columns), *parts]


def _mean_chance(metrics: Sequence[Metric]) -> Callable[[Any], float] | None:
    """Return the mean of the parts' chance levels; None if a part has none."""
    levels = [one.chance for one in metrics if one.chance is not None]
    if len(levels) < len(metrics):
        return None
    return lambda known: float(np.mean([level(known) for level in levels]))


def auroc_by_weights(
    label: Int[np.ndarray, " part"], risk: Float[np.ndarray, " part"]
) -> ByWeights:
    """Return AUROC as a function of weights.

    Args:
        label: 1 or 0.
        risk: higher where the label is more likely 1.
    """
    weighted = AUROC.weighted
    assert weighted is not None
    return weighted.prepare(label, risk)  # pyright: ignore[reportFunctionMemberAccess]


def auroc_measure(
    name: str,
    used: Bool[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    risk: Float[np.ndarray, " sample"],
) -> DiagnosticMeasure:
    """Return AUROC of risks, among the samples that are used.

    Args:
        name: of the measure.
        used: the samples.
        label: 1 or 0; of the samples that are not used, any.
        risk: higher where the label is more likely 1.
    """
    return joint_measure(
        name,
        used,
        lambda at: auroc_by_weights(label[at], risk[at]),
        low=0.0,
        high=1.0,
        chance=0.5,
    )


def mean_of_pairs(
    kernel: Float[np.ndarray, "sample sample"], counted: Bool[np.ndarray, "sample sample"]
) -> ByWeights:
    """Return the mean of a value over pairs of samples, as a function of weights.

    Args:
        kernel: the value of each pair.
        counted: True for the pairs that count.
    """
    values, pairs = np.where(counted, kernel, 0.0), counted.astype(np.float64)

    def form(weights: Real[np.ndarray, "resample sample"]) -> Float[np.ndarray, " resample"]:
        total = ((weights @ pairs) * weights).sum(axis=1)
        summed = ((weights @ values) * weights).sum(axis=1)
        return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)

    return form


def for_pairs(used: Bool[np.ndarray, " sample"], *, seed: int) -> Bool[np.ndarray, " sample"]:
    """Return `used` with at most `MOST_PAIRED` samples, drawn at random."""
    places = np.flatnonzero(used)
    if len(places) <= MOST_PAIRED:
        return used
    kept = np.zeros(len(used), dtype=bool)
    kept[np.random.default_rng(seed).choice(places, size=MOST_PAIRED, replace=False)] = True
    return kept


@dataclass(frozen=True, eq=False)
class _Weighted:
    """The weighted form of a joint measure; see `Metric.weighted`."""

    joint: Prepare

    def prepare(
        self, place: Float[np.ndarray, " sample"], *groups: Float[np.ndarray, " sample"]
    ) -> ByWeights:
        del groups
        known = ~np.isnan(place)
        form = self.joint(place[known].astype(np.int64))
        return lambda weights: form(weights[:, known])

    def __call__(
        self, weights: Real[np.ndarray, "resample sample"], *arrays: Float[np.ndarray, " sample"]
    ) -> Float[np.ndarray, " resample"]:
        return self.prepare(*arrays)(weights)


@dataclass(frozen=True, eq=False)
class _MeanOfParts:
    """The weighted form of the mean of several measures, whose arrays end at `ends`."""

    forms: Sequence[Any]
    ends: Sequence[int]

    def prepare(self, *arrays: Float[np.ndarray, " sample"]) -> ByWeights:
        own = _split(arrays, self.ends)
        made = [_prepared(form, some) for form, some in zip(self.forms, own, strict=True)]
        return lambda weights: np.mean([one(weights) for one in made], axis=0)

    def __call__(
        self, weights: Real[np.ndarray, "resample sample"], *arrays: Float[np.ndarray, " sample"]
    ) -> Float[np.ndarray, " resample"]:
        return self.prepare(*arrays)(weights)


def _split(arrays: Sequence[np.ndarray], ends: Sequence[int]) -> list[Sequence[np.ndarray]]:
    """Return the arrays of each part."""
    places = [0, *ends, len(arrays)]
    return [arrays[first:last] for first, last in pairwise(places)]


def _prepared(form: Any, arrays: Sequence[Float[np.ndarray, " sample"]]) -> ByWeights:
    if hasattr(form, "prepare"):
        return form.prepare(*arrays)
    return lambda weights: form(weights, *arrays)


def _mean_by_weights(
    weights: Real[np.ndarray, "resample sample"], values: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " resample"]:
    known = ~np.isnan(values)
    total = weights[:, known].sum(axis=1).astype(np.float64)
    summed = weights[:, known] @ values[known]
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)


def _defined(value: Float[np.ndarray, " one"], name: str) -> float:
    if np.isnan(value[0]):
        raise ValueError(
            f"{name} is undefined: too few samples have what it needs, or it would divide by 0. "
            "Evaluate on more samples, or a model that is above chance."
        )
    return float(value[0])
