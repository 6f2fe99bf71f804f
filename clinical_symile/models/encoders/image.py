"""Encoders of images: `[sample, 1, h, w]` with gray levels in [0, 1] → `[sample, dim]`.

An encoder is made as `Encoder(shape, dim, ...)`, from the shape of one input, the width of the
output, and the arguments of a task's `[encoders.<modality>]` table.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import torchvision
from jaxtyping import Float
from monai.networks.nets.regressor import Regressor
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet as TorchvisionResNet

from clinical_symile.models.encoders._places import (
    BlockLinear,
    EqualCells,
    PlaceTokens,
    embed_map_of_resnet,
    give_places,
    image_grid,
    map_of_resnet,
    require_tokens,
    resnet_places,
)
from clinical_symile.models.encoders._validation import require_counts, require_lists
from clinical_symile.models.encoders.weights import fit_tensors, read_tensors
from clinical_symile.registry.source import describe_as

# Mean and standard deviation of ImageNet's channels, in the order of torchvision's weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SmallCnn(PlaceTokens, nn.Module):
    """A few convolutions, each halving the image, and a linear layer over all positions.

    It is made for reduced images on a laptop's CPU. The last layer does not average over the image,
    since findings have positions: a left and a right effusion differ in nothing else. Its inputs
    are centred over the batch. Otherwise most of a new network's output is the same for every
    image, and products of three such outputs hide the differences.

    Args:
        shape: `(1, h, w)`.
        dim: width of the output.
        size_px: images are first reduced to this height and width, by averaging.
        channels: the channels of each convolution.
        tokens: the number of blocks of the output. With 2 or more the last layer reads equal cells
            of the feature map, each for a block of its own.

    Raises:
        ValueError: a size is no whole number of 1 or more, there is no convolution, or the image is
            too small to be halved by each convolution; `tokens` does not divide `dim`, or its grid
            does not divide the feature map.
    """

    display_name = "small CNN"
    description = (
        "A few convolutions, each halving the image, and a linear layer over all positions."
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        size_px: int = 64,
        channels: Sequence[int] = (16, 32, 64),
        tokens: int = 1,
    ):
        require_counts(size_px=size_px)
        require_lists(channels=channels)
        if not channels:
            raise ValueError("channels is empty; expected those of one convolution or more.")
        if size_px < 2 ** len(channels):
            raise ValueError(
                f"size_px is {size_px}; expected at least {2 ** len(channels)}, since each of "
                f"{len(channels)} convolutions halves the image."
            )
        super().__init__()
        self.size_px = size_px
        self.network = Regressor(
            (shape[0], size_px, size_px),
            (dim,),
            channels=channels,
            strides=[2] * len(channels),
            num_res_units=0,
            norm="BATCH",
        )
        flatten, last = self.network.final
        assert isinstance(last, nn.Linear)  # as MONAI builds it
        centre = nn.BatchNorm1d(last.in_features, affine=False)
        side = -(-size_px // 2 ** len(channels))
        grid, places = image_grid(tokens), (side, side)
        self.places, self.channels = places, channels[-1]
        require_tokens(tokens, dim=dim, places=places, grid=grid)
        if tokens > 1:
            flatten, last = EqualCells(grid, places), BlockLinear(tokens, last.in_features, dim)
        self.network.final = nn.Sequential(flatten, centre, last)

    @property
    def head(self) -> nn.Module:
        """The layer that maps features to the output."""
        return self.network.final

    def forward(self, image: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.network(self._scaled(image))

    def feature_map(self, inputs: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample c ..."]:
        """See `PlaceTokens`."""
        return self.network.net(self._scaled(inputs))

    def embed_map(self, features: Float[Tensor, "sample c ..."]) -> Float[Tensor, "sample dim"]:
        """See `PlaceTokens`."""
        return self.network.reshape(self.network.final(features))

    def _scaled(self, image: Tensor) -> Tensor:
        image = functional.adaptive_avg_pool2d(image, self.size_px)
        return (image - IMAGENET_MEAN[1]) / IMAGENET_STD[1]


@describe_as(
    display_name="ResNet-18",
    description="The ResNet-18 of torchvision on the gray image, repeated over three channels.",
    source=(
        'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, '
        "https://arxiv.org/abs/1512.03385"
    ),
)
def resnet18(
    shape: tuple[int, ...], dim: int, *, weights: str | None = None, tokens: int = 1
) -> nn.Module:
    """Build torchvision's ResNet-18 on the gray image, repeated over three channels.

    Args:
        shape: `(1, h, w)`.
        dim: width of the output; replaces the classes.
        weights: a local file of weights (safetensors, or PyTorch's format without code), or None
            for random weights. Nothing is downloaded.
        tokens: the number of blocks of the output. With 2 or more each is a linear function of the
            average over one part of the image, with weights of its own.

    Raises:
        DefinitionError: the file is missing or does not fit the network.
        ValueError: `tokens` does not divide `dim`, or the feature map has fewer places.
    """
    return _gray_resnet(torchvision.models.resnet18(), shape, dim, weights, tokens)


@describe_as(
    display_name="ResNet-50",
    description=(
        "The ResNet-50 of torchvision, the X-ray encoder of the Symile paper (section 5.3)."
    ),
    source=(
        'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, '
        "https://arxiv.org/abs/1512.03385"
    ),
)
def resnet50(
    shape: tuple[int, ...], dim: int, *, weights: str | None = None, tokens: int = 1
) -> nn.Module:
    """Build torchvision's ResNet-50, the X-ray encoder of Saporta et al. 2024, section 5.3.

    Args:
        shape: `(1, h, w)`.
        dim: width of the output; replaces the classes.
        weights: a local file of weights (safetensors, or PyTorch's format without code), or None
            for random weights. Nothing is downloaded.
        tokens: the number of blocks of the output. With 2 or more each is a linear function of the
            average over one part of the image, with weights of its own.

    Raises:
        DefinitionError: the file is missing or does not fit the network.
        ValueError: `tokens` does not divide `dim`, or the feature map has fewer places.
    """
    return _gray_resnet(torchvision.models.resnet50(), shape, dim, weights, tokens)


class _GrayInput(PlaceTokens, nn.Module):
    """A network of three-channel images that reads gray ones, on ImageNet's scale."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: TorchvisionResNet, places: tuple[int, ...], channels: int):
        super().__init__()
        self.network = network
        self.places = places
        self.channels = channels
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    @property
    def head(self) -> nn.Module:
        """The layer that maps features to the output."""
        return cast(nn.Module, self.network.fc)

    def forward(self, image: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample dim"]:
        return self.network((image - self.mean) / self.std)

    def feature_map(self, inputs: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample c ..."]:
        return map_of_resnet(self.network, (inputs - self.mean) / self.std)

    def embed_map(self, features: Float[Tensor, "sample c ..."]) -> Float[Tensor, "sample dim"]:
        return embed_map_of_resnet(self.network, features)


def _gray_resnet(
    network: TorchvisionResNet,
    shape: tuple[int, ...],
    dim: int,
    weights: str | None,
    tokens: int,
) -> nn.Module:
    """Load weights, replace the classification layer, and let the network read gray images."""
    channels = network.fc.in_features
    network = _loaded(network, weights)
    give_places(network, dim, shape[1:], image_grid(tokens))
    return _GrayInput(network, resnet_places(shape[1:]), channels)


def _loaded(network: TorchvisionResNet, weights: str | None) -> TorchvisionResNet:
    """Load weights, if given; the classification layer may be missing or differ."""
    if weights is not None:
        found = read_tensors(Path(weights), may_be_torch=True)
        fit_tensors(network, found, leave=("fc.",), where=f"weights '{weights}'")
    return network
