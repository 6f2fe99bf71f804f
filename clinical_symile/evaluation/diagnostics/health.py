"""Measure the health of representations: how vectors of modalities lie among each other.

Sources: Wang and Isola, "Understanding contrastive representation learning through alignment and
uniformity on the hypersphere", ICML 2020, https://arxiv.org/abs/2005.10242 (alignment, uniformity).
Liang et al., "Mind the gap", NeurIPS 2022, https://arxiv.org/abs/2203.02053 (separability).
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Real

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import (
    ByWeights,
    average,
    for_pairs,
    joint_measure,
    mean_of_pairs,
    sample_mean,
)
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.evaluation.probes.logistic import Logistic

_Vectors = Float[np.ndarray, "sample dim"]


class Health:
    """The geometry of embeddings, for each modality and each pair of modalities.

    Args:
        strengths: inverse regularization strengths of the regression that tells modalities apart;
            the one with the lowest log loss on tuning samples is used.
        centred: True counts directions around the mean vector instead of around 0.
    """

    display_name = "health of representations"
    description = "Where vectors of modalities lie, how evenly, and in how many directions."
    source = "Wang and Isola, 2020; Liang et al., 2022"
    measures: ClassVar[dict[str, str]] = {
        "alignment": "Mean squared distance of two modalities of the same sample, from 0 to 4.",
        "uniformity": "Log of the mean of exp(-2 distance²) over pairs of samples, from -8 to 0.",
        "cross_uniformity": "The same between a modality of one sample and another of another.",
        "cosine_right": "Mean cosine of two modalities of the same sample.",
        "cosine_wrong": "Mean cosine of two modalities of different subjects.",
        "separability": "Share of vectors whose modality a linear classifier names; 0.5 by chance.",
        "participation_ratio": "Number of directions that vectors of a modality fill.",
    }

    def __init__(self, *, strengths: Sequence[float] = (0.01, 0.1, 1.0), centred: bool = False):
        self._probe, self._centred = Logistic(strengths=strengths), centred

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every modality and every pair; see `Diagnostic`."""
        samples, seed = inputs.samples, inputs.request.task.seed
        subjects = inputs.subjects
        parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in self.measures}
        for place, name in enumerate(samples.modalities):
            z, used = samples.z[:, place], for_pairs(samples.available[:, place], seed=seed)
            parts["uniformity"].append(
                joint_measure(
                    f"uniformity/{name}",
                    used,
                    lambda at, z=z: _log_mean(z[at], z[at]),
                    low=-8.0,
                    high=0.0,
                    higher_is_better=False,
                )
            )
            parts["participation_ratio"].append(
                joint_measure(
                    f"participation_ratio/{name}",
                    used,
                    lambda at, z=z: participation_ratio(z[at], centred=self._centred),
                    low=1.0,
                    high=float(z.shape[1]),
                )
            )
        for a, b in combinations(range(len(samples.modalities)), 2):
            for name, measure in self._of_pair(samples, (a, b), subjects, seed).items():
                parts[name].append(measure)
            pair = f"{samples.modalities[a]}-{samples.modalities[b]}"
            told = self._told_apart(inputs, (a, b))
            parts["separability"].append(
                sample_mean(
                    f"separability/{pair}",
                    told,
                    low=0.0,
                    high=1.0,
                    higher_is_better=False,
                    chance=0.5,
                )
            )
        return [one for name, several in parts.items() for one in average(name, several)]

    def _of_pair(
        self,
        samples: EmbeddedSamples,
        pair: tuple[int, int],
        subjects: np.ndarray,
        seed: int,
    ) -> dict[str, DiagnosticMeasure]:
        """Return the measures of two modalities, on samples that have both."""
        (a, b), part = pair, "-".join(samples.modalities[place] for place in pair)
        both = np.asarray(samples.available[:, pair].all(axis=1))
        one, other = samples.z[:, a], samples.z[:, b]
        used = for_pairs(both, seed=seed)
        squared = np.where(both, ((one - other) ** 2).sum(axis=1), np.nan)
        cosine = np.where(both, (one * other).sum(axis=1), np.nan)
        return {
            "alignment": sample_mean(
                f"alignment/{part}", squared, low=0.0, high=4.0, higher_is_better=False
            ),
            "cosine_right": sample_mean(f"cosine_right/{part}", cosine, low=-1.0, high=1.0),
            "cosine_wrong": joint_measure(
                f"cosine_wrong/{part}",
                used,
                lambda at: mean_of_pairs(
                    one[at] @ other[at].T, subjects[at][:, None] != subjects[at]
                ),
                low=-1.0,
                high=1.0,
                higher_is_better=False,
            ),
            "cross_uniformity": joint_measure(
                f"cross_uniformity/{part}",
                used,
                lambda at: _log_mean(one[at], other[at]),
                low=-8.0,
                high=0.0,
                higher_is_better=False,
            ),
        }

    def _told_apart(
        self, inputs: DiagnosticInputs, pair: tuple[int, int]
    ) -> Float[np.ndarray, " sample"]:
        """Return the share of each sample's two vectors whose modality is named rightly.

        A linear classifier learns it from train samples; a tie of its probabilities is half right.
        """
        samples = inputs.samples
        both = samples.available[:, pair].all(axis=1)
        train, tuning = (_labelled(inputs.of_split(split), pair) for split in ("train", "tuning"))
        if not len(train.label) or not len(tuning.label):
            raise CannotScore(
                "no classifier of modalities can be fitted: no train or no tuning sample has both "
                f"{' and '.join(samples.modalities[place] for place in pair)}.",
                code="CS-S008",
            )
        examined = _labelled(samples, pair)
        probability = self._probe.predict(
            ProbeInputs(train, tuning, examined, None, seed=inputs.request.task.seed)
        )
        right = np.where(examined.label == 1, probability > 0.5, probability < 0.5)
        share = right + (probability == 0.5) / 2
        told = np.full(len(samples.rows), np.nan)
        told[both] = share.reshape(2, -1).mean(axis=0)
        return told


def _labelled(samples: EmbeddedSamples, pair: tuple[int, int]) -> LabelledSamples:
    """Return the vectors of two modalities, of samples with both, labelled by their modality."""
    both = samples.available[:, pair].all(axis=1)
    z = np.concatenate([samples.z[both, place] for place in pair])
    rows = np.tile(samples.rows[both], 2)
    label = np.repeat([0, 1], both.sum())
    has = np.ones((len(z), 1), dtype=bool)
    return LabelledSamples(rows, z[:, None], has, ("vector",), label)


def _log_mean(one: _Vectors, other: _Vectors) -> ByWeights:
    """Return the log of the mean of exp(-2 distance²) over pairs of different samples."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    kernel = np.exp(-2 * np.maximum(squares - 2 * one @ other.T, 0))
    mean = mean_of_pairs(kernel, ~np.eye(len(one), dtype=bool))
    return lambda weights: np.log(mean(weights))


def participation_ratio(z: _Vectors, *, centred: bool) -> ByWeights:
    """Return (Σλ)² / Σλ² as a function of weights, where λ are the eigenvalues of E[z zᵀ].

    It is computed from inner products of samples, so that no matrix of a resample is built.

    Args:
        z: the vectors.
        centred: True for the eigenvalues of the covariance.
    """
    inner = z @ z.T
    squares, length = inner**2, np.diagonal(inner)

    def form(weights: Real[np.ndarray, "resample sample"]) -> Float[np.ndarray, " resample"]:
        total = weights.sum(axis=1).astype(np.float64)
        share = np.divide(
            weights, total[:, None], where=total[:, None] > 0, out=np.zeros(weights.shape)
        )
        trace = share @ length
        squared = ((share @ squares) * share).sum(axis=1)
        if centred:
            with_mean = share @ inner
            mean_length = (with_mean * share).sum(axis=1)
            along = (with_mean**2 * share).sum(axis=1)
            trace = trace - mean_length
            squared = squared - 2 * along + mean_length**2
        return np.divide(trace**2, squared, out=np.full(len(total), np.nan), where=squared > 0)

    return form
