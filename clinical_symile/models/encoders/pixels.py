"""One network for all modalities, which sees each of them as a picture."""

import math
from collections.abc import Callable, Mapping

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.models.encoders._validation import require_counts

_MIDDLE, _SD = 0.5, 0.25  # of gray levels from 0 to 1
_GROUPS = 8
_AXES: Mapping[str, int] = {"image": 3, "signal": 2, "panel": 2}  # of an input, by its layout
_EXPECTED = "'image' for [1, h, w], 'signal' for [lead, time] or 'panel' for [2, analyte]"


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(_GROUPS, channels)


class Pixels(nn.Module):
    """A ResNet-18 on a picture of the input: an image as it is, a signal as bands, values as cells.

    Leads are drawn one under the other, each as a band of rows whose gray levels are averages of
    the signal over equal times: `size_px` of them, so that 64 show 10 s in steps of 0.16 s. Values
    and whether each was measured are two halves of a grid of cells, in the order of the panel.
    Every modality of a task that names this encoder has the same network, with one set of weights,
    a third of those of three such networks. The last layer is shared too: nothing but the picture
    tells modalities apart. Groups of channels are normalized, since statistics of a batch would be
    those of one modality in training and of all of them in use.

    Source: Tschannen et al., "CLIPPO: Image-and-Language Understanding from Pixels Only", CVPR
    2023, https://arxiv.org/abs/2212.08045. There a vision transformer reads images and rendered
    text; the pictures of signals and labs, and the ResNet, are this project's.

    Args:
        shape: `(1, h, w)`, `(lead, time)` or `(2, analyte)`.
        dim: width of the output.
        layout: `image`, `signal` or `panel`. The shape does not tell it: a recording of two leads
            is `[2, time]`, a panel `[2, analyte]`.
        size_px: height and width of the picture.

    Raises:
        ValueError: a setting is no whole number of 1 or more, the layout is unknown or the input
            has another shape, or the picture has fewer rows than an input has leads or its grid has
            cells.
    """

    display_name = "pixels"
    description = "One ResNet-18 for all modalities, which sees each of them as a picture."
    source = (
        'Tschannen et al., "CLIPPO: Image-and-Language Understanding from Pixels Only", CVPR 2023, '
        "https://arxiv.org/abs/2212.08045"
    )

    def __init__(
        self, shape: tuple[int, ...], dim: int, *, layout: str = "image", size_px: int = 64
    ):
        require_counts(size_px=size_px)
        if layout not in _AXES:
            raise ValueError(f"layout is '{layout}'; expected {_EXPECTED}.")
        if len(shape) != _AXES[layout] or (layout == "panel" and shape[0] != 2):
            raise ValueError(
                f"the input has shape {list(shape)}, and layout is '{layout}'; expected "
                f"{_EXPECTED}. Correct layout."
            )
        super().__init__()
        side = math.ceil(math.sqrt(shape[1])) if layout == "panel" else shape[0]
        if len(shape) == 2 and side > size_px // 2:
            raise ValueError(
                f"size_px is {size_px}; expected at least {2 * side}, two rows for each of {side}."
            )
        self.size_px, self.side, self.layout = size_px, side, layout
        network = torchvision.models.resnet18(num_classes=dim, norm_layer=_group_norm)
        network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.network = network

    @property
    def head(self) -> nn.Module:
        """The layer that maps features to the output."""
        return self.network.fc

    def share_with(self, first: "Pixels") -> None:
        """Use the network of another modality's encoder instead of an own one."""
        self.network = first.network

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.network((self.picture(inputs) - _MIDDLE) / _SD)

    def picture(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample 1 size size"]:
        """Draw each input with gray levels from 0 to 1."""
        return _DRAWN[self.layout](inputs, self.size_px, self.side)


def _draw_image(inputs: Tensor, size_px: int, side: int) -> Tensor:
    return functional.adaptive_avg_pool2d(inputs, (size_px, size_px))


def _draw_bands(inputs: Tensor, size_px: int, side: int) -> Tensor:
    over_time = functional.adaptive_avg_pool1d(inputs, size_px)[:, None]
    return functional.interpolate(torch.sigmoid(over_time), (size_px, size_px), mode="nearest")


def _draw_cells(inputs: Tensor, size_px: int, side: int) -> Tensor:
    cells = functional.pad(inputs, (0, side**2 - inputs.shape[2]))
    halves = cells.reshape(len(inputs), 2, side, side)
    drawn = torch.cat([halves[:, :1], halves[:, 1:]], dim=3)
    return functional.interpolate(drawn, (size_px, size_px), mode="nearest")


_DRAWN: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "image": _draw_image,
    "signal": _draw_bands,
    "panel": _draw_cells,
}
