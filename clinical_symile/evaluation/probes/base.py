"""What a way of predicting an outcome from embeddings must provide."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.training.learner import Learner


@dataclass(frozen=True)
class Shown:
    """What may be used of some samples.

    Attributes:
        rows: of the store.
        z: embeddings; zero where not seen.
        available: which may be used.
        modalities: the columns of `available`.
    """

    rows: Int[np.ndarray, " sample"]
    z: Float[np.ndarray, "sample modality dim"]
    available: Bool[np.ndarray, "sample modality"]
    modalities: tuple[str, ...]

    def features(self) -> Float[np.ndarray, "sample feature"]:
        """The embeddings side by side, and which are seen."""
        flat = np.where(self.available[:, :, None], self.z, 0.0).reshape(len(self.z), -1)
        return np.concatenate([flat, self.available], axis=1, dtype=np.float64)


@dataclass(frozen=True)
class Labelled(Shown):
    """The same of samples whose outcome is known.

    Attributes:
        label: 1 where the outcome is positive, else 0.
    """

    label: Int[np.ndarray, " sample"]

    def take(self, index: Int[np.ndarray, " taken"]) -> "Labelled":
        """Some of the samples."""
        return replace(
            self,
            rows=self.rows[index],
            z=self.z[index],
            available=self.available[index],
            label=self.label[index],
        )


@dataclass(frozen=True)
class Encoders:
    """Where embeddings come from, for a probe that trains on.

    Attributes:
        learner: with the run's weights; a probe works on a copy.
        store: whose rows they read; a probe reads of it what is seen, and nothing else.
    """

    learner: Learner
    store: CohortStore


class Probe(Protocol):
    """A way of predicting. Its keyword arguments are the other keys of a task's `[probe]`.

    It may use nothing that is not seen: slots that are not may hold anything without a change. The
    same samples and seed give the same probabilities.
    """

    def predict(
        self,
        train: Labelled,
        tuning: Labelled,
        asked: Shown,
        *,
        encoders: Encoders | None,
        seed: int,
    ) -> Float[np.ndarray, " sample"]:
        """The probability of the outcome for each sample that is asked about.

        Args:
            train: samples of both classes to learn from.
            tuning: samples to choose by, one at least.
            asked: samples to predict.
            encoders: of the run; None where nothing but its embeddings is known.
            seed: of all that is drawn.

        Raises:
            CannotScore: it cannot predict from these, and why.
        """
        ...
