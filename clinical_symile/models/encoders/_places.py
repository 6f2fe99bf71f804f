"""Tokens of places: an encoder whose output is several blocks, each of one part of the input."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet

from clinical_symile.models.encoders._validation import require_counts

# The pixels of an image between neighbouring places of a ResNet's last feature map.
_RESNET_STRIDE = 32


def require_tokens(tokens: int, *, dim: int, places: Sequence[int], grid: Sequence[int]) -> None:
    """Refuse a number of tokens that does not divide the output or that has too few places.

    Args:
        tokens: the number of blocks of the output.
        dim: the width of the output.
        places: the size of the last feature map, or of what is divided, along each axis.
        grid: the parts of each axis, whose product is `tokens`.

    Raises:
        ValueError: it is no whole number of 1 or more, no divisor of `dim`, or above the places.
    """
    require_counts(tokens=tokens)
    if dim % tokens:
        raise ValueError(f"tokens is {tokens}; expected a divisor of the width {dim}.")
    if any(parts > size for parts, size in zip(grid, places, strict=True)):
        raise ValueError(
            f"tokens is {tokens}, a grid of {_by(grid)}; expected one that fits into the "
            f"{_by(places)} places of this input."
        )


def image_grid(tokens: int) -> tuple[int, int]:
    """Return the rows and columns of a grid of places, as square as their number allows."""
    require_counts(tokens=tokens)
    rows = max(row for row in range(1, math.isqrt(tokens) + 1) if tokens % row == 0)
    return rows, tokens // rows


class PooledPlaces(nn.Module):
    """Average a feature map over each place of a grid.

    Where the sides of the map are no multiples of the grid's, neighbouring places overlap.

    Args:
        grid: the places along each axis.
    """

    def __init__(self, grid: Sequence[int]):
        super().__init__()
        self.pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)[len(grid) - 1](tuple(grid))

    def forward(self, features: Float[Tensor, "sample c ..."]) -> Float[Tensor, "sample _"]:
        """Return the channels of the first place, then those of the second, and so on."""
        return self.pool(features).flatten(2).mT.flatten(1)


class EqualCells(nn.Module):
    """Cut a feature map into equal cells and keep every position of each.

    Args:
        grid: rows and columns of cells.
        places: height and width of the map.

    Raises:
        ValueError: the map cannot be cut into equal cells.
    """

    def __init__(self, grid: tuple[int, int], places: Sequence[int]):
        super().__init__()
        if any(size % parts for parts, size in zip(grid, places, strict=True)):
            raise ValueError(
                f"tokens makes a grid of {_by(grid)}; expected one that divides the last feature "
                f"map of {_by(places)} places into equal cells."
            )
        self.cell = (places[0] // grid[0], places[1] // grid[1])

    def forward(self, features: Float[Tensor, "sample channel h w"]) -> Float[Tensor, "sample _"]:
        """Return the values of the first cell, then those of the second, and so on."""
        return functional.unfold(features, self.cell, stride=self.cell).mT.flatten(1)


class BlockLinear(nn.Module):
    """Map each block of a vector to one block of the output, by a linear layer of its own.

    Args:
        blocks: their number.
        in_features: the width of the input, a multiple of it.
        out_features: the width of the output, a multiple of it.
    """

    def __init__(self, blocks: int, in_features: int, out_features: int):
        super().__init__()
        self.layers = nn.Conv1d(in_features, out_features, 1, groups=blocks)

    def forward(self, x: Float[Tensor, "sample feature"]) -> Float[Tensor, "sample dim"]:
        """Map a batch."""
        return self.layers(x[:, :, None])[:, :, 0]


def give_places(network: ResNet, dim: int, size: tuple[int, ...], grid: tuple[int, int]) -> None:
    """Replace the classification layer by one whose output has a block for each place.

    A block is a linear function of the average over its place of the last feature map, with weights
    of its own. A place of the map has seen more of the image than its own part.

    Args:
        network: is changed.
        dim: width of the output.
        size: height and width of the images.
        grid: rows and columns of places; one place is the average over the whole map.

    Raises:
        ValueError: the places do not divide `dim`, or the map has fewer.
    """
    tokens, places = math.prod(grid), resnet_places(size)
    require_tokens(tokens, dim=dim, places=places, grid=grid)
    channels = network.fc.in_features
    if tokens == 1:
        network.fc = nn.Linear(channels, dim)
        return
    network.add_module("avgpool", PooledPlaces(grid))
    network.add_module("fc", BlockLinear(tokens, tokens * channels, dim))


class PlaceTokens:
    """Tokens of an encoder: the places of its last feature map, row by row.

    Attributes:
        places: the size of the map along each axis.
        channels: the number of its channels.
    """

    places: tuple[int, ...]
    channels: int

    @property
    def token_shape(self) -> tuple[int, int]:
        """The number of tokens of a sample, and their width."""
        return math.prod(self.places), self.channels

    def tokens(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample token width"]:
        """Return the tokens of a batch."""
        return self.feature_map(inputs).flatten(2).mT

    def from_tokens(
        self, tokens: Float[Tensor, "sample token width"]
    ) -> Float[Tensor, "sample dim"]:
        """Return what the encoder gives for inputs with these tokens."""
        return self.embed_map(tokens.mT.unflatten(2, self.places))

    def feature_map(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample c ..."]:
        """Return the last feature map of a batch."""
        raise NotImplementedError

    def embed_map(self, features: Float[Tensor, "sample c ..."]) -> Float[Tensor, "sample dim"]:
        """Return what the encoder gives for a feature map."""
        raise NotImplementedError


def map_of_resnet(
    network: nn.Module, inputs: Float[Tensor, "sample ..."]
) -> Float[Tensor, "sample c ..."]:
    """Return the last feature map of a ResNet of torchvision or MONAI.

    Args:
        network: its children are in the order in which they are called.
        inputs: what the network reads.
    """
    for name, layer in network.named_children():
        if name == "avgpool":
            break
        inputs = layer(inputs)
    return inputs


def embed_map_of_resnet(
    network: nn.Module, features: Float[Tensor, "sample c ..."]
) -> Float[Tensor, "sample dim"]:
    """Return what a ResNet of torchvision or MONAI gives for its last feature map."""
    pooled = network.get_submodule("avgpool")(features)
    return network.get_submodule("fc")(pooled.flatten(1))


def resnet_places(size: Sequence[int]) -> tuple[int, ...]:
    """Return the size of a torchvision ResNet's last feature map for images of a size."""
    return tuple(-(-side // _RESNET_STRIDE) for side in size)


def _by(sizes: Sequence[int]) -> str:
    return " by ".join(map(str, sizes))
