"""Encoders of vectors: any `[sample, ...]`, flattened → `[sample, dim]`.

An encoder is made as `Encoder(shape, dim, ...)`, like those of images.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from clinical_symile.models.encoders._validation import require_lists


class Mlp(nn.Module):
    """A multilayer perceptron with GELU between its layers.

    With `hidden = [256, 1024]` it is the labs encoder of Saporta et al. 2024, section 5.3.

    Args:
        shape: the shape of one input, such as `(2, analyte)`.
        dim: width of the output.
        hidden: widths of the hidden layers.
        centred: True centres and scales the vector over the batch first, see `SmallCnn`.

    Raises:
        ValueError: a width is no whole number of 1 or more.
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
    ):
        require_lists(hidden=hidden)
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        if centred:
            layers.append(nn.BatchNorm1d(prod(shape), affine=False))
        for width_in, width_out in pairwise((prod(shape), *hidden)):
            layers += [nn.Linear(width_in, width_out), nn.GELU()]
        self.network = nn.Sequential(*layers, nn.Linear((prod(shape), *hidden)[-1], dim))

    def forward(self, vector: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.network(vector)
