"""Compute how methods hold up when modalities are missing, each as one number with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.sample_outcomes import (
    MethodOutcomes,
    SampleOutcomes,
    method_outcomes,
    without_shown_outcomes,
)
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.missingness.severities import mechanism_rates, part_curves
from clinical_symile.stats.estimate import LEVEL
from clinical_symile.stats.resampling import resample_metric
from clinical_symile.stats.robustness import (
    LEAST_METHODS,
    effective_robustness,
    mean_over_rates,
)
from clinical_symile.tracking.benchmark_tables import Robustness
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.run import Run

_COMPLETE = "complete"
_MECHANISMS = ("mcar", "mnar")
AT_CHANCE = "with nothing missing it is not above the chance level"
PERHAPS_AT_CHANCE = "with nothing missing it may be at the chance level"
_NO_VALUE = "there is no value for this method under both patterns"
_NO_WIDTH = "all resamples give the same value, or too few have one"


def measure_robustness(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> list[Robustness]:
    """Compute retained shares, areas under degradation curves, and effective robustness.

    Everything is computed on the same resamples of subjects, so that what is compared is paired.
    Patterns that score other samples than `complete`, such as `observed`, are left out; and those
    that show held-out outcomes in the inputs, such as a marker whose tie is kept.

    Args:
        runs: trained runs and external models; runs of one pretraining task are a method's seeds.
        tasks: the tasks.
        store: the cohort of all.
        progress: called with tasks done and all tasks.

    Raises:
        DataError: runs were not scored on the same samples.
    """
    cells, made = without_shown_outcomes(method_outcomes(runs, tasks, store=store)), []
    for number, task in enumerate(tasks, start=1):
        curves = _curves(task.name, cells, _chances(runs, task))
        if curves is not None:
            made += [*_retained(curves), *_areas(curves), *_effective(curves)]
        progress(number, len(tasks))
    return made


@dataclass(frozen=True, eq=False, repr=False)
class _Curves:
    """The performance of methods on a task under each pattern, the first row on all samples.

    Attributes:
        first: the outcomes of a run under `complete`.
        methods: names of the methods.
        patterns: names of the patterns, `complete` first.
        values: the task's primary metric, the mean over seeds; NaN where undefined.
        chances: the chance level under each pattern; NaN where there is none.
        digests: of each pattern.
    """

    first: SampleOutcomes
    methods: Sequence[str]
    patterns: Sequence[str]
    values: Float[np.ndarray, "row pattern method"]
    chances: Float[np.ndarray, " pattern"]
    digests: Sequence[str]

    @property
    def above_chance(self) -> Float[np.ndarray, "row pattern method"]:
        """Return by how much each value is better than chance."""
        sign = 1 if self.first.metric.higher_is_better else -1
        return sign * (self.values - self.chances[:, None])

    def row(
        self,
        quantity: str,
        at: int,
        method: int,
        values: Float[np.ndarray, " row"],
        *,
        reason: str | None = None,
        n_methods: int = 1,
    ) -> Robustness:
        """Return the row of a number; with a reason it has a value but no interval.

        Args:
            quantity: its name.
            at: the pattern, or the one with the highest rate.
            method: the method.
            values: on all samples, then in resamples.
            reason: why there is no interval.
            n_methods: number of methods that it is computed from.
        """
        value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
        low = high = None
        if reason is None:
            ends = [np.nan, np.nan]
            if len(drawn) >= LEVEL * (len(values) - 1) > 0:
                ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            if ends[0] < ends[1]:
                low, high = ends
            else:
                reason = _NO_WIDTH
        return Robustness(
            cohort=self.first.about["cohort"],
            task=self.first.about["task"],
            metric=self.first.metric.name,
            method=self.methods[method],
            quantity=quantity,
            missingness=self.patterns[at],
            value=None if np.isnan(value) else value,
            low=low,
            high=high,
            reason=reason,
            n_methods=n_methods,
            n_samples=self.first.n_samples,
            n_subjects=len(np.unique(self.first.subjects)),
            digest=self.digests[at],
        )


def _chances(runs: Sequence[Run], task: EvaluationTask) -> dict[str, float | None]:
    """Return the chance level of the primary metric under each pattern."""
    return {
        row.missingness: row.chance
        for run in runs
        for row in run.results
        if (row.task, row.metric) == (task.name, task.primary)
    }


def _curves(
    task: str, cells: MethodOutcomes, chances: Mapping[str, float | None]
) -> _Curves | None:
    """Resample the metric of every method under every pattern; None without `complete`."""
    if (task, _COMPLETE) not in cells:
        return None
    whole = cells[task, _COMPLETE]
    methods = list(whole)
    first = whole[methods[0]][0]
    patterns = [_COMPLETE]
    for name, pattern in cells:
        other = next(iter(cells[name, pattern].values()))[0]
        if name == task and pattern != _COMPLETE and np.array_equal(other.rows, first.rows):
            patterns.append(pattern)

    def numbers(weights: np.ndarray, row: np.ndarray) -> Float[np.ndarray, "row pattern method"]:
        del row
        undefined = np.full(len(weights), np.nan)
        of = [
            [
                _mean(several, weights)
                if (several := cells[task, pattern].get(method))
                else undefined
                for method in methods
            ]
            for pattern in patterns
        ]
        return np.moveaxis(np.array(of), -1, 0)

    values = numbers(np.ones((1, len(first.rows)), dtype=np.int64), first.rows)
    if len(np.unique(first.subjects)) > 1:
        drawn = resample_metric(numbers, [first.rows], first.subjects, rng=first.rng)
        values = np.concatenate([values, drawn])
    levels = [chances.get(pattern) for pattern in patterns]
    return _Curves(
        first=first,
        methods=methods,
        patterns=patterns,
        values=values,
        chances=np.array([np.nan if level is None else level for level in levels]),
        digests=[next(iter(cells[task, p].values()))[0].about["digest"] for p in patterns],
    )


def _mean(several: Sequence[SampleOutcomes], weights: np.ndarray) -> Float[np.ndarray, " resample"]:
    """Return the mean of a metric over the seeds of a method."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.mean([one.weighted(weights, *one.arrays) for one in several], axis=0)


def _shares(
    curves: _Curves, method: int, above: Float[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, " row"], str | None]:
    """Return values divided by the performance above chance with nothing missing.

    Returns:
        The shares, NaN where that performance is not above chance, and why there is no interval.
    """
    whole = curves.above_chance[:, 0, method]
    if not whole[0] > 0:
        return np.full(len(whole), np.nan), AT_CHANCE
    share = np.divide(above, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    drawn = whole[1:][~np.isnan(whole[1:])]
    is_clear = len(drawn) == 0 or np.quantile(drawn, (1 - LEVEL) / 2) > 0
    return share, None if is_clear else PERHAPS_AT_CHANCE


def _retained(curves: _Curves) -> list[Robustness]:
    if np.isnan(curves.chances[0]):
        return []
    made: list[Robustness] = []
    for at in range(1, len(curves.patterns)):
        for method in range(len(curves.methods)):
            above = curves.above_chance[:, at, method]
            share, reason = _shares(curves, method, above)
            made.append(curves.row("retained", at, method, share, reason=reason))
    return made


def _areas(curves: _Curves) -> list[Robustness]:
    made: list[Robustness] = []
    every: list[dict[float, str]] = [
        {float(rate): name for rate, name in mechanism_rates(curves.patterns, one).items()}
        for one in _MECHANISMS
    ]
    every += [curve.patterns for curve in part_curves(curves.patterns)]
    for rates in every:
        if len(rates) < 2:
            continue
        places = [curves.patterns.index(pattern) for pattern in rates.values()]
        for method in range(len(curves.methods)):
            area = mean_over_rates(curves.values[:, places, method], [*rates])
            made.append(curves.row("area", places[-1], method, area))
            if np.isnan(curves.chances[0]):
                continue
            above = mean_over_rates(curves.above_chance[:, places, method], [*rates])
            share, reason = _shares(curves, method, above)
            made.append(curves.row("retained_area", places[-1], method, share, reason=reason))
    return made


def _effective(curves: _Curves) -> list[Robustness]:
    """Return effective robustness, positive where a method holds up better.

    It is computed among the methods with a value under both patterns. Where these are too few, and
    for a method without a value, rows have the reason.
    """
    metric = curves.first.metric
    made: list[Robustness] = []
    for at in range(1, len(curves.patterns)):
        both = curves.values[:, 0], curves.values[:, at]
        has_value = ~np.isnan(both[0][0] + both[1][0])
        methods = int(has_value.sum())
        found, reason = np.full_like(both[0], np.nan), None
        if methods < LEAST_METHODS:
            reason = f"needs {LEAST_METHODS} methods or more; there are {methods}"
        else:
            known = (each[:, has_value] for each in both)
            found[:, has_value] = effective_robustness(
                *known,
                low=metric.low,
                high=metric.high,
                higher_is_better=metric.higher_is_better,
            )
        for method in range(len(curves.methods)):
            why = reason if reason is not None or has_value[method] else _NO_VALUE
            made.append(
                curves.row("effective", at, method, found[:, method], reason=why, n_methods=methods)
            )
    return made
