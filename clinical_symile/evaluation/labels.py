"""Select the labels that a classification task may learn from and is scored by."""

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request, draw_request
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.training.supervised import LabelledRows


def outcome_labels(store: CohortStore, task: Classification) -> Float[np.ndarray, " sample"]:
    """Return the labels of the task's one outcome for every row of the store.

    Returns:
        1 where the outcome is positive, 0 where negative, NaN where unknown.
    """
    return store.outcome(str(task.outcome), uncertain=task.uncertain)


def labelled_request(
    task: Classification, store: CohortStore, pattern: Pattern, *, split: str
) -> tuple[Request[Classification], Int[np.ndarray, " sample"]]:
    """Return the samples of a split whose label is known, and their labels.

    Raises:
        CannotScore: the cohort lacks what the pattern needs.
    """
    request = draw_request(task, store, pattern, split=split)
    label = outcome_labels(store, task)[request.rows]
    known = ~np.isnan(label)
    return request.take(known), label[known].astype(int)


def training_samples(
    task: Classification, store: CohortStore, pattern: Pattern
) -> tuple[LabelledRows, LabelledRows]:
    """Return the train and tuning samples whose labels the task allows, under a pattern.

    Samples with no modality available are left out: no model is fitted to them.

    Raises:
        CannotScore: the train split lacks a class, or the tuning split has no labelled sample.
    """
    train, tuning = (
        _informed(_allowed(task, store, pattern, split)) for split in ("train", "tuning")
    )
    if len(np.unique(train.label)) < 2 or not len(tuning.label):
        raise CannotScore(
            "no model can be fitted to the labels. Under this pattern the train split needs "
            "samples with the outcome and samples without it, and the tuning split at least one "
            "labelled sample.",
            code="CS-S008",
        )
    return train, tuning


def train_prevalence(task: Classification, store: CohortStore, pattern: Pattern) -> float:
    """Return the share of train samples with the outcome, among the labels that the task allows.

    Raises:
        CannotScore: the train split has no label.
    """
    label = _allowed(task, store, pattern, "train").label
    if not len(label):
        raise CannotScore(
            "some samples have no modality available, and the train split has no label whose "
            "prevalence could answer them.",
            code="CS-S008",
        )
    return float(label.mean())


def _allowed(
    task: Classification, store: CohortStore, pattern: Pattern, split: str
) -> LabelledRows:
    request, label = labelled_request(task, store, pattern, split=split)
    kept = subsample_label_rows(label, task)
    return LabelledRows(request.rows[kept], request.available[kept], label[kept])


def _informed(samples: LabelledRows) -> LabelledRows:
    """Leave out samples with no modality available."""
    kept = samples.available.any(axis=1)
    return LabelledRows(samples.rows[kept], samples.available[kept], samples.label[kept])


def subsample_label_rows(
    label: Int[np.ndarray, " sample"], task: Classification
) -> Int[np.ndarray, " taken"]:
    """Draw the positions of the labels that the task allows to learn from.

    They are `label_share` of each class, at least one, drawn from the first of the task's label
    seeds. A share of 1 takes all.
    """
    if task.label_share == 1:
        return np.arange(len(label))
    rng = np.random.default_rng([task.seed, task.label_seeds[0]])
    drawn = [
        rng.choice(of_class, size=int(np.ceil(task.label_share * len(of_class))), replace=False)
        for of_class in (np.flatnonzero(label == value) for value in (0, 1))
    ]
    return np.sort(np.concatenate(drawn))
