"""Define what a diagnostic provides: measures of how a model represents or uses its modalities."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped

from clinical_symile.config.component import ComponentConfig
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.labels import outcome_labels, train_prevalence
from clinical_symile.evaluation.predictors.base import (
    Predictor,
    Request,
    RiskPredictor,
    draw_request,
)
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import EmbeddedSamples
from clinical_symile.metrics.base import Metric
from clinical_symile.missingness.patterns import Pattern


@dataclass(frozen=True, eq=False, repr=False)
class DiagnosticMeasure:
    """A number that describes a model, with what it is resampled from.

    Attributes:
        metric: computes the number from `columns`. Its name is one of the diagnostic's `measures`,
            for a part of it followed by `/` and the part, such as `gap/cxr-ecg`.
        columns: by name, a value of each sample of the request; NaN where the sample takes no part.
    """

    metric: Metric
    columns: Mapping[str, Float[np.ndarray, " sample"]]


@dataclass(frozen=True, eq=False, repr=False)
class DiagnosticInputs:
    """All that a diagnostic may use under one missingness pattern.

    Attributes:
        request: the task, the examined samples, and what is available of each.
        predictor: the model.
        store: the cohort of the samples.
    """

    request: Request[DiagnosticTask]
    predictor: Predictor
    store: CohortStore

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of the task: the columns of `request.available`."""
        return self.request.task.inputs

    @property
    def model(self) -> EmbeddingPredictor:
        """The model, which must have embeddings.

        Raises:
            CannotScore: it has none, or lacks a modality of the task.
        """
        if not isinstance(self.predictor, EmbeddingPredictor):
            raise CannotScore(
                f"the diagnostic '{self.request.task.diagnostic.name}' reads embeddings, and this "
                "model has none. Evaluate a trained run, or a model with `embed`.",
                code="CS-S006",
            )
        has = self.predictor.embeddings.modalities
        if lacking := [name for name in self.modalities if name not in has]:
            raise CannotScore(
                f"the model has no embeddings of {', '.join(lacking)}.", code="CS-S009"
            )
        return self.predictor

    @cached_property
    def samples(self) -> EmbeddedSamples:
        """The examined samples with their vectors of length 1; zero where not available.

        Raises:
            CannotScore: as `model`.
        """
        return unit_vectors(self.model, self.request.rows, self.request.available, self.modalities)

    @cached_property
    def _of_splits(self) -> dict[str, EmbeddedSamples]:
        """The splits that were asked for."""
        return {}

    def of_split(self, split: str) -> EmbeddedSamples:
        """Return the samples of a split under the same pattern, as `samples`.

        For a model that was trained on another cohort they are samples of that cohort.

        Args:
            split: `train` or `tuning`, to learn from.

        Raises:
            CannotScore: as `model`, or that cohort lacks what the pattern needs.
        """
        if split not in self._of_splits:
            model = self.model if self.model.source is None else self.model.source()
            request = self.request
            drawn = draw_request(request.task, model.store, request.pattern, split=split)
            made = unit_vectors(model, drawn.rows, drawn.available, self.modalities)
            self._of_splits[split] = made
        return self._of_splits[split]

    @property
    def train_store(self) -> CohortStore:
        """The cohort that the model was trained on, whose train split it learns from."""
        model = self.predictor
        if isinstance(model, EmbeddingPredictor) and model.source is not None:
            return model.source().store
        return self.store

    @cached_property
    def subjects(self) -> Shaped[np.ndarray, " sample"]:
        """The subject of each examined sample."""
        return self.store.samples["subject"].to_numpy()[self.request.rows]

    @cached_property
    def label(self) -> Float[np.ndarray, " sample"]:
        """The task's outcome of each examined sample: 1, 0, or NaN where it is unknown."""
        return outcome_labels(self.store, self.question)[self.request.rows]

    @cached_property
    def question(self) -> Classification:
        """The task's outcome as a question, for models that predict it."""
        task = self.request.task
        return Classification(
            name=task.name,
            kind="classification",
            description=task.description,
            split=task.split,
            seed=task.seed,
            missingness=(self.request.pattern.name,),
            metrics=("auroc",),
            primary="auroc",
            inputs=task.inputs,
            outcome=str(task.outcome),
            probe=task.probe or _NO_PROBE,
        )

    def risk(
        self,
        available: Bool[np.ndarray, "sample modality"],
        *,
        pattern: Pattern,
        predictor: Predictor | None = None,
    ) -> Float[np.ndarray, " sample"]:
        """Predict the outcome of the examined samples from some of what is available.

        Args:
            available: at most `request.available`; a sample without any has the train prevalence.
            pattern: the pattern under which a probe is fitted.
            predictor: the model, with other embeddings of these samples; by default as it is.

        Raises:
            CannotScore: the model does not predict outcomes, or cannot predict.
        """
        model = self.predictor if predictor is None else predictor
        if not isinstance(model, RiskPredictor):
            raise CannotScore(
                "the model scores candidates only; it does not predict outcomes.", code="CS-S006"
            )
        request = Request(self.question, self.request.rows, available, pattern)
        informed = np.asarray(available.any(axis=1))
        probability = np.full(len(informed), np.nan)
        if not informed.all():
            probability[:] = train_prevalence(self.question, self.train_store, pattern)
        if informed.any():
            probability[informed] = model.predict_proba(request.take(informed))
        return probability


_NO_PROBE = ComponentConfig(name="prototype")  # of a question that no probe answers


class Diagnostic(Protocol):
    """Protocol of a diagnostic.

    The keyword arguments of the constructor are the other keys of a task's `[diagnostic]`. A
    literal `measures` has the name of each measure and a sentence that explains it; a literal
    `reads` names which of the fields `outcome` and `probe` of a task it needs.
    Implementations must read only modalities where `available` is True: other slots may hold
    anything, NaN too. What they learn, they learn from the train and tuning splits. The same
    inputs give the same measures.
    """

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure a model under one pattern.

        Raises:
            CannotScore: the model or the cohort lacks what is needed; the message says what.
        """
        ...


def unit_vectors(
    model: EmbeddingPredictor,
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
    modalities: tuple[str, ...],
) -> EmbeddedSamples:
    """Return some samples with their embeddings scaled to length 1, in float64.

    Args:
        model: has the embeddings.
        rows: rows of the store.
        available: True where a vector may be read.
        modalities: the columns of `available`.
    """
    columns = [model.embeddings.modalities.index(name) for name in modalities]
    visible = np.zeros((len(rows), len(model.embeddings.modalities)), dtype=bool)
    visible[:, columns] = available
    taken = model.embeddings.take(torch.from_numpy(rows.copy()))
    taken = taken.with_visible(torch.from_numpy(visible))
    has = taken.available[:, columns].numpy()
    return EmbeddedSamples(rows, scaled(taken.means[:, columns].double().numpy()), has, modalities)


def scaled(z: Float[np.ndarray, "*slot dim"]) -> Float[np.ndarray, "*slot dim"]:
    """Return vectors scaled to length 1; a vector of zeros stays."""
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    return z / np.where(length > 0, length, 1.0)


def noise_of_rows(
    rows: Int[np.ndarray, " sample"], *, seed: int, column: int, dim: int
) -> Float[np.ndarray, "sample dim"]:
    """Return standard normal numbers that depend on the seed, the row of the store and the column.

    Args:
        rows: the rows of the samples.
        seed: of the task.
        column: the position of the modality.
        dim: the number of numbers for each sample.
    """
    drawn = [np.random.default_rng([seed, row, column]) for row in rows.tolist()]
    return np.array([one.normal(size=dim) for one in drawn]).reshape(len(drawn), dim)


def train_means(inputs: DiagnosticInputs) -> Float[np.ndarray, "modality dim"]:
    """Return the mean vector of each modality over train samples.

    Raises:
        CannotScore: no train sample has a modality under the pattern.
    """
    train = inputs.of_split("train")
    counts = train.available.sum(axis=0)
    if lacking := [name for name, n in zip(train.modalities, counts, strict=True) if not n]:
        raise CannotScore(
            f"no train sample has {', '.join(lacking)} under this pattern, so that there is no "
            "mean to remove.",
            code="CS-S008",
        )
    return train.z.sum(axis=0) / counts[:, None]
