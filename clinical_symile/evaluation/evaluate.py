"""A task, a model and a store become results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.masks import draw_mask, draw_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.fingerprint import result_fingerprints
from clinical_symile.evaluation.labels import outcome_labels
from clinical_symile.evaluation.pooled_auc import pooled_auc_per_query
from clinical_symile.evaluation.predictors.embedding import Scorer, samples, without_parts
from clinical_symile.evaluation.ranking import SharedRanks
from clinical_symile.evaluation.task_metrics import task_metrics
from clinical_symile.evaluation.task_selection import check_applies
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.stats.bootstrap import Interval
from clinical_symile.stats.metric_intervals import MetricSample, metric_intervals
from clinical_symile.tracking.results import Result, SkippedResult


@dataclass(frozen=True)
class Evaluation:
    """What came of one task for one model.

    Attributes:
        results: one for each pattern and metric.
        unscored: patterns that could not be scored on this cohort, with the reason.
        outcomes: for each pattern, what became of each sample, as rows of the store.
        candidates: the lists of a retrieval task; empty for others.
        tuning: for each pattern what was predicted of the tuning split, for recalibration; of
            classification tasks that are scored on another split.
    """

    results: list[Result] = field(default_factory=list)
    unscored: list[SkippedResult] = field(default_factory=list)
    outcomes: dict[str, pd.DataFrame] = field(default_factory=dict)
    candidates: pd.DataFrame = field(default_factory=pd.DataFrame)
    tuning: dict[str, pd.DataFrame] = field(default_factory=dict)


def evaluate(
    task: Retrieval | Classification,
    scorer: Scorer,
    *,
    store: CohortStore,
    run: str,
    seed: int,
    missingness: Sequence[str] | None = None,
) -> Evaluation:
    """Score a model on a task under each of its missingness patterns.

    Args:
        task: what is asked.
        scorer: who answers.
        store: on what.
        run: the model's name in the results.
        seed: of the model's training, for the record.
        missingness: patterns to score instead of the task's own.

    Raises:
        DefinitionError: the task does not apply to this store, or a pattern to the task.
        DataError: the task's candidate lists cannot be drawn.
    """
    check_applies(task, store)
    names = task.missingness if missingness is None else missingness
    patterns = [parse_pattern(name) for name in names]
    inputs = task.input_modalities
    for pattern in patterns:
        pattern.check(inputs)
    answer, table = KINDS[type(task)](task, scorer, store)
    made_with = result_fingerprints(task, store, table)
    evaluation = Evaluation(candidates=table)
    guessed: dict[str, Any] = {}
    about = {"run": run, "cohort": store.cohort, "task": task.name}
    context = {p.name: {**about, "missingness": p.name, "digest": made_with(p)} for p in patterns}
    for pattern in patterns:
        try:
            if pattern.within:
                hiding = without_parts(scorer, pattern, seed=task.seed)
                outcome, known, tuning = KINDS[type(task)](task, hiding, store)[0](pattern)
            else:
                outcome, known, tuning = answer(pattern)
        except CannotScore as reason:
            unscored = SkippedResult(**context[pattern.name], reason=str(reason))
            evaluation.unscored.append(unscored)
            continue
        evaluation.outcomes[pattern.name], guessed[pattern.name] = outcome, known
        if tuning is not None:
            evaluation.tuning[pattern.name] = tuning
    _tell(evaluation, guessed, context, task=task, store=store, seed=seed)
    return evaluation


def _tell(
    evaluation: Evaluation,
    guessed: Mapping[str, Any],
    context: Mapping[str, Mapping[str, Any]],
    *,
    task: Retrieval | Classification,
    store: CohortStore,
    seed: int,
) -> None:
    """Add the numbers that the outcomes give, and why they do not give the others."""
    found = _intervals(task, evaluation.outcomes, store)
    for name, outcome in evaluation.outcomes.items():
        about = {**context[name], **_about(task, parse_pattern(name), outcome, store)}
        for metric in task_metrics(task):
            interval = found[name, metric.name]
            if isinstance(interval, ValueError):
                unscored = SkippedResult(**context[name], reason=str(interval), metric=metric.name)
                evaluation.unscored.append(unscored)
                continue
            result = Result(
                **about,
                metric=metric.name,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                interval=interval.kind,
                chance=None if metric.chance is None else metric.chance(guessed[name]),
                seed=seed,
            )
            evaluation.results.append(result)


# What became of each sample, what a guess depends on, and predictions of the tuning split or None.
Answer = Callable[[Pattern], tuple[pd.DataFrame, Any, pd.DataFrame | None]]


def _retrieval(task: Retrieval, scorer: Scorer, store: CohortStore) -> tuple[Answer, pd.DataFrame]:
    lists = candidate_lists(task, store)
    ranks = SharedRanks(task, scorer, lists)
    columns = {name for metric in task_metrics(task) for name in metric.columns}

    def answer(pattern: Pattern) -> tuple[pd.DataFrame, Any, None]:
        rows, available = samples(store, task.split, task.query, pattern, seed=task.seed)
        asked = np.isin(rows, lists.queries)
        rows, available = rows[asked], available[asked]
        if not len(rows):
            raise CannotScore("no sample of the split has what this pattern needs.")
        try:
            ranking = ranks.of(rows, available)
            parts = {
                name: column(task, scorer, rows, available, among=lists)
                for name, column in MORE.items()
                if name in columns
            }
        except ValueError as error:
            raise CannotScore(str(error)) from error
        counts = {name: getattr(ranking, name) for name in ("above", "tied", "candidates")}
        answers = {f"answer_{place}": row for place, row in enumerate(ranking.answers.T, start=1)}
        return pd.DataFrame({"row": rows, **counts, **parts, **answers}), ranking.candidates, None

    return answer, lists.table()


def _classification(
    task: Classification, scorer: Scorer, store: CohortStore
) -> tuple[Answer, pd.DataFrame]:
    questions = task.questions

    def answer(pattern: Pattern) -> tuple[pd.DataFrame, Any, pd.DataFrame | None]:
        made = {p: _predicted(q, scorer, store, pattern) for p, q in questions.items()}
        frame = _together({part: scored for part, (scored, _) in made.items()})
        tuned = _together({part: tuning for part, (_, tuning) in made.items()})
        label = frame["label"].to_numpy()
        known = label if len(made) == 1 else (label, frame["part"].to_numpy())
        return frame, known, tuned if len(tuned) else None

    return answer, pd.DataFrame()


def _predicted(
    task: Classification, scorer: Scorer, store: CohortStore, pattern: Pattern
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each sample whose label of one outcome is known, and the same of tuning samples.

    Of these there are none if they are what is scored, if their labels may not all be used, or if
    not all of them were predicted, as by a file of others.
    """
    label = outcome_labels(store, task)
    rows, available = _labelled(task, store, pattern, task.split, label)
    if not len(rows):
        raise CannotScore(
            f"no sample of the split has what this pattern needs and a label of {task.outcome}."
        )
    tuning = rows[:0], available[:0]
    if task.split != "tuning" and task.label_share == 1:
        tuning = _labelled(task, store, pattern, "tuning", label)
    # Both at once: a probe learns anew for each call.
    both = np.append(rows, tuning[0])
    probability = scorer.probability(task, both, np.concatenate([available, tuning[1]]), pattern)
    frame = pd.DataFrame(
        {"row": both, "label": label[both].astype(int), "probability": probability}
    )
    scored, tuned = frame.iloc[: len(rows)], frame.iloc[len(rows) :].reset_index(drop=True)
    return scored, tuned.iloc[:0] if tuned["probability"].isna().any() else tuned


def _labelled(
    task: Classification,
    store: CohortStore,
    pattern: Pattern,
    split: str,
    label: Float[np.ndarray, " row"],
) -> tuple[Int[np.ndarray, " sample"], Bool[np.ndarray, "sample modality"]]:
    rows, available = samples(store, split, task.inputs, pattern, seed=task.seed)
    known = ~np.isnan(label[rows])
    return rows[known], available[known]


def _together(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts, with the part they are of where there are several."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    frame = pd.concat([made.assign(part=part) for part, made in frames.items()])
    return frame.reset_index(drop=True)


KINDS = {Retrieval: _retrieval, Classification: _classification}

# What a metric of a retrieval may ask for besides ranks; it costs another scoring of all pairs.
MORE = {"separation": pooled_auc_per_query}


def _intervals(
    task: Retrieval | Classification, outcomes: Mapping[str, pd.DataFrame], store: CohortStore
) -> dict[tuple[str, str], Interval | ValueError]:
    """Of each pattern and metric; patterns of the same samples share what is drawn."""
    metrics, people = task_metrics(task), store.samples["subject"].to_numpy()
    alike: dict[bytes, list[str]] = {}
    for name, outcome in outcomes.items():
        alike.setdefault(outcome["row"].to_numpy().tobytes(), []).append(name)
    found = {}
    for names in alike.values():
        numbers = {
            (name, metric.name): MetricSample(
                metric.compute,
                [outcomes[name][column].to_numpy() for column in metric.columns],
                task.interval or metric.interval,
                metric.weighted,
            )
            for name in names
            for metric in metrics
        }
        made = metric_intervals(
            list(numbers.values()),
            people[outcomes[names[0]]["row"]],
            rng=np.random.default_rng(task.seed),
        )
        found |= dict(zip(numbers, made, strict=True))
    return found


def _about(
    task: Retrieval | Classification, pattern: Pattern, outcome: pd.DataFrame, store: CohortStore
) -> dict[str, Any]:
    """Who was scored under a pattern, and with what hidden."""
    inputs = task.input_modalities
    if pattern.within:
        mask = draw_parts(pattern, store, split=task.split, seed=task.seed)
    else:
        mask = draw_mask(pattern, store, split=task.split, modalities=inputs, seed=task.seed)
    rows = np.unique(outcome["row"].to_numpy())
    return {
        "split": task.split,
        "n_samples": len(rows),
        "n_subjects": store.samples["subject"].iloc[rows].nunique(),
        "mask": mask.digest,
        "hidden": mask.hidden_rate_among(rows),
    }
