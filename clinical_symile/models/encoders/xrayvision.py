"""Encoders of chest X-rays from the library torchxrayvision, with weights from a local file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torchxrayvision
from jaxtyping import Float
from torch import Tensor, nn

from clinical_symile.models.encoders._gray_image import GrayImage
from clinical_symile.models.encoders.weights import WeightSource, fit_tensors, read_tensors

_SIZE_PX = 224
# The library's scale is from -1024 to 1024; gray levels here are from 0 to 1.
_MEAN, _SD = 0.5, 1 / 2048


class XRayVision(nn.Module):
    """The DenseNet-121 of torchxrayvision, with a linear layer on its pooled features.

    The gray image is resized to 224 by 224 pixels, and its gray levels are scaled to -1024 … 1024,
    as all weights of the library expect.

    Args:
        shape: `(1, h, w)`.
        dim: width of the output.
        weights: a safetensors file of the network's `state_dict()`; its classification layer is
            left out.

    Raises:
        DefinitionError: the weights do not fit the network.
    """

    display_name = "torchxrayvision DenseNet-121"
    description = "The DenseNet-121 of torchxrayvision, with weights from a local file."
    source = (
        'Cohen et al., "TorchXRayVision: A library of chest X-ray datasets and models", MIDL 2022, '
        "https://arxiv.org/abs/2111.00595"
    )
    needs = ("the extra xrv",)

    def __init__(self, shape: tuple[int, ...], dim: int, *, weights: WeightSource):
        super().__init__()
        self.prepare = GrayImage(_SIZE_PX, [_MEAN], [_SD], "bilinear")
        network: Any = torchxrayvision.models.DenseNet(weights=None)
        width = network.classifier.in_features
        network.classifier = nn.Identity()
        self.network = network
        if not isinstance(weights, Mapping):
            found, leave = read_tensors(Path(weights)), ("classifier.", "op_threshs")
            fit_tensors(network, found, leave=leave, where=f"weights '{weights}'")
        self.head = nn.Linear(width, dim)

    def forward(self, image: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.head(self.network.features2(self.prepare(image)))
