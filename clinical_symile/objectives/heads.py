"""CLIP with several heads, each with a temperature of its own that depends on the sample."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, positive, refuse
from clinical_symile.objectives.base import (
    Objective,
    as_given,
    query_availability,
    query_embeddings,
)
from clinical_symile.objectives.infonce import one_way_losses
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs

_SPREAD = 0.1  # of the first weights that make temperatures


class MultiHeadClip(Objective):
    """Contrast every pair of modalities in several heads with adaptive temperatures.

    Head h of an embedding z is the unit vector h(z) of a linear map; with one head it is z itself.
    The temperature τ_h(z) lies between `lowest` and `highest`, a sigmoid of a linear function of z.
    The logit of a query x and a candidate y in head h is ⟨h(x), h(y)⟩ / τ_h(x). The loss is the
    mean of the cross-entropies over heads, directions and pairs, plus `log_weight` times the mean
    of log τ_h. With one head and equal limits it is CLIP at that temperature.

    `score` is the sum of the logits over heads and the query's modalities.

    Source: AMCL, several projection heads with adaptive temperatures, from a summary. It was not
    checked against the paper's text: `log_weight` takes the place of its regularizer, and is this
    project's.

    Args:
        heads: the number of heads.
        lowest: the lowest temperature.
        highest: the highest temperature; each starts near the geometric mean of both.
        log_weight: weight of the mean of log τ_h.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "multi-head CLIP"
    description = "CLIP in several heads, each with temperatures that depend on the sample."
    source = "AMCL, adaptive multi-head contrastive learning, from a summary"
    on_sphere = True
    learned_score = True

    def __init__(
        self,
        *,
        heads: int = 4,
        lowest: float = 0.03,
        highest: float = 0.3,
        log_weight: float = 0.0,
    ):
        super().__init__(temperature=None)
        refuse(
            at_least(1, heads=heads),
            positive(lowest=lowest),
            at_least(max(lowest, 0), highest=highest),
            at_least(0, log_weight=log_weight),
        )
        self.heads, self.log_weight = heads, log_weight
        self.lowest, self.highest = lowest, highest
        self._seen: Float[Tensor, " head"] | None = None

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the maps of the heads and of their temperatures, shared by all modalities."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        drawn = torch.randn(self.heads, dim, dim, generator=generator) / math.sqrt(dim)
        self.maps = nn.Parameter(drawn) if self.heads > 1 else None
        weights = _SPREAD * torch.randn(self.heads, dim, generator=generator)
        self.temperature_maps = nn.Parameter(weights)
        # The sigmoid of the bias is the place of the geometric mean between both limits.
        span = self.highest - self.lowest
        place = (math.sqrt(self.lowest * self.highest) - self.lowest) / span if span else 0.5
        bias = math.log(place / (1 - place)) if 0 < place < 1 else 0.0
        self.temperature_bias = nn.Parameter(torch.full((self.heads,), bias))

    def scalars(self) -> dict[str, float]:
        """Return the mean temperature of each head in the last batch, if there was one."""
        if self._seen is None:
            return {}
        return {f"head/{h}/temperature": float(t) for h, t in enumerate(self._seen)}

    def temperatures(self, z: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row head"]:
        """Compute the temperature of each embedding in each head."""
        maps, bias = self.temperature_maps.to(z.dtype), self.temperature_bias.to(z.dtype)
        return self.lowest + (self.highest - self.lowest) * (z @ maps.T + bias).sigmoid()

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """See the class."""
        losses, found, one = [], [], z.new_ones(())
        projected = [self._projected(column) for column in z.unbind(dim=1)]
        of_columns = [self.temperatures(column) for column in z.unbind(dim=1)]
        for pair in complete_pairs(z, available, objective="a step of multi-head CLIP"):
            for query, answer in ((pair.a, pair.b), (pair.b, pair.a)):
                temperatures = of_columns[query][pair.samples]
                found.append(temperatures)
                left, right = (projected[column][pair.samples] for column in (query, answer))
                for head in range(self.heads):
                    scaled = left[:, head] / temperatures[:, head, None]
                    losses.append(one_way_losses(scaled, right[:, head], one).mean())
        every = torch.cat(found)
        self._seen = every.detach().mean(dim=0)
        return sum_of_terms(
            heads=torch.stack(losses).mean(), temperatures=self.log_weight * every.log().mean()
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the sum of the logits over heads and the query's modalities, in float64.

        Raises:
            ValueError: a query has no modality available.
        """
        right = self._projected(candidates.double())
        z = query_embeddings(query, target=target, fill=0.0)
        available = query_availability(query, target=target)
        scores = right.new_zeros(len(z), len(right))
        for m in range(z.shape[1]):
            own, known = z[:, m], available[:, m, None]
            left = self._projected(own) / self.temperatures(own)[:, :, None]
            summed = torch.einsum("qhd,chd->qc", left, right)
            scores = scores + torch.where(known, summed, 0.0)
        return as_given(scores, candidates)

    def _projected(self, z: Float[Tensor, "row dim"]) -> Float[Tensor, "row head dim"]:
        """Return the unit vector of each head, the embedding itself with one head."""
        if self.maps is None:
            return z[:, None]
        return normalize(torch.einsum("id,hed->ihe", z, self.maps.to(z.dtype)), dim=2)
