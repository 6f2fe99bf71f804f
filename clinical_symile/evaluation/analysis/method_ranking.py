"""Compare training methods: the variance between seeds, and ranks with their uncertainty."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.adjustment import adjust_method_comparisons
from clinical_symile.evaluation.analysis.sample_outcomes import (
    MethodOutcomes,
    SampleOutcomes,
    TaskPattern,
    method_outcomes,
    without_shown_outcomes,
)
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.stats.rank_uncertainty import rank_methods
from clinical_symile.stats.resampling import RESAMPLES, resample_metric
from clinical_symile.stats.variance_components import (
    difference_over_seeds,
    variance_components,
)
from clinical_symile.tracking.benchmark_tables import (
    MethodComparison,
    MethodRank,
    SeedComponents,
)
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.run import Run

_ALL_PATTERNS = "all"
# The metric of each seed on all samples, and on resamples of subjects: `[resample, seed]`.
_Resamples = tuple[Float[np.ndarray, " seed"], Float[np.ndarray, "resample seed"]]


def rank_and_decompose(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> tuple[list[SeedComponents], list[MethodRank]]:
    """Estimate variance components of methods with several seeds, and rank methods.

    A method is a pretraining task, or an external model. Its value is the mean over its seeds.
    Results under patterns that a task no longer has, or with an old fingerprint, are left out.
    Ranks leave out patterns that show held-out outcomes in the inputs: a marker whose tie is kept.

    Args:
        runs: trained runs and external models.
        tasks: the tasks.
        store: the cohort of all.
        progress: called with resamples drawn and all of them.

    Returns:
        The variance components of each method with several seeds, and the ranks; the latter is
        empty for fewer than two methods.

    Raises:
        DataError: runs were not scored on the same samples.
    """
    cells = method_outcomes(runs, tasks, store=store)
    several = [
        (method, scored)
        for methods in cells.values()
        for method, scored in methods.items()
        if len(scored) > 1
    ]
    total, made = RESAMPLES * (len(several) + 1), []
    for number, (method, scored) in enumerate(several, start=1):
        made.append(_seed_components(method, scored))
        progress(RESAMPLES * number, total)
    return made, _ranks(cells, lambda done: progress(RESAMPLES * len(several) + done, total))


def compare_methods(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    primary: Collection[TaskPattern] = (),
) -> list[MethodComparison]:
    """Compare methods with several seeds, over subjects and seeds together.

    Args:
        runs: trained ones; runs of one pretraining task are the seeds of a method.
        tasks: the tasks to compare them on.
        store: the store of all runs.
        primary: each task and pattern whose comparisons were set beforehand.

    Returns:
        One row for each task, pattern and pair of methods; p-values are adjusted for all primary
        rows, and for all others.

    Raises:
        DataError: runs were not evaluated on the same samples.
    """
    made: list[MethodComparison] = []
    for methods in method_outcomes(runs, tasks, store=store).values():
        several = {name: seeds for name, seeds in methods.items() if len(seeds) > 1}
        # Each method is resampled once, not once for each other method.
        drawn = {name: _resample(seeds) for name, seeds in several.items() if len(several) > 1}
        rows = (_comparison(*pair, several, drawn) for pair in combinations(several, 2))
        made += [row for row in rows if row is not None]
    return adjust_method_comparisons(made, primary)


def _comparison(
    one: str,
    other: str,
    methods: Mapping[str, Sequence[SampleOutcomes]],
    resamples: Mapping[str, _Resamples],
) -> MethodComparison | None:
    """Compare two methods on one task under one pattern; None if their difference never varies."""
    both = methods[one], methods[other]
    first = both[0][0]
    resampled = [resamples[one], resamples[other]]
    known = ~np.isnan(np.concatenate([drawn for _, drawn in resampled], axis=1)).any(axis=1)
    sizes = np.unique(first.subjects, return_counts=True)[1].astype(float)
    try:
        found = difference_over_seeds(
            [values for values, _ in resampled],
            [drawn[known] for _, drawn in resampled],
            n_subjects=float(sizes.sum() ** 2 / (sizes**2).sum()),
        )
    except ValueError:
        return None
    about = {name: first.about[name] for name in ("cohort", "task", "missingness", "digest")}
    return MethodComparison(
        **about,
        metric=first.metric.name,
        method=one,
        baseline=other,
        n_seeds=len(both[0]),
        n_baseline_seeds=len(both[1]),
        **found._asdict(),
        p_holm=found.p_value,
        n_samples=first.n_samples,
        n_subjects=len(sizes),
    )


def _resample(several: Sequence[SampleOutcomes]) -> _Resamples:
    """Compute the metric of each seed, on all samples and on shared resamples of subjects."""
    first, width = several[0], len(several[0].arrays)

    def numbers(weights: np.ndarray, *arrays: np.ndarray) -> Float[np.ndarray, "resample seed"]:
        parts = [arrays[at : at + width] for at in range(0, len(arrays), width)]
        return np.stack([first.weighted(weights, *part) for part in parts], axis=1)

    arrays = [array for one in several for array in one.arrays]
    values = numbers(np.ones((1, len(first.rows)), dtype=np.int64), *arrays)[0]
    return values, resample_metric(numbers, arrays, first.subjects, rng=first.rng)


def _seed_components(method: str, several: Sequence[SampleOutcomes]) -> SeedComponents:
    first = several[0]
    values, drawn = _resample(several)
    found = variance_components(values, drawn[~np.isnan(drawn).any(axis=1)])
    about = {name: first.about[name] for name in ("cohort", "task", "missingness", "digest")}
    return SeedComponents(
        **about,
        method=method,
        metric=first.metric.name,
        n_seeds=len(several),
        n_samples=first.n_samples,
        **found._asdict(),
    )


def _ranks(cells: MethodOutcomes, drawn_so_far: Callable[[int], None]) -> list[MethodRank]:
    """Rank the methods under each pattern over all tasks, and under all patterns together.

    A marker whose tie is kept is left out: it shows held-out outcomes in the inputs, and who leads
    there reads them.
    """
    cells = without_shown_outcomes(cells)
    names = list(dict.fromkeys(method for methods in cells.values() for method in methods))
    full = {cell: methods for cell, methods in cells.items() if set(methods) == set(names)}
    if len(names) < 2 or not full:
        return []
    subjects, places = _numbered_subjects(full)
    done = 0

    def numbers(weights: np.ndarray, of: np.ndarray) -> Float[np.ndarray, "resample cell method"]:
        nonlocal done
        del of
        values = []
        for cell, methods in full.items():
            mine = weights[:, places[cell]]
            values.append(np.stack([_mean(methods[name], mine) for name in names], axis=1))
        done += len(weights)
        drawn_so_far(min(done, RESAMPLES))
        return np.stack(values, axis=1)

    some = next(iter(next(iter(full.values())).values()))[0]
    values = numbers(np.ones((1, len(subjects)), dtype=np.int64), subjects)[0]
    drawn = resample_metric(numbers, [subjects], subjects, rng=some.rng)
    drawn = drawn[~np.isnan(drawn).any(axis=(1, 2))]
    patterns = list(dict.fromkeys(pattern for _, pattern in full))
    made = []
    for pattern in [_ALL_PATTERNS, *patterns]:
        which = [at for at, cell in enumerate(full) if pattern in (_ALL_PATTERNS, cell[1])]
        found = rank_methods(values[which], drawn[:, which], higher_is_better=True)
        made += [
            MethodRank(
                cohort=some.about["cohort"],
                method=name,
                missingness=pattern,
                tasks=[cell[0] for at, cell in enumerate(full) if at in which],
                **rank._asdict(),
            )
            for name, rank in zip(names, found, strict=True)
        ]
    return made


def _numbered_subjects(
    cells: MethodOutcomes,
) -> tuple[Int[np.ndarray, " subject"], dict[TaskPattern, Int[np.ndarray, " row"]]]:
    """Return all subjects by number, and the number of the subject of each row of a cell."""
    firsts = {cell: next(iter(methods.values()))[0] for cell, methods in cells.items()}
    everyone = np.unique(np.concatenate([one.subjects for one in firsts.values()]))
    places = {cell: np.searchsorted(everyone, one.subjects) for cell, one in firsts.items()}
    return np.arange(len(everyone)), places


def _mean(several: Sequence[SampleOutcomes], weights: np.ndarray) -> Float[np.ndarray, " resample"]:
    """Return the mean over the seeds of a method, negated if lower is better."""
    sign = 1 if several[0].metric.higher_is_better else -1
    with np.errstate(invalid="ignore", divide="ignore"):
        return sign * np.mean([one.weighted(weights, *one.arrays) for one in several], axis=0)
