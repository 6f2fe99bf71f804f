"""Predict from files of external models: probabilities of outcomes, or embeddings."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.external.embeddings import ExternalEmbeddings
from clinical_symile.data.external.predictions import Predictions
from clinical_symile.data.external.store import with_sample_keys
from clinical_symile.data.external.tables import row_positions, unknown_samples
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError, DefinitionError
from clinical_symile.evaluation.predictors._chosen_objective import objective_of_embeddings
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.predictors.embedding import (
    EmbeddingPredictor,
)
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES

# Predictions that name no pattern were made with all that was recorded. They serve the two patterns
# that hide nothing.
_HIDE_NOTHING = ("observed", "complete")
# How embeddings are compared: by their direction, or by the inner product as they are.
SIMILARITIES = ("cosine", "dot")
_UNIT_LENGTH_ERROR = 1e-3
_NAMED_MODALITIES = 3


@dataclass(frozen=True, repr=False)
class ExternalRiskPredictor:
    """Probabilities from a file, by row of the store.

    Attributes:
        file: its name, for messages.
        store: holds the samples.
        by_question: the probabilities by outcome and pattern; the pattern may be empty. The index
            of each series is rows of the store.
    """

    file: str
    store: CohortStore
    by_question: dict[tuple[str, str], pd.Series]

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """Look up the probabilities; NaN for samples of other splits that the file lacks.

        Raises:
            CannotScore: the file has no predictions of this outcome under this pattern.
            DataError: the file lacks samples that the task scores.
        """
        task, pattern, rows = request.task, request.pattern, request.rows
        outcome = str(task.outcome)
        names = [pattern.name, *([""] if pattern.name in _HIDE_NOTHING else [])]
        known = [self.by_question.get((outcome, name)) for name in names]
        found = next((series for series in known if series is not None), None)
        if found is None:
            raise CannotScore(
                f"the file has no predictions of {outcome} under this pattern.", code="CS-S011"
            )
        needed = rows[np.isin(rows, self.store.rows(task.split))]
        lacking = int((~np.isin(needed, found.index)).sum())
        if lacking:
            raise DataError(
                f"{self.file}: lacks {lacking} of {len(needed)} samples that task '{task.name}' "
                f"scores under '{pattern.name}'; expected a prediction of {outcome} for each. All "
                "models are compared on the same samples. Add them.",
                code="CS-M009",
            )
        return found.reindex(rows).to_numpy(dtype=np.float64)


def external_risk_predictor(
    predictions: Predictions,
    store: CohortStore,
    *,
    outcomes: tuple[str, ...],
    patterns: Collection[str],
) -> tuple[ExternalRiskPredictor, list[str]]:
    """Match predictions to a store.

    Args:
        predictions: the file.
        store: holds the samples.
        outcomes: those of the tasks; a file that names no outcome must be for a single one.
        patterns: those of the tasks.

    Returns:
        The predictor, and a note for each part of the file that no task uses.

    Raises:
        DataError: the store lacks a sample, a label contradicts it, the file names no outcome and
            there are several, or no task uses any of its patterns. Messages give numbers of rows.
    """
    file = predictions.file
    table: Any = _by_sample(predictions, store)
    if "outcome" not in table:
        if len(outcomes) != 1:
            raise DataError(
                f"{file}: does not say which outcome it predicts, and the tasks have "
                f"{len(outcomes)}: {', '.join(outcomes) or 'none'}. Add a column outcome, or name "
                "one task with --tasks.",
                code="CS-M010",
            )
        table = table.assign(outcome=outcomes[0])
    rows = row_positions(table["sample"].to_numpy(), store.samples["sample"].tolist())
    if problems := unknown_samples(file, rows, store, what="predictions"):
        raise DataError(*problems, code="CS-M007")
    if "missingness" not in table:
        table = table.assign(missingness="")
    table = table.assign(row=rows)
    repeated = int(table.duplicated(["row", "outcome", "missingness"]).sum())
    if repeated:
        raise DataError(
            f"{file}: {repeated} of {len(table)} predictions are of a sample that already has one, "
            "and nothing says which one to use. Keep one for each sample, such as the one at the "
            "task's prediction time.",
            code="CS-M008",
        )
    _check_labels(file, table, store)
    notes = _unused(file, table, outcomes, patterns)
    by_question = {
        (str(outcome), str(pattern)): part.set_index("row")["probability"]
        for (outcome, pattern), part in table.groupby(["outcome", "missingness"])
    }
    return ExternalRiskPredictor(file, store, by_question), notes


def declared_similarity(objective: str) -> str:
    """Return how an objective compares vectors: `cosine` or `dot`.

    Args:
        objective: the name of the objective.

    Raises:
        DefinitionError: the objective is unknown, or declares something else.
    """
    declared = getattr(resolve(objective, OBJECTIVES), "similarity", "cosine")
    if declared not in SIMILARITIES:
        raise DefinitionError(
            f"objective '{objective}': similarity is '{declared}'; expected "
            f"{' or '.join(SIMILARITIES)}. Correct it.",
            code="CS-F020",
        )
    return declared


def external_embedding_predictor(
    vectors: ExternalEmbeddings, store: CohortStore, *, objective: str, similarity: str
) -> tuple[EmbeddingPredictor, list[str]]:
    """Match embeddings to a store.

    Args:
        vectors: the file.
        store: holds the samples.
        objective: the name of the objective that scores a query with a candidate.
        similarity: `cosine` brings the vectors to length 1, `dot` leaves them as they are.

    Returns:
        The predictor, and a note if this changed the vectors.

    Raises:
        DataError: the store lacks a sample, a modality or a recording, the file lacks the
            embedding of a recording, a vector without a direction is to be brought to length 1, or
            the objective compares variances that the file lacks. Messages give numbers of rows.
    """
    scores = objective_of_embeddings(objective)
    if scores.spread and vectors.log_variance is None:
        raise DataError(
            f"{vectors.file}: has no log variances, which '{objective}' compares; expected a "
            "column log_variance with lists, or columns log_variance0, log_variance1, … with one "
            "for each number of a vector. Add them, or choose another --objective, such as clip.",
            code="CS-M002",
        )
    rows = row_positions(vectors.samples, store.samples["sample"].tolist())
    strangers = sorted(set(vectors.modalities) - set(store.modalities))
    problems = [
        f"{vectors.file}: modality '{name[:40]}'; expected one of {', '.join(store.modalities)}. "
        "Rename it, or remove its rows."
        for name in strangers[:_NAMED_MODALITIES]
    ]
    if len(strangers) > _NAMED_MODALITIES:
        problems.append(f"{vectors.file}: {len(strangers) - _NAMED_MODALITIES} more like it.")
    problems += unknown_samples(vectors.file, rows, store, what="embeddings")
    if problems:
        raise DataError(*problems, code="CS-M007")
    column = np.array([store.modalities.index(name) for name in vectors.modalities])
    present = np.zeros_like(store.present)
    present[rows, column] = True
    embedded = np.isin(store.modalities, vectors.modalities)
    extra, lacking = present & ~store.present, store.present & ~present & embedded
    for at, what in (
        (extra, "embeddings are of recordings that the store does not have"),
        (lacking, "recordings of the store have no embedding"),
    ):
        if at.any():
            raise DataError(
                f"{vectors.file}: {int(at.sum())} {what}; expected one for each recording of an "
                "embedded modality, and no others.",
                code="CS-M007",
            )
    values, notes = _compared_vectors(vectors, objective=objective, similarity=similarity)
    if scores.spread and vectors.log_variance is not None:
        values = np.concatenate([values, vectors.log_variance], axis=1)
    elif vectors.log_variance is not None:
        notes.append(f"{vectors.file}: '{objective}' does not use the log variances.")
    z = np.zeros((*store.present.shape, values.shape[1]), dtype=np.float32)
    z[rows, column] = values
    embeddings = Embeddings(
        z=torch.from_numpy(z),
        available=torch.from_numpy(present),
        modalities=store.modalities,
        rows=torch.arange(len(z)),
        spread=scores.spread,
    )
    return EmbeddingPredictor(embeddings, scores, store), notes


def _compared_vectors(
    vectors: ExternalEmbeddings, *, objective: str, similarity: str
) -> tuple[np.ndarray, list[str]]:
    """Return the vectors as the objective compares them, and a note if they were changed."""
    if similarity != "cosine":
        return vectors.z, []
    length = np.linalg.norm(vectors.z, axis=1, keepdims=True)
    if not length.all():
        raise DataError(
            f"{vectors.file}: {int((length == 0).sum())} embeddings are zero; expected vectors "
            "with a direction. With --similarity dot, vectors are used as they are.",
            code="CS-M004",
        )
    notes = []
    if np.abs(length - 1).max() > _UNIT_LENGTH_ERROR:
        notes.append(
            f"{vectors.file}: the vectors were brought to length 1, because '{objective}' "
            "compares directions here (cosine). Give --similarity dot to use them as they are."
        )
    return vectors.z / length, notes


def _by_sample(predictions: Predictions, store: CohortStore) -> pd.DataFrame:
    """Return the table with a column `sample` that holds ids of the store."""
    table = predictions.table
    if "sample" in table:
        return table
    keyed = with_sample_keys(predictions)
    if set(keyed["sample"]) <= set(store.samples["sample"].astype(str)):
        return keyed
    if "subject" not in table:
        raise DataError(
            f"{predictions.file}: does not say which sample a row is of; expected a column sample "
            "with the store's ids. Add it, or leave --store out.",
            code="CS-M008",
        )
    subjects = [str(subject) for subject in store.samples["subject"]]
    counts = Counter(subjects)
    ambiguous = sum(counts[str(subject)] > 1 for subject in table["subject"])
    if ambiguous:
        raise DataError(
            f"{predictions.file}: {ambiguous} of {len(table)} predictions are of subjects with "
            "several samples in the store, and nothing says which sample is meant. Add a column "
            "sample.",
            code="CS-M008",
        )
    sample_of = dict(zip(subjects, store.samples["sample"].tolist(), strict=True))
    return table.assign(sample=[sample_of.get(subject, subject) for subject in table["subject"]])


def _check_labels(file: str, table: pd.DataFrame, store: CohortStore) -> None:
    """Refuse labels that contradict the store's."""
    if "label" not in table:
        return
    wrong = 0
    for outcome, part in table.groupby("outcome"):
        if outcome in store.outcomes:
            known = store.outcome(str(outcome))[part["row"].to_numpy()]
            given = part["label"].to_numpy()
            wrong += int((~np.isnan(known) & ~np.isnan(given) & (known != given)).sum())
    if wrong:
        raise DataError(
            f"{file}: {wrong} of {len(table)} labels are not those of the store; expected the "
            "same. Check that the file and the store are of the same version of the cohort, and "
            "that the ids mean the same samples.",
            code="CS-M006",
        )


def _unused(
    file: str, table: pd.DataFrame, outcomes: Collection[str], patterns: Collection[str]
) -> list[str]:
    """Return a note for each outcome and pattern of the file that no task uses.

    Raises:
        DataError: no task uses any of the patterns.
    """
    notes = [
        f"{file}: no task predicts {name}; its predictions are not used."
        for name in sorted(set(table["outcome"]) - set(outcomes))
    ]
    given = set(table["missingness"])
    unused = sorted(given - {"", *patterns})
    if len(unused) == len(given):
        raise DataError(
            f"{file}: all {len(table)} predictions are under patterns that no task has, "
            f"{', '.join(unused)}; expected {', '.join(sorted(patterns))}. Correct the column "
            "missingness, or remove it if nothing was hidden.",
            code="CS-M011",
        )
    return notes + [
        f"{file}: no task has the pattern '{name}'; its predictions are not used."
        for name in unused
    ]
