"""Define what a probe provides: it predicts an outcome from embeddings."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import Learner


@dataclass(frozen=True, repr=False)
class EmbeddedSamples:
    """Samples with the embeddings of their available modalities.

    Attributes:
        rows: rows of the store.
        z: the embeddings; zero where not available.
        available: True where a modality may be used.
        modalities: the columns of `available`.
    """

    rows: Int[np.ndarray, " sample"]
    z: Float[np.ndarray, "sample modality dim"]
    available: Bool[np.ndarray, "sample modality"]
    modalities: tuple[str, ...]

    def features(self) -> Float[np.ndarray, "sample feature"]:
        """Return the embeddings side by side, followed by `available`."""
        flat = np.where(self.available[:, :, None], self.z, 0.0).reshape(len(self.z), -1)
        return np.concatenate([flat, self.available], axis=1, dtype=np.float64)


@dataclass(frozen=True, repr=False)
class LabelledSamples(EmbeddedSamples):
    """Embedded samples whose outcome is known.

    Attributes:
        label: 1 where the outcome is positive, else 0.
    """

    label: Int[np.ndarray, " sample"]

    def take(self, index: Int[np.ndarray, " taken"]) -> "LabelledSamples":
        """Return some of the samples."""
        return replace(
            self,
            rows=self.rows[index],
            z=self.z[index],
            available=self.available[index],
            label=self.label[index],
        )


@dataclass(frozen=True, repr=False)
class Encoders:
    """The encoders that made the embeddings, for a probe that trains them further.

    Attributes:
        learner: the run's weights; a probe works on a copy.
        store: the cohort whose rows they encode; a probe must read only what is available.
        applied: the cohort of the samples to predict, if it is another one.
        run: the run that trained them; None if unknown.
    """

    learner: Learner
    store: CohortStore
    applied: CohortStore | None = None
    run: Run | None = None


@dataclass(frozen=True)
class ProbeInputs:
    """All that a probe may use for one prediction.

    Attributes:
        train: samples of both classes to learn from.
        tuning: samples to choose hyperparameters by, at least one.
        samples: the samples to predict.
        encoders: those of the run; None where only its embeddings are known.
        seed: seed of all that is drawn.
        outcome: the name of the outcome.
        embeddings: those of the samples to predict, in the same order, with every modality of the
            model and what replaces a missing one; all that is not available is hidden. None where
            only the task's modalities are known.
        further: the same samples with other imputations of what is missing, whose log odds are
            averaged with those of `embeddings`.
    """

    train: LabelledSamples
    tuning: LabelledSamples
    samples: EmbeddedSamples
    encoders: Encoders | None
    seed: int
    outcome: str = ""
    embeddings: Embeddings | None = None
    further: tuple[Embeddings, ...] = ()


class Probe(Protocol):
    """Protocol of a prediction from embeddings.

    The keyword arguments of the constructor are the other keys of a task's `[probe]`.
    Implementations must read only modalities where `available` is True: other slots may hold
    anything, NaN too. The same samples and seed give the same probabilities.
    """

    def predict(self, inputs: ProbeInputs) -> Float[np.ndarray, " sample"]:
        """Predict the probability of the outcome for each of `inputs.samples`.

        Raises:
            CannotScore: it cannot predict from these inputs; the message says why.
        """
        ...
