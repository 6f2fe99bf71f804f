"""Contrast with moving estimates for each sample, which SogCLR and iSogCLR share."""

import math
from collections.abc import Mapping
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import above, positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import inner_product_score, reduce_scores
from clinical_symile.objectives.pairs import Pair, complete_pairs


class MovingEstimates(Objective):
    """Contrast of ordered pairs of modalities with a moving estimate of each sample's competition.

    A table has a number for each sample of the store and each ordered pair of modalities.

    Args:
        temperature: the starting temperature of every sample.
        gamma: the weight of a new batch in the estimates, above 0 and at most 1.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    keeps_state = True
    log_u: Tensor

    def __init__(self, *, temperature: float, gamma: float):
        super().__init__(temperature=None)
        refuse(positive(temperature=temperature), above(0, most=1, gamma=gamma))
        self.temperature, self.gamma = temperature, gamma
        self.modalities = 0

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Remember the number of modalities."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.modalities = len(modalities)

    def begin_training(self, *, rows: int, batch_size: int) -> None:
        """Make tables of all rows of the store; a sample that was not seen has inf."""
        for name in self.tables():
            shape = (rows, self.modalities, self.modalities)
            self.register_buffer(name, torch.full(shape, math.inf), persistent=False)

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over ordered pairs of modalities, and keep the new estimates after the step."""
        losses = []
        for pair in complete_pairs(z, available, objective="a SogCLR step", ordered=True):
            rows = inputs.embeddings.rows[pair.samples]
            inverse = self.inverse_temperatures(pair, rows)
            own = (pair.first * pair.second).sum(dim=1)
            scaled = inverse[:, None] * pair.first
            one = [z.new_ones(())]
            sums = reduce_scores(inner_product_score, [scaled], [pair.second], one, only="rows")
            log_g = sums.rows - inverse * own - math.log(len(own) - 1)
            log_u = moved_estimates(self.kept("log_u", pair, rows), log_g.detach(), self.gamma)
            losses.append(surrogate_loss(log_g, log_u, 1 / inverse))
            with torch.no_grad():
                state = self.next_state(pair, rows, inverse, log_u, inputs)
            self.defer(partial(self._keep, pair.a, pair.b, rows, state))
        return torch.stack(losses).mean()

    def tables(self) -> tuple[str, ...]:
        """Return the names of what is kept for each sample and ordered pair."""
        return ("log_u",)

    def kept(self, name: str, pair: Pair, rows: Tensor) -> Float[Tensor, " sample"]:
        """Return what is kept of the samples of a pair; inf where nothing is."""
        return getattr(self, name)[rows, pair.a, pair.b].to(pair.first.dtype)

    def inverse_temperatures(self, pair: Pair, rows: Tensor) -> Float[Tensor, " sample"]:
        """Return 1 / τ of each sample of a pair."""
        return pair.first.new_full((len(rows),), 1 / self.temperature)

    def next_state(
        self,
        pair: Pair,
        rows: Tensor,
        inverse: Float[Tensor, " sample"],
        log_u: Float[Tensor, " sample"],
        inputs: ObjectiveInput,
    ) -> dict[str, Tensor]:
        """Return what is kept of the samples of a pair, by the name of its table.

        Args:
            pair: the pair of modalities.
            rows: the rows of its samples in the store.
            inverse: 1 / τ of each.
            log_u: their new estimates.
            inputs: the batch.
        """
        del pair, rows, inverse, inputs
        return {"log_u": log_u}

    def _keep(self, a: int, b: int, rows: Tensor, state: Mapping[str, Tensor]) -> None:
        for name, values in state.items():
            table = getattr(self, name)
            table[rows, a, b] = values.to(table.dtype)


def moved_estimates(
    before: Float[Tensor, " sample"], log_g: Float[Tensor, " sample"], gamma: float
) -> Float[Tensor, " sample"]:
    """Return ln((1 - gamma) u + gamma g) from ln u and ln g; ln g where ln u is inf."""
    if gamma == 1:
        return log_g
    moved = torch.logaddexp(before + math.log1p(-gamma), log_g + math.log(gamma))
    return torch.where(before.isinf(), log_g, moved)


def surrogate_loss(
    log_g: Float[Tensor, " sample"],
    log_u: Float[Tensor, " sample"],
    temperatures: Float[Tensor, " sample"],
) -> Float[Tensor, ""]:
    """Return the mean of τ ln u, with the gradient of τ ln g times g / u."""
    weights = temperatures * (log_g.detach() - log_u).exp()
    gradient_only = weights * (log_g - log_g.detach())
    return (temperatures * log_u + gradient_only).mean()
