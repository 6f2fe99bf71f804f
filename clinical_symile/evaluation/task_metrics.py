"""Build the metrics of a task, also for several parts: outcomes, or draws of few labels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Real, Shaped

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.metrics.base import Metric
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import CLASSIFICATION_METRICS, RETRIEVAL_METRICS
from clinical_symile.stats.resampling import by_weights

# With 3 subjects of a class, 5 % of the resamples lack it; with 4, 2 %. Several parts add up.
_LEAST_SUBJECTS = 4
_METRICS = {Retrieval: RETRIEVAL_METRICS, Classification: CLASSIFICATION_METRICS}


def task_metrics(
    task: Retrieval | Classification, scored: pd.DataFrame | None = None
) -> list[Metric]:
    """Return the metrics of a task.

    For a task of several parts a metric is the mean over the parts. The column `part` of the
    outcome says which part a row belongs to. For several outcomes each outcome also has its own
    metric, named `metric/outcome`.

    Args:
        task: the task.
        scored: the outcome of each sample. The mean leaves out the parts on which the metric is
            undefined there, such as AUROC of an outcome without positives, unless none is left.
    """
    metrics = [resolve(name, _METRICS[type(task)]) for name in task.metrics]
    if isinstance(task, Retrieval) or len(task.questions) == 1:
        return metrics
    every = tuple(task.questions)
    made = [_over(defined_parts(every, m, scored), m, name=m.name) for m in metrics]
    for outcome in task.outcomes if len(task.outcomes) > 1 else ():
        own = [part for part, question in task.questions.items() if question.outcome == outcome]
        made += [_over(own, metric, name=f"{metric.name}/{outcome}") for metric in metrics]
    return made


def primary_metric(task: Retrieval | Classification, scored: pd.DataFrame | None = None) -> Metric:
    """Return the metric that the task names as primary; see `task_metrics`."""
    return next(metric for metric in task_metrics(task, scored) if metric.name == task.primary)


def defined_parts(
    parts: Sequence[str], metric: Metric, scored: pd.DataFrame | None
) -> tuple[str, ...]:
    """Return the parts on which a metric is defined; all of them if it is on none."""
    if scored is None:
        return tuple(parts)
    defined = [part for part, one in scored.groupby("part") if _is_defined(metric, one)]
    defined = [part for part in parts if part in defined]
    return tuple(defined or parts)


def smallest_class(task: Classification, name: str, scored: pd.DataFrame) -> int:
    """Return the smallest number of samples of a class that a metric rests on.

    Args:
        task: the task.
        name: the metric, or `metric/outcome`, as in `task_metrics`. Parts that a mean leaves out do
            not count.
        scored: the outcome of each sample.
    """
    of = [scored]
    if "part" in scored:
        metric, _, outcome = name.partition("/")
        parts = defined_parts(
            tuple(task.questions), resolve(metric, CLASSIFICATION_METRICS), scored
        )
        if outcome:
            named = task.questions.items()
            parts = tuple(part for part, question in named if question.outcome == outcome)
        of = [one for part, one in scored.groupby("part") if part in parts]
    counts = [np.count_nonzero(one["label"].to_numpy() == kind) for one in of for kind in (0, 1)]
    return int(min(counts))


def check_class_sizes(
    metric: Metric, scored: pd.DataFrame, subjects: Shaped[np.ndarray, " row"]
) -> None:
    """Refuse to resample by subject if a class is small and the metric is undefined without it.

    Of n subjects with k of the class, a resample lacks the class with probability (1 - k / n)^n,
    which is below exp(-k).

    Args:
        metric: a metric of the task.
        scored: the outcome of each sample.
        subjects: the subject of each row of it.

    Raises:
        ValueError: there is such a class, of fewer than 4 subjects.
    """
    if "label" not in metric.columns:
        return
    kinds = [name for name in ("part", "label") if name in metric.columns]
    for rows in scored.groupby(kinds).indices.values():
        few = len(np.unique(subjects[rows])) < _LEAST_SUBJECTS
        if few and not _is_defined(metric, scored.drop(scored.index[rows])):
            raise ValueError(
                f"{metric.name} needs positive and negative samples, and fewer than "
                f"{_LEAST_SUBJECTS} subjects have one of the two; too many resamples by subject "
                "would have none. Evaluate on more subjects."
            )


def _is_defined(metric: Metric, scored: pd.DataFrame) -> bool:
    try:
        metric.compute(*(scored[column].to_numpy() for column in metric.columns))
    except ValueError:
        return False
    return True


def _over(parts: Sequence[str], metric: Metric, *, name: str) -> Metric:
    """Return the mean of a metric over some parts."""

    def compute(*arrays: Shaped[np.ndarray, " row"]) -> float:
        *values, part = arrays
        return float(
            np.mean([_of_one(metric, [v[part == one] for v in values], one) for one in parts])
        )

    def weighted(
        weights: Real[np.ndarray, "resample row"], *arrays: Shaped[np.ndarray, " row"]
    ) -> Float[np.ndarray, " resample"]:
        *values, part = arrays
        form = metric.weighted or by_weights(metric.compute)
        return np.mean(
            [form(weights[:, part == one], *(v[part == one] for v in values)) for one in parts],
            axis=0,
        )

    def chance(known: tuple[Shaped[np.ndarray, " row"], Shaped[np.ndarray, " row"]]) -> float:
        assert metric.chance is not None
        label, part = known
        return float(np.mean([metric.chance(label[part == one]) for one in parts]))

    return replace(
        metric,
        name=name,
        columns=(*metric.columns, "part"),
        compute=compute,
        weighted=weighted,
        each=None,
        limits=None,
        chance=None if metric.chance is None else chance,
    )


def _of_one(metric: Metric, values: Sequence[Shaped[np.ndarray, " row"]], part: str) -> float:
    try:
        return metric.compute(*values)
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from error
