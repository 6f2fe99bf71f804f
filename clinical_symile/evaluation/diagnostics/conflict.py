"""Measure whom a model follows when one modality is another subject's.

Source: Zhang et al., "Evaluating and steering modality preferences in multimodal large language
model", 2025, https://arxiv.org/abs/2505.20977 (evidence that conflicts).
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import logit

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import average, sample_mean
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.imputed_values import ImputedPredictor

_SMALLEST = 1e-12  # probabilities are at least this far from 0 and 1


class Conflict:
    """The prediction when one modality is exchanged with that of a subject with the other outcome.

    The two subjects, of the exchanged modality and of the others, have predictions of their own. In
    log odds, the model follows the one that is nearer than half the distance of the two. Probes
    that read measurements instead of embeddings do not see the exchange. With imputed values, each
    imputation has the exchange, and log odds are averaged.
    """

    display_name = "conflict of modalities"
    description = "Whom a model follows when one modality is of a subject with another outcome."
    source = "Zhang et al., 2025"
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "follows_exchanged": "Share of samples predicted like the subject of the modality.",
        "follows_others": "Share of samples predicted like the subject of all other modalities.",
        "follows_neither": "Share of samples predicted like neither.",
    }

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure each exchanged modality; see `Diagnostic`."""
        pattern, available = inputs.request.pattern, inputs.request.available
        own = _log_odds(inputs.risk(available, pattern=pattern))
        model = inputs.model
        read = model.imputations if isinstance(model, ImputedPredictor) else (model,)
        made: dict[str, list[DiagnosticMeasure]] = {name: [] for name in self.measures}
        for column, name in enumerate(inputs.modalities):
            used, donor = _donors(inputs, column)
            exchanged = (_exchanged(one, inputs, column, used, donor) for one in read)
            mixed = np.mean(
                [
                    _log_odds(inputs.risk(available, pattern=pattern, predictor=one))
                    for one in exchanged
                ],
                axis=0,
            )
            shares = np.full((len(used), 3), np.nan)
            shares[used] = whom_followed(mixed[used], own[donor[used]], own[used])
            for place, measure in enumerate(made):
                made[measure].append(
                    sample_mean(f"{measure}/{name}", shares[:, place], low=0.0, high=1.0)
                )
        return [one for name, several in made.items() for one in average(name, several)]


def whom_followed(
    mixed: Float[np.ndarray, " sample"],
    exchanged: Float[np.ndarray, " sample"],
    others: Float[np.ndarray, " sample"],
) -> Float[np.ndarray, "sample three"]:
    """Return 1 for whom each prediction follows: the exchanged modality, the others, or neither.

    It follows the subject whose own prediction is nearer than half the distance of the two; a
    prediction in their middle, or further out, follows neither.

    Args:
        mixed: log odds predicted from both.
        exchanged: those of the subject of the exchanged modality, from all of their modalities.
        others: those of the subject of the other modalities.
    """
    half = np.abs(exchanged - others) / 2
    first, second = np.abs(mixed - exchanged) < half, np.abs(mixed - others) < half
    return np.stack([first, second, ~(first | second)], axis=1).astype(np.float64)


def _donors(
    inputs: DiagnosticInputs, column: int
) -> tuple[Bool[np.ndarray, " sample"], Int[np.ndarray, " sample"]]:
    """Draw for each sample another with the modality, of another subject and the other outcome.

    Returns:
        True where a sample has a donor and another modality besides; and the place of the donor.

    Raises:
        CannotScore: no sample has a donor.
    """
    request, label = inputs.request, inputs.label
    subjects = inputs.subjects
    has, several = request.available[:, column], request.available.sum(axis=1) > 1
    # A draw depends on the rows, not on their order.
    order = np.argsort(request.rows, kind="stable")
    used, donor = has & several & ~np.isnan(label), np.zeros(len(has), dtype=np.int64)
    for place in np.flatnonzero(used):
        fits = has & (label == 1 - label[place]) & (subjects != subjects[place])
        among = order[fits[order]]
        if len(among):
            rng = np.random.default_rng([request.task.seed, int(request.rows[place]), column])
            donor[place] = rng.choice(among)
        else:
            used[place] = False
    if not used.any():
        raise CannotScore(
            f"no sample has {inputs.modalities[column]} and another modality, and a subject with "
            "the other outcome to exchange it with.",
            code="CS-S007",
        )
    return used, donor


def _exchanged(
    model: EmbeddingPredictor,
    inputs: DiagnosticInputs,
    column: int,
    used: Bool[np.ndarray, " sample"],
    donor: Int[np.ndarray, " sample"],
) -> EmbeddingPredictor:
    """Return a model with the modality's embeddings exchanged; it learns from its own."""
    rows = inputs.request.rows
    place = model.embeddings.modalities.index(inputs.modalities[column])
    z = model.embeddings.z.clone()
    to, of = (torch.from_numpy(some.copy()) for some in (rows[used], rows[donor[used]]))
    z[to, place] = model.embeddings.z[of, place]
    source = model.source or (lambda: model)
    return replace(model, embeddings=replace(model.embeddings, z=z), source=source)


def _log_odds(probability: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    return logit(np.clip(probability, _SMALLEST, 1 - _SMALLEST))
