"""Encoders of waveforms: `[sample, lead, time]` at 500 Hz → `[sample, dim]`.

An encoder is made as `Encoder(shape, dim, ...)`, like those of images.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import torchvision
from jaxtyping import Float
from monai.networks.nets.resnet import ResNet, ResNetBlock
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.models.encoders._places import (
    BlockLinear,
    PlaceTokens,
    PooledPlaces,
    embed_map_of_resnet,
    give_places,
    map_of_resnet,
    require_tokens,
    resnet_places,
)
from clinical_symile.models.encoders._validation import require_counts
from clinical_symile.models.encoders.weights import fit_tensors, of_one_encoder, read_tensors

_STORED_RATE_HZ = 500
_STAGES_STRIDE = 16  # of all that follows the first convolution of MONAI's ResNet


class ResNet1d(PlaceTokens, nn.Module):
    """A residual network over time with the leads as channels.

    The inputs of its last layer are centred over the batch, as in `SmallCnn`.

    Args:
        shape: `(lead, time)`.
        dim: width of the output.
        sampling_rate_hz: signals are first averaged down to this rate, a divisor of 500.
        stem_stride: stride of the first convolution, whose kernel spans four strides.
        width: channels of the first stage; each further stage doubles them.
        blocks: basic blocks in each of the four stages.
        weights: a safetensors file of another run (`model.safetensors`) or of this network, for all
            but the last layer; None for random weights. The other settings must be those of then.
        tokens: the number of blocks of the output. With 2 or more each is a linear function of the
            average over one segment of time, with weights of its own. What the last layer averages
            has seen more of the recording than its segment.

    Raises:
        ValueError: a setting is no whole number of 1 or more, the rate does not divide 500 Hz, or
            `tokens` does not divide `dim` or is above the length of the last feature map.
        DefinitionError: the file of weights is missing or does not fit the network.
    """

    display_name = "1-D ResNet"
    description = "A residual network over time with the leads as channels."
    source = (
        'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, '
        "https://arxiv.org/abs/1512.03385, here in one dimension"
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        sampling_rate_hz: int = 100,
        stem_stride: int = 2,
        width: int = 32,
        blocks: int = 1,
        weights: str | None = None,
        tokens: int = 1,
    ):
        require_counts(
            sampling_rate_hz=sampling_rate_hz, stem_stride=stem_stride, width=width, blocks=blocks
        )
        super().__init__()
        if _STORED_RATE_HZ % sampling_rate_hz:
            raise ValueError(
                f"sampling_rate_hz is {sampling_rate_hz}; expected a divisor of {_STORED_RATE_HZ}, "
                "the rate at which ECGs are stored."
            )
        self.step = _STORED_RATE_HZ // sampling_rate_hz
        self.network = ResNet(
            ResNetBlock,
            [blocks] * 4,
            [width, 2 * width, 4 * width, 8 * width],
            spatial_dims=1,
            n_input_channels=shape[0],
            conv1_t_size=4 * stem_stride - 1,
            conv1_t_stride=stem_stride,
            num_classes=dim,
        )
        last = self.network.fc
        assert last is not None  # it is None only for networks without a last layer
        length = -(-(shape[1] // self.step) // (_STAGES_STRIDE * stem_stride))
        require_tokens(tokens, dim=dim, places=[length], grid=[tokens])
        self.places, self.channels = (length,), 8 * width
        if tokens > 1:
            self.network.add_module("avgpool", PooledPlaces([tokens]))
            last = BlockLinear(tokens, tokens * last.in_features, dim)
        centre = nn.BatchNorm1d(tokens * 8 * width, affine=False)
        self.network.add_module("fc", nn.Sequential(centre, last))
        if weights is not None:
            found = of_one_encoder(read_tensors(Path(weights)), like=self)
            fit_tensors(self, found, leave=("network.fc.",), where=f"weights '{weights}'")

    @property
    def head(self) -> nn.Module:
        """The layer that maps features to the output."""
        return cast(nn.Module, self.network.fc)

    def forward(self, signal: Float[Tensor, "sample lead time"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.network(functional.avg_pool1d(signal, self.step))

    def feature_map(
        self, inputs: Float[Tensor, "sample lead time"]
    ) -> Float[Tensor, "sample c ..."]:
        """See `PlaceTokens`."""
        return map_of_resnet(self.network, functional.avg_pool1d(inputs, self.step))

    def embed_map(self, features: Float[Tensor, "sample c ..."]) -> Float[Tensor, "sample dim"]:
        """See `PlaceTokens`."""
        return embed_map_of_resnet(self.network, features)


class RasterEncoder(PlaceTokens, nn.Module):
    """An encoder whose network reads a recording as an image of time by lead.

    Attributes:
        network: a ResNet of torchvision.
        is_transposed: the network reads images of lead by time, and its kernels are transposed.
    """

    network: torchvision.models.ResNet
    is_transposed = False

    @property
    def head(self) -> nn.Module:
        """The layer that maps features to the output."""
        return cast(nn.Module, self.network.fc)

    def image(self, signal: Tensor) -> Tensor:
        """Return recordings as images, `[sample, 1, time, lead]`."""
        return torch.transpose(signal, 1, 2)[:, None]

    def forward(self, signal: Float[Tensor, "sample lead time"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        if self.is_transposed:
            return self.embed_map(self.feature_map(signal))
        return self.network(self.image(signal))

    def feature_map(
        self, inputs: Float[Tensor, "sample lead time"]
    ) -> Float[Tensor, "sample c ..."]:
        """See `PlaceTokens`."""
        image = self.image(inputs)
        if self.is_transposed:
            return map_of_resnet(self.network, image.transpose(2, 3)).transpose(2, 3)
        return map_of_resnet(self.network, image)

    def embed_map(self, features: Float[Tensor, "sample c ..."]) -> Float[Tensor, "sample dim"]:
        """See `PlaceTokens`."""
        return embed_map_of_resnet(self.network, features)


class ResNet18Raster(RasterEncoder):
    """ResNet-18 on the signal as a one-channel image of time by lead.

    This is the ECG encoder of Saporta et al. 2024, section 5.3. Its kernels span neighbouring
    leads, so the order of the leads matters.

    Args:
        shape: `(lead, time)`.
        dim: width of the output; replaces the classes.
        tokens: the number of blocks of the output. With 2 or more each is a linear function of the
            average over one segment of time, with weights of its own.

    Raises:
        ValueError: `tokens` does not divide `dim`, or the feature map is shorter.
    """

    display_name = "ResNet-18 on a raster"
    description = "ResNet-18 on the signal as a one-channel image of time by lead."
    source = (
        'Saporta et al., "Contrasting with Symile", NeurIPS 2024, '
        "https://arxiv.org/abs/2411.01053 (section 5.3, ECG encoder)"
    )

    def __init__(self, shape: tuple[int, ...], dim: int, *, tokens: int = 1):
        super().__init__()
        network = torchvision.models.resnet18()
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        size = (shape[1], shape[0])
        self.places, self.channels = resnet_places(size), network.fc.in_features
        give_places(network, dim, size, (tokens, 1))
        self.network = network


class StretchedRaster(RasterEncoder):
    """The ECG encoder of the released Symile-MIMIC model: `resnet18_raster` on scaled recordings.

    Each recording in millivolts is scaled to -1 … 1, from its lowest to its highest value over all
    leads. A recording that already has this range is unchanged.

    Source: https://doi.org/10.13026/3vvj-s428, whose ECGs are scaled like this.

    Args:
        shape: `(lead, time)`.
        dim: width of the output; replaces the classes.
        sd_mv: the divisor of each lead in the store; leave it out if leads were not divided.
        order: the order of the leads in the image; by default that of MIMIC-IV-ECG, where aVF is
            before aVL.

    Raises:
        ValueError: a lead has no standard deviation or no position.
    """

    display_name = "ResNet-18 on a scaled raster"
    description = (
        "The ECG encoder of the released Symile-MIMIC model: `resnet18_raster` on scaled "
        "recordings."
    )
    source = "https://doi.org/10.13026/3vvj-s428"

    scale: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        sd_mv: Sequence[float] = (),
        order: Sequence[int] = (0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11),
    ):
        super().__init__()
        if sorted(order) != list(range(shape[0])) or len(sd_mv) not in (0, shape[0]):
            raise ValueError(
                f"{len(sd_mv)} sd_mv and order {list(order)}; expected one for each of {shape[0]} "
                "leads, and each lead once."
            )
        self.order = list(order)
        scale = torch.tensor(sd_mv or [1.0] * shape[0])[:, None]
        self.register_buffer("scale", scale, persistent=False)
        raster = ResNet18Raster(shape, dim)
        self.network, self.places, self.channels = raster.network, raster.places, raster.channels

    def image(self, signal: Tensor) -> Tensor:
        """Scale recordings and put them in the order of an image."""
        signal = signal * self.scale
        low, high = signal.amin((1, 2), keepdim=True), signal.amax((1, 2), keepdim=True)
        span = (high - low).clamp_min(torch.finfo(signal.dtype).tiny)
        stretched = 2 * ((signal - low) / span) - 1
        return super().image(stretched[:, self.order])
