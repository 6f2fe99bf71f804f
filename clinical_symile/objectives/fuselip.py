"""FuseLIP: one transformer over tokens of all modalities, and two disjoint parts of a sample."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, multiple_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import two_way_losses
from clinical_symile.objectives.slots import no_pair
from clinical_symile.objectives.token_fusion import (
    FusionTransformer,
    fuse_in_type,
    score_by_fusion,
)


class FuseLip(Objective):
    """Fuse tokens of all modalities in one transformer, and contrast two parts of each sample.

    An embedding of width d holds `tokens` of width d / `tokens`. f is a transformer over the
    visible tokens and one learned token that is always there; f of nothing is thus a learned
    vector. In each step what a sample has is divided into two parts at random, neither empty. The
    loss is CLIP's cross-entropy between f of the first and of the second parts, in both directions.
    A sample with a single modality takes no part in it.

    `score` is ⟨f(what a query has), f(candidate alone)⟩, a case of what training compares.

    Source: Schlarmann et al., "FuseLIP: Multimodal Embeddings via Early Fusion of Discrete Tokens",
    2025, https://arxiv.org/abs/2506.03096. Its tokens are discrete, its loss is that of SigLIP with
    masked tokens to predict, and its two parts are given by the data. Continuous tokens of
    encoders, the cross-entropy and the random parts are this project's.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        tokens: the tokens of an embedding; it divides the width.
        width: width of the transformer, a multiple of `heads`.
        heads: heads of attention.
        layers: layers of the transformer.
        divide_tokens: divide tokens, so that both parts may have some of one modality; by default
            modalities are divided.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, the widths cannot be divided, or a batch has fewer
            than two samples with two modalities.
    """

    display_name = "FuseLIP"
    description = "Contrasts two disjoint parts of a sample, each fused by one transformer."
    source = (
        'Schlarmann et al., "FuseLIP: Multimodal Embeddings via Early Fusion of Discrete Tokens", '
        "2025, https://arxiv.org/abs/2506.03096"
    )
    learned_score = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        tokens: int = 2,
        width: int = 64,
        heads: int = 4,
        layers: int = 1,
        divide_tokens: bool = False,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            at_least(1, tokens=tokens, width=width, heads=heads, layers=layers),
            multiple_of(heads, width=width),
        )
        self.tokens, self.divide_tokens = tokens, divide_tokens
        self.width, self.heads, self.layers = width, heads, layers

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the transformer and the token that is always there."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        refuse(multiple_of(self.tokens, dim=dim))
        self.fusion = FusionTransformer(
            len(modalities) + 1,
            dim,
            tokens=self.tokens,
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            generator=generator,
        )
        first = torch.randn(dim, generator=generator)
        self.always_there = nn.Parameter(nn.functional.normalize(first, dim=0))

    def fused(
        self,
        z: Float[Tensor, "sample modality dim"],
        visible: Bool[Tensor, "sample modality ..."],
    ) -> Float[Tensor, "sample dim"]:
        """Fuse what is visible of each sample to a vector of length 1; a sample may have nothing.

        Args:
            z: embeddings; finite values where nothing is visible.
            visible: True for a visible modality, or for each visible token of a modality.
        """
        first = self.always_there.to(z.dtype).expand(len(z), 1, -1)
        there = torch.ones_like(visible[:, :1])
        whole, seen = torch.cat([first, z], dim=1), torch.cat([there, visible], dim=1)
        return fuse_in_type(self.fusion, whole, seen)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        several = available.sum(dim=1) >= 2
        if several.sum() < 2:
            raise no_pair(len(available), objective="a FuseLIP step")
        z, available = z[several], available[several]
        has = available
        if self.divide_tokens:
            has = available[:, :, None].expand(-1, -1, self.tokens)
        first = random_part(has, generator=generator)
        second = has & ~first
        forth, back = two_way_losses(
            self.fused(z, first), self.fused(z, second), self.logit_scale.to(z.dtype)
        )
        return (forth.mean() + back.mean()) / 2

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compare the fusion of what a query has with that of each candidate alone.

        Raises:
            ValueError: a query has no modality available.
        """
        return score_by_fusion(self.fused, query, candidates, target=target)


def random_part(
    has: Bool[Tensor, "sample ..."], *, generator: torch.Generator | None
) -> Bool[Tensor, "sample ..."]:
    """Draw a part of what each sample has; neither the part nor the rest is empty.

    The size of the part is uniform from 1 to all but one, and all parts of a size are as likely.

    Args:
        has: True for what a sample has, at least two each.
        generator: the source of random draws, on the CPU.
    """
    flat = has.flatten(1).cpu()
    keys = torch.rand(flat.shape, generator=generator).masked_fill(~flat, 2.0)
    places = keys.argsort(dim=1).argsort(dim=1)
    # The largest float32 below 1 times a small count may be rounded up to it.
    others = flat.sum(dim=1) - 1
    sizes = 1 + (torch.rand(len(flat), generator=generator) * others).long().clamp(max=others - 1)
    return (places < sizes[:, None]).reshape(has.shape).to(has.device)
