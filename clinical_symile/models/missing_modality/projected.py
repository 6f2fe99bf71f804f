"""Project the tokens of available modalities to those of a missing one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.models.kept_tokens import KeptTokens
from clinical_symile.models.missing_modality.base import FillingHandler, MissingModalityMethod
from clinical_symile.objectives.arguments import above, refuse
from clinical_symile.objectives.token_attention import TokenQueries, join_attention

_MOST_MODALITIES = 5  # 31 sets, and 75 projections in each step
_WIDTH, _QUERIES = 64, 4
_SUMMARY = TokenQueries(_QUERIES, _WIDTH)
_WEIGHT = 1.0


class ProjectedTokens(KeptTokens, FillingHandler):
    """Replace a missing modality by a projection of the tokens of the available ones.

    A few learned queries attend to the tokens of all available modalities at once. For each missing
    modality a network maps what they find to what the same queries find in its own tokens, and a
    linear layer maps that to the embedding. In training, each modality that is there is also
    projected from every set of the sample's others. The squared error of its tokens is added to the
    loss, without a gradient for the tokens that are projected.

    Attention to the tokens of several modalities follows exactly from that to each modality. So a
    sample is encoded once, whatever is hidden later.

    Source: Nezakati et al., "MMP: Towards Robust Multi-Modal Learning with Masked Modality
    Projection", 2024, https://arxiv.org/abs/2410.03010, from a summary. There a transformer fuses
    real and projected tokens; here the objective takes one vector of each modality. Widths, the
    weight of the error and the share that is hidden are ours: theirs draws a set of modalities, all
    sets alike, which hides 43 % of three modalities. Tokens are compared at a mean of 0 and a
    variance of 1.

    Args:
        modalities: the number of modalities, at most 5.
        dim: the width of the embeddings.

    Raises:
        ValueError: there are too many modalities.
    """

    def __init__(self, modalities: int, dim: int):
        refuse(above(0, _MOST_MODALITIES, modalities=modalities))
        super().__init__(modalities, dim, queries=_SUMMARY)
        size = _QUERIES * _WIDTH
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(_WIDTH),
                nn.Flatten(),
                nn.Linear(size, size),
                nn.GELU(),
                nn.Linear(size, size),
            )
            for _ in range(modalities)
        )
        self.outputs = nn.ModuleList(nn.Linear(size, dim) for _ in range(modalities))

    def fill(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Project every modality from the others that are available."""
        found, normalizers = _SUMMARY.unpack(z[..., self.dim :])
        made = []
        for column in range(self.modalities):
            tokens = self._projected(found, normalizers, available, column)
            made.append(self.outputs[column](tokens))
        return torch.stack(made, dim=1)

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
        norms: Sequence[Callable[[Tensor], Tensor]],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the mean squared error of projected tokens, over modalities and sets of others.

        It is the expected value with one of the sets drawn at random. None if nothing can be
        projected.
        """
        found, normalizers = _SUMMARY.unpack(z[..., self.dim :])
        losses = []
        for column in range(self.modalities):
            target = functional.layer_norm(found[:, column].detach(), (_WIDTH,)).flatten(1)
            for others in self._sets_without(column):
                has = available[:, [column, *others]].all(dim=1)
                if not has.any():
                    continue
                shown = torch.zeros_like(available[has])
                shown[:, others] = True
                made = self._projected(found[has], normalizers[has], shown, column)
                losses.append((made - target[has]).square().mean())
        return {"projection": _WEIGHT * torch.stack(losses).mean()} if losses else {}

    def _projected(
        self, found: Tensor, normalizers: Tensor, available: Tensor, column: int
    ) -> Float[Tensor, "sample token_number"]:
        """Return the tokens of one modality as the others that are available give them."""
        others = available.clone()
        others[:, column] = False
        hidden = torch.where(others[:, :, None, None], found, 0.0)
        return self.projections[column](join_attention(hidden, normalizers, others))

    def _sets_without(self, column: int) -> Iterator[list[int]]:
        """Yield every set of other modalities that is not empty."""
        rest = [other for other in range(self.modalities) if other != column]
        for size in range(1, self.modalities):
            yield from map(list, combinations(rest, size))


PROJECTED = MissingModalityMethod(
    handler=ProjectedTokens,
    dropout_rate=0.3,
    display_name="projected tokens",
    description="Projects the tokens of the modalities that are there to those of a missing one.",
    source=(
        'Nezakati et al., "MMP: Towards Robust Multi-Modal Learning with Masked Modality '
        'Projection", 2024, https://arxiv.org/abs/2410.03010 (from a summary)'
    ),
)
"""A missing modality's embedding from projected tokens; each epoch hides 30 % of what is there."""
