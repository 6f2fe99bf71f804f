"""Evaluate a model on a task under each of its missingness patterns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.masks import Mask, draw_mask
from clinical_symile.data.parts import draw_parts
from clinical_symile.data.severity import severity_direction
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation._trained_modalities import check_trained
from clinical_symile.evaluation.analysis.mask_predictability import mask_only_auroc
from clinical_symile.evaluation.base import Evaluator, TaskOutcome
from clinical_symile.evaluation.classification import ClassificationEvaluator
from clinical_symile.evaluation.diagnostics.evaluator import DiagnosticEvaluator, samples_of_measure
from clinical_symile.evaluation.fingerprint import result_fingerprints
from clinical_symile.evaluation.predictors.base import Predictor, hide_parts_from
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.retrieval import RetrievalEvaluator
from clinical_symile.evaluation.task_metrics import defined_parts, smallest_class, task_metrics
from clinical_symile.evaluation.task_selection import EvaluationTask, check_applies
from clinical_symile.metrics.base import Metric
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import CLASSIFICATION_METRICS
from clinical_symile.stats.bootstrap import MetricSample, metric_intervals
from clinical_symile.stats.estimate import Interval, NoInterval
from clinical_symile.tracking.provenance import package_versions, processor
from clinical_symile.tracking.results import Result, SkippedResult


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The results of one model on one task.

    Attributes:
        results: one for each pattern and metric.
        unscored: patterns and metrics that could not be scored on this cohort, with the reason.
        outcomes: the outcome of each sample, by pattern; see `TaskOutcome`.
        candidates: the candidate lists of a retrieval task; empty for others.
        tuning: the predictions of the tuning split, by pattern, for recalibration; only of
            classification tasks that score another split.
    """

    results: list[Result] = field(default_factory=list)
    unscored: list[SkippedResult] = field(default_factory=list)
    outcomes: dict[str, pd.DataFrame] = field(default_factory=dict)
    candidates: pd.DataFrame = field(default_factory=pd.DataFrame)
    tuning: dict[str, pd.DataFrame] = field(default_factory=dict)


def evaluate(
    task: EvaluationTask,
    predictor: Predictor,
    *,
    store: CohortStore,
    run: str,
    seed: int,
    missingness: Sequence[str] | None = None,
    saw_labels: Collection[str] = (),
) -> Evaluation:
    """Evaluate a model on a task under each of its missingness patterns.

    Args:
        task: the task.
        predictor: the model.
        store: the cohort.
        run: the model's name in the results.
        seed: the seed of the model's training, which the results record.
        missingness: patterns to evaluate instead of the task's own.
        saw_labels: the outcomes whose labels the model's training read.

    Raises:
        DefinitionError: the task does not apply to this store, or a pattern to the task.
        DataError: the task's candidate lists cannot be drawn.
    """
    check_applies(task, store.cohort, store.modalities, store.outcomes)
    names = task.missingness if missingness is None else missingness
    patterns = [parse_pattern(name) for name in names]
    for pattern in patterns:
        pattern.check(task.input_modalities)
    evaluator = _evaluator(task, predictor, store)
    fingerprint = result_fingerprints(task, store, evaluator.candidates)
    evaluation = Evaluation(candidates=evaluator.candidates)
    outcomes: dict[str, TaskOutcome] = {}
    about = {"run": run, "cohort": store.cohort, "task": task.name}
    context = {p.name: {**about, "missingness": p.name, "digest": fingerprint(p)} for p in patterns}
    for pattern in patterns:
        try:
            check_trained(task, pattern, predictor)
            if pattern.within:
                reduced = hide_parts_from(predictor, pattern, seed=task.seed)
                outcome = _evaluator(task, reduced, store).outcome(pattern)
            else:
                outcome = evaluator.outcome(pattern)
        except CannotScore as verdict:
            reason = verdict.reason
            skipped = SkippedResult(**context[pattern.name], reason=str(reason), code=reason.code)
            evaluation.unscored.append(skipped)
            continue
        outcomes[pattern.name] = outcome
        evaluation.outcomes[pattern.name] = outcome.per_sample
        if outcome.tuning is not None:
            evaluation.tuning[pattern.name] = outcome.tuning
    rule: dict[str, Any] = {
        "environment": _environment(),
        "saw_label": not set(task.outcomes).isdisjoint(saw_labels),
    }
    if isinstance(task, Retrieval) and isinstance(predictor, EmbeddingPredictor):
        rule |= {"missing_query": predictor.missing_query, "bank_size": predictor.bank_size}
    _add_results(evaluation, outcomes, context, rule=rule, task=task, store=store, seed=seed)
    return evaluation


def _environment() -> dict[str, str]:
    """Return what the last digits of a result may depend on; runs are evaluated on the CPU."""
    about = {
        "device": "cpu",
        "processor": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
    }
    return {**about, **package_versions()}


def _evaluator(task: EvaluationTask, predictor: Predictor, store: CohortStore) -> Evaluator:
    if isinstance(task, Retrieval):
        return RetrievalEvaluator(task, predictor, store)
    if isinstance(task, Classification):
        return ClassificationEvaluator(task, predictor, store)
    return DiagnosticEvaluator(task, predictor, store)


def _metrics(task: EvaluationTask, outcome: TaskOutcome) -> Sequence[Metric]:
    """Return the metrics of a task, or the measures of a diagnostic."""
    if isinstance(task, Retrieval | Classification):
        return task_metrics(task, outcome.per_sample)
    return outcome.metrics or ()


def _add_results(
    evaluation: Evaluation,
    outcomes: Mapping[str, TaskOutcome],
    context: Mapping[str, Mapping[str, Any]],
    *,
    rule: Mapping[str, Any],
    task: EvaluationTask,
    store: CohortStore,
    seed: int,
) -> None:
    """Add one result for each pattern and metric, or the reason why there is none."""
    metrics = {name: _metrics(task, outcome) for name, outcome in outcomes.items()}
    intervals = _intervals(task, evaluation.outcomes, metrics, store)
    for name, outcome in outcomes.items():
        about = {**context[name], **_sample_counts(task, parse_pattern(name), outcome, store)}
        for metric in metrics[name]:
            interval = intervals[name, metric.name]
            if isinstance(interval, ValueError):
                reason = str(interval)
                if isinstance(task, Classification):
                    reason += _left_out(task, metric.name, outcome.per_sample)
                evaluation.unscored.append(
                    SkippedResult(
                        **context[name], reason=reason, metric=metric.name, code="CS-S014"
                    )
                )
                continue
            chance = metric.chance
            known = isinstance(interval, Interval)
            result = Result(
                **(
                    about
                    if outcome.metrics is None
                    else about | _own_counts(metric, outcome, store)
                ),
                metric=metric.name,
                value=interval.value,
                low=interval.low if known else None,
                high=interval.high if known else None,
                interval=interval.kind if known else "none",
                no_interval=None if known else interval.reason,
                chance=None if chance is None else chance(outcome.chance_inputs),
                n_smallest_class=smallest_class(task, metric.name, outcome.per_sample)
                if isinstance(task, Classification)
                else None,
                seed=seed,
                **rule,
            )
            evaluation.results.append(result)


def _own_counts(metric: Metric, outcome: TaskOutcome, store: CohortStore) -> dict[str, int]:
    """Return the number of samples and subjects that a measure is of."""
    rows = samples_of_measure(outcome.per_sample, metric.columns)
    subjects = store.samples["subject"].iloc[rows].nunique()
    return {"n_samples": len(rows), "n_subjects": subjects}


def _intervals(
    task: EvaluationTask,
    outcomes: Mapping[str, pd.DataFrame],
    metrics: Mapping[str, Sequence[Metric]],
    store: CohortStore,
) -> dict[tuple[str, str], Interval | NoInterval | ValueError]:
    """Return the interval of each pattern and metric; patterns of the same samples share resamples.

    A `ValueError` in place of an interval says why the metric is undefined.
    """
    subjects = np.unique(store.samples["subject"].to_numpy(), return_inverse=True)[1]
    by_rows: dict[bytes, list[str]] = {}
    for name, outcome in outcomes.items():
        by_rows.setdefault(outcome["row"].to_numpy().tobytes(), []).append(name)
    found = {}
    for names in by_rows.values():
        numbers = {
            (name, metric.name): MetricSample(
                metric.compute,
                [outcomes[name][column].to_numpy() for column in metric.columns],
                task.interval or metric.interval,
                metric.weighted,
                metric.estimate if task.interval is None else None,
            )
            for name in names
            for metric in metrics[name]
        }
        made = metric_intervals(
            list(numbers.values()),
            subjects[outcomes[names[0]]["row"]],
            rng=np.random.default_rng(task.seed),
        )
        found |= dict(zip(numbers, made, strict=True))
    return found


def _left_out(task: Classification, name: str, scored: pd.DataFrame) -> str:
    """Say which mean is over fewer outcomes because the metric of one of them is undefined."""
    metric, _, outcome = name.partition("/")
    if not outcome:
        return ""
    measured = resolve(metric, CLASSIFICATION_METRICS)
    parts = tuple(task.questions)
    defined = defined_parts(parts, measured, scored)
    own = [part for part, question in task.questions.items() if question.outcome == outcome]
    if set(own) & set(defined):
        return ""
    return f" The mean {metric} leaves this outcome out."


def _sample_counts(
    task: EvaluationTask, pattern: Pattern, outcome: TaskOutcome, store: CohortStore
) -> dict[str, Any]:
    """Return how many samples and subjects a pattern scores, and the share that it hides."""
    rows = np.unique(outcome.per_sample["row"].to_numpy())
    statistics: dict[str, float | None] = {}
    if pattern.within:
        mask = draw_parts(pattern, store, split=task.split, seed=task.seed)
    else:
        modalities = task.input_modalities
        mask = draw_mask(pattern, store, split=task.split, modalities=modalities, seed=task.seed)
        statistics = _mask_statistics(task, pattern, mask, rows, store)
    return {
        "split": task.split,
        "n_samples": len(rows),
        "n_subjects": store.samples["subject"].iloc[rows].nunique(),
        "mask": mask.digest,
        "hidden": mask.hidden_rate_among(rows),
        "mask_statistics": statistics,
    }


def _mask_statistics(
    task: EvaluationTask,
    pattern: Pattern,
    mask: Mask,
    rows: Int[np.ndarray, " evaluated"],
    store: CohortStore,
) -> dict[str, float | None]:
    """Return the statistics of a mask that draws modalities; none of other masks."""
    if not pattern.mechanism:
        return {}
    numbers = mask.statistics_among(rows).to_numbers()
    if pattern.mechanism == "mnar" and not pattern.given:
        for name in task.input_modalities:
            if (direction := severity_direction(store, name)) is not None:
                numbers[f"severity/{name}/{direction.outcome}"] = direction.auroc
    if isinstance(task, Classification) and len(task.outcomes) == 1:
        numbers["auroc"] = mask_only_auroc(pattern, store, task=task)
    return numbers
