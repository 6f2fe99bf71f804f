"""ConFu: contrast each modality with a learned fusion of all the others, and every pair."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, from_0_to_1, refuse
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    query_availability,
    query_embeddings,
)
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.slots import other_columns


class Fusion(nn.Module):
    """A network from the embeddings of several modalities to one vector of length 1.

    One hidden layer on the concatenation of the embeddings, times √dim. The numbers of a unit
    vector have a mean square of 1 / dim. Without the factor, GELU is nearly linear where it is
    used at the start, and the network is slow to learn products of features.

    Source of the hidden layer's starting weights: He et al., "Delving Deep into Rectifiers", ICCV
    2015, equation 10, https://arxiv.org/abs/1502.01852.

    Args:
        modalities: the number of modalities.
        dim: the width of the embeddings.
        hidden: the width of the hidden layer.
        generator: the source of starting weights.
    """

    input_scale: Tensor

    def __init__(self, modalities: int, dim: int, *, hidden: int, generator: torch.Generator):
        super().__init__()

        def drawn(rows: int, columns: int, *, bound: float) -> nn.Parameter:
            values = torch.rand(rows, columns, generator=generator) * 2 - 1
            return nn.Parameter(values * bound)

        width = modalities * dim
        # With the weights, so that those of a network without the factor are refused.
        self.register_buffer("input_scale", torch.tensor(math.sqrt(dim)))
        self.inner = drawn(hidden, width, bound=math.sqrt(6 / width))
        self.outer = drawn(dim, hidden, bound=math.sqrt(1 / hidden))
        self.inner_bias, self.outer_bias = _zeros(hidden), _zeros(dim)

    def forward(self, z: Float[Tensor, "sample modality dim"]) -> Float[Tensor, "sample dim"]:
        """Fuse the embeddings of each sample."""
        inputs = z.flatten(1) * self.input_scale.to(z.dtype)
        hidden = nn.functional.gelu(inputs @ self.inner.to(z.dtype).T + self.inner_bias.to(z.dtype))
        return normalize(hidden @ self.outer.to(z.dtype).T + self.outer_bias.to(z.dtype), dim=1)


class ConFu(Objective):
    """Contrast each modality with a fusion of all others, and with each of them.

    The loss is λ times half the mean over targets t of CLIP's loss of the fused others and t, plus
    1 - λ times half the mean over pairs of CLIP's loss. A fused term uses complete samples, a pair
    those that have both. A term with fewer than two samples is left out.

    `score` is ⟨fusion, c⟩ for a query with all other modalities, and the sum of inner products for
    one that lacks some.

    Source: ConFu, CVPR 2026, https://arxiv.org/abs/2511.21331. Its reference code masks features
    before the fusion; this does not.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        fused_share: λ, from 0 to 1.
        hidden: width of the fusion's hidden layer; None for twice the embeddings' width.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, fewer than three modalities, or no pair has two
            samples.
    """

    display_name = "ConFu"
    description = "Contrasts each modality with a fusion of the others, and every pair."
    source = "ConFu, CVPR 2026, https://arxiv.org/abs/2511.21331"
    learned_score = True
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        fused_share: float = 0.5,
        hidden: int | None = None,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        widths = {} if hidden is None else {"hidden": hidden}
        refuse(from_0_to_1(fused_share=fused_share), at_least(1, **widths))
        self.fused_share, self.hidden = fused_share, hidden

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the fusion of the others of each modality."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        if len(modalities) < 3:
            raise ValueError(
                f"ConFu fuses the other modalities; expected 3 or more, found {len(modalities)}."
            )
        hidden = self.hidden or 2 * dim
        self.fusions = nn.ModuleList(
            Fusion(len(modalities) - 1, dim, hidden=hidden, generator=generator) for _ in modalities
        )

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """See the class."""
        pairs = [
            clip_loss(torch.stack([pair.first, pair.second], dim=1), self.logit_scale)
            for pair in complete_pairs(z, available, objective="a ConFu step")
        ]
        terms = {"pairs": (1 - self.fused_share) / 2 * torch.stack(pairs).mean()}
        complete = z[available.all(dim=1)]
        if len(complete) >= 2:
            fused = []
            for target, fusion in enumerate(self.fusions):
                others = other_columns(z.shape[1], target)
                both = torch.stack([fusion(complete[:, others]), complete[:, target]], dim=1)
                fused.append(clip_loss(both, self.logit_scale))
            terms["fused"] = self.fused_share / 2 * torch.stack(fused).mean()
        return sum_of_terms(**terms)

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compare a candidate with the fusion of a complete query, or with what there is.

        Raises:
            ValueError: a query has no modality available.
        """
        others = query_embeddings(query, target=target, fill=0.0)
        column = query.modalities.index(target)
        complete = query_availability(query, target=target).all(dim=1)
        vectors = others.sum(dim=1)
        if complete.any():
            vectors[complete] = self.fusions[column](others[complete])
        return inner_products(vectors, candidates)


def _zeros(size: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(size))
