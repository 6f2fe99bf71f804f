"""Gated Symile: each candidate decides how far each modality of a query enters the product."""

import math
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import above, at_least, between_0_and_1, refuse
from clinical_symile.objectives.base import Objective, as_given, query_columns
from clinical_symile.objectives.distributed import Group, gather_embeddings
from clinical_symile.objectives.kernels.scores import own_scores, reduce_scores
from clinical_symile.objectives.loss import Loss
from clinical_symile.objectives.replacements import loss_with_replacements
from clinical_symile.objectives.slots import (
    MORE_WITH_TWO,
    FewSamplesError,
    open_slots,
    other_columns,
)

_LEAST_TEMPERATURE = 0.1  # of the gates
_SCORE_CELLS = 2**20  # scores computed at a time


class GatedSymile(Objective):
    """Contrast a candidate with the product of gated modalities.

    A candidate c of target t sees modality m of a query as G_m(c), the normalized vector
    (1 - a) z_m + a (w z_m + (1 - w) N_m). N_m is a learned neutral unit vector, a the blend, and
    the gate w = sigmoid(⟨q_t(c), k_m(z_m)⟩ / τ_g) (1 - p(c)), with unit vectors q and k from linear
    maps and p the probability that c wants no modality at all. A missing modality is its neutral
    vector, whatever the blend.

    The logit is logit_scale · d^((M - 1) / 2) · ⟨⊙ G_m(c), c⟩: the power of d gives products of
    random unit vectors a variance of 1 (dimension-free scaling). For each target, a query
    competes for its own candidate against those of other samples; this is also the score. Queries
    have the target and at least one other modality.

    ⟨⊙ G_m, c⟩ is a sum of 2^(M-1) plain inner products, so that no vector is kept for a query and a
    candidate together.

    Source: Rheude et al., 2026, https://arxiv.org/abs/2604.05834. Here each tuple is gated by its
    candidate in training as in retrieval; the authors' code gates it by its row in training.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        gate_dim: width of q and k.
        gate_temperature: starting value of τ_g, above 0.1.
        blend: starting value of a, strictly between 0 and 1.
        null: give a candidate the choice of no modality.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or fewer than two samples of a batch have a
            modality with another.
    """

    display_name = "Gated Symile"
    description = "Symile whose candidates gate each modality of the query."
    source = "Rheude et al., 2026, https://arxiv.org/abs/2604.05834"
    on_sphere = True
    learned_score = True

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        gate_dim: int = 64,
        gate_temperature: float = 0.7,
        blend: float = 0.047,
        null: bool = True,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            at_least(1, gate_dim=gate_dim),
            above(_LEAST_TEMPERATURE, gate_temperature=gate_temperature),
            between_0_and_1(blend=blend),
        )
        self.gate_dim, self.null = gate_dim, null
        # softplus(x) + 0.1 is the temperature of the gates.
        excess = gate_temperature - _LEAST_TEMPERATURE
        self.gate_parameter = nn.Parameter(torch.tensor(math.log(math.expm1(excess))))
        self.blend_logit = nn.Parameter(torch.tensor(math.log(blend / (1 - blend))))
        self.modalities: tuple[str, ...] = ()

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the maps of queries and keys, the neutral vectors and the choice of none."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.modalities = modalities

        def drawn(rows: int, columns: int) -> nn.Parameter:
            spread = torch.randn(len(modalities), rows, columns, generator=generator)
            return nn.Parameter(spread / math.sqrt(columns))

        self.query_maps = drawn(self.gate_dim, dim)
        self.key_maps = drawn(self.gate_dim, dim)
        self.neutral = nn.Parameter(torch.full((len(modalities), dim), 1 / math.sqrt(dim)))
        self.null_maps = nn.Parameter(torch.zeros(len(modalities), dim)) if self.null else None

    def scalars(self) -> dict[str, float]:
        """Return the scale, the blend and the temperature of the gates."""
        return {
            **super().scalars(),
            "blend": float(self.blend_logit.detach().sigmoid()),
            "gate_temperature": float(self._gate_temperature().detach()),
        }

    def distributed_loss(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""] | Loss:
        """Compute the loss of a batch that several processes share."""
        if share.fill is not None:
            return loss_with_replacements(self, share, group=group, generator=generator)
        return super().distributed_loss(share, group=group, generator=generator)

    def target_loss(
        self,
        share: Embeddings,
        *,
        target: int,
        group: Group,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy of the queries for a modality; see `TargetedObjective`."""
        with open_slots(gather_embeddings(share, group)) as (z, available):
            loss = self._target_loss(z, available, target)
            if loss is None:
                raise _no_query(len(z))
            return loss

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average the cross-entropy over the queries of each target, then over targets."""
        every = [self._target_loss(z, available, target) for target in range(z.shape[1])]
        losses = [loss for loss in every if loss is not None]
        if not losses:
            raise _no_query(len(z))
        return torch.stack(losses).mean()

    def _target_loss(self, z: Tensor, available: Tensor, target: int) -> Float[Tensor, ""] | None:
        """Average the cross-entropy over the queries of a target; None for fewer than two."""
        others = other_columns(z.shape[1], target)
        asked = available[:, target] & available[:, others].any(dim=1)
        if asked.sum() < 2:
            return None
        scale = self.logit_scale.to(z.dtype) * z.shape[2] ** ((z.shape[1] - 1) / 2)
        rows = available[:, target].nonzero()[:, 0]
        left = self._query_side(z[rows], available[rows], target)
        right = self._candidate_side(z[rows, target], target)
        parameters = self._shared(others, z.dtype, scale)
        found = reduce_scores(_gated_scores, left, right, parameters, only="rows").rows
        own = own_scores(_gated_scores, left, right, parameters)
        return (found - own)[asked[rows]].mean()

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute d^((M - 1) / 2) ⟨⊙ G_m(c), c⟩; a missing modality is neutral.

        Raises:
            ValueError: a query has no modality available.
        """
        others = query_columns(query, target=target)
        column = query.modalities.index(target)
        z, available = query.without(target).with_substitutes()
        z = torch.where(available[:, :, None], z, torch.zeros_like(z)).double()
        scale = z.new_tensor(z.shape[2] ** ((z.shape[1] - 1) / 2))
        left = self._query_side(z, available, column)
        right = self._candidate_side(candidates.double(), column)
        parameters = self._shared(others, torch.float64, scale)
        step = max(_SCORE_CELLS // max(len(candidates), 1), 1)
        parts = [
            _gated_scores([t[start : start + step] for t in left], right, parameters)
            for start in range(0, len(z), step)
        ]
        scores = torch.cat(parts) if parts else candidates.new_zeros(0, len(candidates))
        return as_given(scores, candidates)

    def _gate_temperature(self) -> Float[Tensor, ""]:
        return softplus(self.gate_parameter) + _LEAST_TEMPERATURE

    def _query_side(self, z: Tensor, available: Tensor, target: int) -> list[Tensor]:
        """Return the other modalities' embeddings, their keys, and availability."""
        others = other_columns(z.shape[1], target)
        maps = self.key_maps[others].to(z.dtype)
        keys = torch.einsum("nmd,mkd->nmk", z[:, others], maps)
        return [z[:, others], normalize(keys, dim=2), available[:, others]]

    def _candidate_side(self, candidates: Tensor, target: int) -> list[Tensor]:
        """Return candidates, their gate queries, and the probability of using a modality."""
        queries = normalize(candidates @ self.query_maps[target].to(candidates.dtype).T, dim=1)
        if self.null_maps is None:
            kept = torch.ones_like(candidates[:, 0])
        else:
            kept = 1 - (candidates @ self.null_maps[target].to(candidates.dtype)).sigmoid()
        return [candidates, queries, kept]

    def _shared(self, others: list[int], dtype: torch.dtype, scale: Tensor) -> list[Tensor]:
        neutral = normalize(self.neutral[others].to(dtype), dim=1)
        blend = self.blend_logit.to(dtype).sigmoid()
        return [neutral, blend, self._gate_temperature().to(dtype), scale]


def _no_query(samples: int) -> FewSamplesError:
    return FewSamplesError(
        "a step of Gated Symile needs at least 2 samples with the same modality and "
        f"another one; this batch of {samples} has none.",
        MORE_WITH_TWO,
    )


def _gated_scores(left, right, parameters):
    """Compute the scaled product of the gated modalities of each query with each candidate."""
    z, keys, available = left
    candidates, queries, kept = right
    neutral, blend, temperature, scale = parameters
    total = z.new_zeros(len(z), len(candidates))
    own, rest, norms = [], [], []
    for m in range(z.shape[1]):
        gate = (keys[:, m] @ queries.T / temperature).sigmoid() * kept
        alpha = (1 - blend + blend * gate) * available[:, m, None]
        beta = torch.where(available[:, m, None], blend * (1 - gate), torch.ones_like(gate))
        squares = torch.where(available[:, m], z[:, m].square().sum(dim=1), 1.0)
        inner = z[:, m] @ neutral[m]
        norms.append(
            alpha.square() * squares[:, None] + beta.square() + 2 * alpha * beta * inner[:, None]
        )
        own.append(alpha)
        rest.append(beta)
    for choice in product((True, False), repeat=z.shape[1]):
        factor, vectors = torch.ones_like(total), torch.ones_like(z[:, 0])
        for m, gated in enumerate(choice):
            factor = factor * (own[m] if gated else rest[m])
            vectors = vectors * (z[:, m] if gated else neutral[m])
        total = total + factor * (vectors @ candidates.T)
    size = torch.ones_like(total)
    for norm in norms:
        size = size * norm.clamp(min=1e-24).sqrt()
    return scale * total / size
