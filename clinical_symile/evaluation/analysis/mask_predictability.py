"""Measure how well the missingness mask alone predicts an outcome."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.masks import Mask, draw_mask
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.metrics.classification import AUROC
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.stats.area_intervals import auroc_estimate
from clinical_symile.stats.estimate import Interval
from clinical_symile.tracking.benchmark_tables import MaskAuroc
from clinical_symile.tracking.progress import Progress

_CHANCE = 0.5


def analyze_masks(
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> list[MaskAuroc]:
    """Compute `mask_auroc` for each outcome and each randomly drawn pattern of some tasks.

    Tasks without an outcome, outcomes that the cohort does not code, patterns that hide the same
    from all samples, and masks that cannot be drawn are left out.

    Args:
        tasks: the tasks.
        store: the cohort.
        progress: called with masks done and all masks.
    """
    drawn = [
        (task, outcome, pattern)
        for task in tasks
        if isinstance(task, Classification)
        for outcome in task.outcomes
        if outcome in store.outcomes
        for pattern in map(parse_pattern, task.missingness)
        if pattern.mechanism and not pattern.within
    ]
    made = []
    for number, (task, outcome, pattern) in enumerate(drawn, start=1):
        try:
            found = mask_auroc(
                pattern,
                store,
                outcome=outcome,
                split=task.split,
                modalities=task.inputs,
                seed=task.seed,
                uncertain=task.uncertain,
            )
        except (CannotScore, ValueError):
            # The task's own results have the reason, or the scored samples have one class only.
            continue
        finally:
            progress(number, len(drawn))
        made.append(
            MaskAuroc(
                cohort=store.cohort,
                task=task.name,
                missingness=pattern.name,
                part=outcome if len(task.outcomes) > 1 else None,
                value=found.value,
                low=found.low,
                high=found.high,
                # Masks drawn completely at random say nothing about any outcome.
                expected=_CHANCE if pattern.mechanism == "mcar" else None,
                digest=expected_fingerprints(task, store)(pattern.name),
            )
        )
    return made


def mask_auroc(
    pattern: Pattern,
    store: CohortStore,
    *,
    outcome: str,
    split: str,
    modalities: tuple[str, ...],
    seed: int,
    uncertain: str = "unknown",
) -> Interval:
    """Compute the AUROC of predicting an outcome from which modalities are available.

    The prediction is the share of train samples with the same available modalities, under the same
    pattern and seed, that have the outcome. 0.5 means that the mask is uninformative. A model can
    reach this value without reading a measurement.

    Args:
        pattern: draws the masks.
        store: a prepared cohort.
        outcome: one that the cohort codes.
        split: the split of the scored samples.
        modalities: those of the query.
        seed: of the masks.
        uncertain: what an uncertain label counts as, as in a task.

    Raises:
        CannotScore: the pattern cannot be drawn on this cohort.
        ValueError: the AUROC is undefined, because a class has no samples.
    """
    label, predicted, rows = _mask_risks(
        pattern,
        store,
        outcome=store.outcome(outcome, uncertain=uncertain),
        split=split,
        modalities=modalities,
        seed=seed,
    )
    subjects = store.samples["subject"].to_numpy()[rows]
    return auroc_estimate(label, predicted, subjects).interval()


def mask_only_auroc(pattern: Pattern, store: CohortStore, *, task: Classification) -> float | None:
    """Compute `mask_auroc` of a task's one outcome without an interval; None if it is undefined."""
    label, predicted, _ = _mask_risks(
        pattern,
        store,
        outcome=store.outcome(task.outcomes[0], uncertain=task.uncertain),
        split=task.split,
        modalities=task.inputs,
        seed=task.seed,
    )
    return float(AUROC.compute(label, predicted)) if len(np.unique(label)) == 2 else None


def _mask_risks(
    pattern: Pattern,
    store: CohortStore,
    *,
    outcome: Float[np.ndarray, " row"],
    split: str,
    modalities: tuple[str, ...],
    seed: int,
) -> tuple[Int[np.ndarray, " known"], Float[np.ndarray, " known"], Int[np.ndarray, " known"]]:
    """Predict an outcome from the availability alone.

    Returns:
        The known labels of the split, their predicted risks, and their rows of the store.
    """
    train, scored = (
        draw_mask(pattern, store, split=name, modalities=modalities, seed=seed)
        for name in ("train", split)
    )
    known, label = _known_labels(train, outcome)
    sets, n_sets = _set_numbers(train)[known], 2 ** len(modalities)
    prevalence = label.mean() if len(label) else 0.5
    positives, counts = (np.bincount(sets, weights, n_sets) for weights in (label, None))
    risk = (positives + prevalence) / (counts + 1)
    known, label = _known_labels(scored, outcome)
    return label, risk[_set_numbers(scored)[known]], scored.rows[known]


def _set_numbers(mask: Mask) -> Int[np.ndarray, " sample"]:
    """Return the set of available modalities of each sample as one number."""
    return mask.available @ (1 << np.arange(mask.available.shape[1]))


def _known_labels(
    mask: Mask, outcome: Float[np.ndarray, " row"]
) -> tuple[Int[np.ndarray, " known"], Int[np.ndarray, " known"]]:
    """Return the positions in the mask whose label is known, and the labels."""
    label = outcome[mask.rows]
    known = np.flatnonzero(~np.isnan(label))
    return known, label[known].astype(int)
