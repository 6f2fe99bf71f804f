"""Encoders of vectors: any `[sample, ...]`, flattened → `[sample, dim]`.

An encoder is made as `Encoder(shape, dim, ...)`, like those of images.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinical_symile.models.encoders._places import require_tokens
from clinical_symile.models.encoders._validation import require_lists


class Mlp(nn.Module):
    """A multilayer perceptron with GELU between its layers.

    With `hidden = [256, 1024]` it is the labs encoder of Saporta et al. 2024, section 5.3.

    Args:
        shape: the shape of one input, such as `(2, analyte)`.
        dim: width of the output.
        hidden: widths of the hidden layers.
        centred: True to standardize the vector over the batch first.
        tokens: the number of blocks of the output. With 2 or more each has a perceptron of its own,
            of the same hidden widths, over a group of neighbours on the last axis, such as analytes
            in the order of the panel. Sizes of groups differ by at most one.

    Raises:
        ValueError: a width is no whole number of 1 or more, or `tokens` does not divide `dim` or is
            above the length of the last axis.
    """

    display_name = "MLP"
    description = "A multilayer perceptron with GELU between its layers."
    source = (
        'Saporta et al., "Contrasting with Symile", NeurIPS 2024, '
        "https://arxiv.org/abs/2411.01053 (section 5.3, labs encoder)"
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        hidden: Sequence[int] = (256, 1024),
        centred: bool = False,
        tokens: int = 1,
    ):
        require_lists(hidden=hidden)
        require_tokens(tokens, dim=dim, places=shape[-1:], grid=[tokens])
        super().__init__()
        self.token_shape = (shape[-1], prod(shape[:-1]))
        if tokens == 1:
            self.network: nn.Module = _perceptron(prod(shape), dim, hidden, centred=centred)
        else:
            self.network = _Groups(shape, dim, hidden, centred=centred, groups=tokens)

    @property
    def head(self) -> nn.Module:
        """The last layer, which maps features to the output; none with several tokens."""
        if isinstance(self.network, nn.Sequential):
            return self.network[-1]
        raise AttributeError("an MLP with several tokens has no single last layer")

    def forward(self, vector: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.network(vector)

    def tokens(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample token width"]:
        """Return the numbers of each place on the last axis, such as those of an analyte."""
        return inputs.reshape(len(inputs), -1, inputs.shape[-1]).mT

    def from_tokens(
        self, tokens: Float[Tensor, "sample token width"]
    ) -> Float[Tensor, "sample dim"]:
        """Return what the encoder gives for inputs with these tokens."""
        return self.network(tokens.mT)


class _Groups(nn.Module):
    """A perceptron for each group of neighbours on the last axis; their outputs are joined."""

    def __init__(
        self, shape: tuple[int, ...], dim: int, hidden: Sequence[int], *, centred: bool, groups: int
    ):
        super().__init__()
        parts = torch.empty(shape, device="meta").tensor_split(groups, dim=-1)
        self.networks = nn.ModuleList(
            _perceptron(part.numel(), dim // groups, hidden, centred=centred) for part in parts
        )

    def forward(self, vector: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        parts = vector.tensor_split(len(self.networks), dim=-1)
        encoded = [network(part) for network, part in zip(self.networks, parts, strict=True)]
        return torch.cat(encoded, dim=1)


def _perceptron(size: int, dim: int, hidden: Sequence[int], *, centred: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    if centred:
        layers.append(nn.BatchNorm1d(size, affine=False))
    for width_in, width_out in pairwise((size, *hidden)):
        layers += [nn.Linear(width_in, width_out), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear((size, *hidden)[-1], dim))
