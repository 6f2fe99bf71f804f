"""Scale and shift features: each channel of a layer's output is multiplied and moved."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from clinical_symile.models.adapters.base import OutputUpdate, UpdatingAdapter, adaptable_layers

# Layers whose output has its channels on the last axis, and those with them on the second.
_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm)
_SECOND = (_ConvNd, _NormBase, nn.GroupNorm)


class ScaleShift(OutputUpdate):
    """An output h becomes scale ⊙ h + shift, with a scale of 1 and a shift of 0 at the start.

    Args:
        channels: the number of channels.
        channels_last: the channels are on the last axis, if that has their number; otherwise on the
            second, as in layer normalization of images with channels first.
        dtype: the type of the numbers.
    """

    def __init__(self, channels: int, *, channels_last: bool, dtype: torch.dtype | None = None):
        super().__init__()
        self.channels_last = channels_last
        self.scale = nn.Parameter(torch.ones(channels, dtype=dtype))
        self.shift = nn.Parameter(torch.zeros(channels, dtype=dtype))

    @property
    def is_identity(self) -> bool:
        """True if every scale is 1 and every shift 0."""
        return bool((self.scale.detach() == 1).all()) and not self.shift.detach().any()

    def forward(self, output: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample ..."]:
        """Return the changed output."""
        scale, shift = self.scale.to(output.dtype), self.shift.to(output.dtype)
        if not (self.channels_last and output.shape[-1] == len(scale)):
            ones = (1,) * (output.ndim - 2)
            scale, shift = scale.reshape(-1, *ones), shift.reshape(-1, *ones)
        return output * scale + shift


class Ssf(UpdatingAdapter):
    """SSF after every linear, convolutional and normalization layer, or after those that are named.

    A layer whose weights are read without a call is left out: the last one of PyTorch's
    `MultiheadAttention`.

    Args:
        layers: patterns of names of layers, such as `*.qkv`; by default all.
    """

    display_name = "SSF"
    description = "Scales and shifts each channel after linear, convolutional and norm layers."
    source = (
        'Lian et al., "Scaling & Shifting Your Features: A New Baseline for Efficient Model '
        'Tuning", NeurIPS 2022, https://arxiv.org/abs/2210.08823'
    )

    def __init__(self, *, layers: Sequence[str] = ("*",)):
        self.layers = tuple(layers)

    def updates(self, encoder: nn.Module, *, head: nn.Module | None) -> dict[str, ScaleShift]:
        """See `UpdatingAdapter`."""
        chosen = adaptable_layers(
            encoder,
            (*_LAST, *_SECOND),
            head=head,
            patterns=self.layers,
            what="linear, convolutional or normalization",
        )
        dtype = next((p.dtype for p in encoder.parameters()), None)
        return {
            name: ScaleShift(_channels(layer), channels_last=isinstance(layer, _LAST), dtype=dtype)
            for name, layer in chosen.items()
            if not isinstance(layer, NonDynamicallyQuantizableLinear)
        }


def _channels(layer: nn.Module) -> int:
    """Return the number of channels of a layer's output."""
    match layer:
        case nn.Linear():
            return layer.out_features
        case _ConvNd():
            return layer.out_channels
        case _NormBase():
            return layer.num_features
        case nn.GroupNorm():
            return layer.num_channels
        case nn.LayerNorm() | nn.RMSNorm():
            return int(layer.normalized_shape[-1])
        case _:
            raise TypeError(f"{type(layer).__name__} is no layer with channels.")
