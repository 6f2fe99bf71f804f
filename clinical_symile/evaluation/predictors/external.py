"""Other people's predictions and embeddings, asked like a model."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.external.files import ExternalEmbeddings, Predictions, row_positions
from clinical_symile.data.external.store import with_sample_keys
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.evaluation.predictors.embedding import EmbeddingScorer
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.registry import OBJECTIVES, resolve

# Predictions that do not say what was missing were made with all that was recorded, so they are
# those of both patterns that take nothing away.
AS_RECORDED = ("observed", "complete")


@dataclass(frozen=True)
class PredictionScorer:
    """Predictions of a file, by row of the store.

    Attributes:
        file: its name, for messages.
        store: whose samples they are of.
        by_question: probabilities by outcome and pattern, where the pattern may be empty.
    """

    file: str
    store: CohortStore
    by_question: dict[tuple[str, str], pd.Series]

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`.

        Raises:
            CannotScore: always: there are predictions of outcomes alone.
        """
        raise CannotScore(
            "the file has predictions of outcomes. A retrieval needs --scores or --embeddings."
        )

    score_all = score

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`; NaN for samples of other splits that the file does not have.

        Raises:
            CannotScore: the file says nothing of this outcome under this pattern.
            DataError: it lacks samples that the task asks about.
        """
        outcome = str(task.outcome)
        names = [pattern.name, *([""] if pattern.name in AS_RECORDED else [])]
        known = [self.by_question.get((outcome, name)) for name in names]
        found = next((series for series in known if series is not None), None)
        if found is None:
            raise CannotScore(f"the file has no predictions of {outcome} under this pattern.")
        asked = rows[np.isin(rows, self.store.rows(task.split))]
        absent = int((~np.isin(asked, found.index)).sum())
        if absent:
            raise DataError(
                f"{self.file}: lacks {absent} of {len(asked)} samples that task '{task.name}' asks "
                f"about under '{pattern.name}'; expected a prediction of {outcome} for each, as "
                "all models are compared on the same samples. Add them."
            )
        return found.reindex(rows).to_numpy(dtype=np.float64)


def prediction_scorer(
    predictions: Predictions,
    store: CohortStore,
    *,
    outcomes: tuple[str, ...],
    patterns: Collection[str],
) -> tuple[PredictionScorer, list[str]]:
    """Predictions by row of a store, and notes on what of the file is not used.

    Args:
        predictions: the file.
        store: whose samples they are of.
        outcomes: what is asked; a file that does not say which outcome it predicts is of the one.
        patterns: under which it is asked.

    Raises:
        DataError: ids that are not in the store, labels that contradict it, several outcomes for a
            file that names none, patterns of which none is asked; with counts.
    """
    table: Any = _by_sample(predictions, store)
    if "outcome" not in table:
        if len(outcomes) != 1:
            raise DataError(
                f"{predictions.file}: does not say which outcome it predicts, and "
                f"{len(outcomes)} are asked about: {', '.join(outcomes) or 'none'}. Add a column "
                "outcome, or name one task with --tasks."
            )
        table = table.assign(outcome=outcomes[0])
    rows = row_positions(table["sample"].to_numpy(), store.samples["sample"].tolist())
    unknown = int((rows < 0).sum())
    if unknown:
        raise DataError(
            f"{predictions.file}: {unknown} of {len(table)} predictions are of samples that are "
            f"not in the store of cohort '{store.cohort}'; expected its sample ids. Leave others "
            "out."
        )
    if "missingness" not in table:
        table = table.assign(missingness="")
    table = table.assign(row=rows)
    repeated = int(table.duplicated(["row", "outcome", "missingness"]).sum())
    if repeated:
        raise DataError(
            f"{predictions.file}: {repeated} of {len(table)} predictions are of a sample that has "
            "one already; which is meant is not known. Keep one for each sample, such as the one "
            "at the task's prediction time."
        )
    _check_labels(predictions.file, table, store)
    unused = sorted(set(table["outcome"]) - set(outcomes))
    notes = [f"{predictions.file}: no task asks about {name}; it is not used." for name in unused]
    told = set(table["missingness"])
    unasked = sorted(told - {"", *patterns})
    if len(unasked) == len(told):
        raise DataError(
            f"{predictions.file}: all {len(table)} predictions are under patterns that no task "
            f"asks for, {', '.join(unasked)}; expected {', '.join(sorted(patterns))}. Correct the "
            "column missingness, or leave it out where nothing was withheld."
        )
    notes += [
        f"{predictions.file}: no task asks for predictions under '{name}'; they are not used."
        for name in unasked
    ]
    by_question = {
        (str(outcome), str(pattern)): part.set_index("row")["probability"]
        for (outcome, pattern), part in table.groupby(["outcome", "missingness"])
    }
    return PredictionScorer(predictions.file, store, by_question), notes


def embedding_scorer(
    vectors: ExternalEmbeddings, store: CohortStore, *, objective: str
) -> EmbeddingScorer:
    """Embeddings of a file as those of a model, brought to length 1.

    Args:
        vectors: the file.
        store: whose samples they are of.
        objective: the name of the objective that scores a query with a candidate.

    Raises:
        DataError: ids or modalities that the store does not have, vectors of recordings that are
            absent there, or none of some that are present; with counts.
    """
    rows = row_positions(vectors.samples, store.samples["sample"].tolist())
    foreign = sorted(set(vectors.modalities) - set(store.modalities))
    unknown = int((rows < 0).sum())
    problems = [
        f"{vectors.file}: modality '{name}'; expected one of {', '.join(store.modalities)}. Rename "
        "it, or leave it out."
        for name in foreign
    ]
    if unknown:
        problems.append(
            f"{vectors.file}: {unknown} of {len(rows)} embeddings are of samples that are not in "
            f"the store of cohort '{store.cohort}'; expected its sample ids. Leave others out."
        )
    if problems:
        raise DataError(*problems)
    column = np.array([store.modalities.index(name) for name in vectors.modalities])
    there = np.zeros_like(store.present)
    there[rows, column] = True
    embedded = np.isin(store.modalities, vectors.modalities)
    extra, lacking = there & ~store.present, store.present & ~there & embedded
    for count, what in (
        (extra, "embeddings are of recordings that the store does not have: what they are of"),
        (lacking, "recordings of the store have no embedding: what became of them"),
    ):
        if count.any():
            raise DataError(
                f"{vectors.file}: {int(count.sum())} {what} is not known. Give one for each "
                "recording of an embedded modality, and no others."
            )
    length = np.linalg.norm(vectors.z, axis=1, keepdims=True)
    if not length.all():
        raise DataError(
            f"{vectors.file}: {int((length == 0).sum())} embeddings are zero; expected a direction."
        )
    z = np.zeros((*store.present.shape, vectors.z.shape[1]), dtype=np.float32)
    z[rows, column] = vectors.z / length
    embeddings = Embeddings(
        z=torch.from_numpy(z),
        present=torch.from_numpy(there),
        modalities=store.modalities,
        rows=torch.arange(len(z)),
    )
    return EmbeddingScorer(embeddings, resolve(objective, OBJECTIVES, what="objective")(), store)


def _by_sample(predictions: Predictions, store: CohortStore) -> pd.DataFrame:
    """The table with sample ids of the store."""
    table = predictions.table
    if "sample" in table:
        return table
    if set(with_sample_keys(predictions)["sample"]) <= set(store.samples["sample"].astype(str)):
        return with_sample_keys(predictions)
    if "subject" not in table:
        raise DataError(
            f"{predictions.file}: does not say which sample a row is of; expected a column sample "
            "with the store's ids. Add it, or leave --store out."
        )
    people = [str(subject) for subject in store.samples["subject"]]
    times = Counter(people)
    several = sum(times[str(subject)] > 1 for subject in table["subject"])
    if several:
        raise DataError(
            f"{predictions.file}: {several} of {len(table)} predictions are of people with several "
            "samples in the store; which one is meant is not known. Add a column sample."
        )
    own = dict(zip(people, store.samples["sample"].tolist(), strict=True))
    return table.assign(sample=[own.get(subject, subject) for subject in table["subject"]])


def _check_labels(file: str, table: Any, store: CohortStore) -> None:
    if "label" not in table:
        return
    wrong = 0
    for outcome, part in table.groupby("outcome"):
        if outcome in store.outcomes:
            known = store.outcome(str(outcome))[part["row"]]
            told = part["label"].to_numpy()
            wrong += int((~np.isnan(known) & ~np.isnan(told) & (known != told)).sum())
    if wrong:
        raise DataError(
            f"{file}: {wrong} of {len(table)} labels are not those of the store; expected the "
            "same. Was it made of another version of the cohort, or are its ids those of others?"
        )
