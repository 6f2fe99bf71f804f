"""Encoders of images from the library timm, with weights from a local file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from jaxtyping import Float
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from clinical_symile.models.encoders._gray_image import RESAMPLING, GrayImage
from clinical_symile.models.encoders.weights import WeightSource, fit_tensors, read_tensors


class Timm(nn.Module):
    """A network of timm on the gray image, with a linear layer on its pooled features.

    Size, mean, standard deviation and resampling are those that timm states for the architecture
    and its tag, such as `vit_base_patch16_224.augreg_in21k`. The whole image is resized; timm's
    crop of the centre is left out.

    Args:
        shape: `(1, h, w)`.
        dim: width of the output.
        architecture: the name of timm, with its tag.
        weights: a safetensors file of it; its classification layer is left out.
        size_px: height and width of the network's input, instead of timm's.
        mean: of gray levels from 0 to 1 in each channel, instead of timm's.
        sd: the same. One number makes a network of one channel.

    Raises:
        ValueError: timm does not know the architecture, or the sizes do not fit.
        DefinitionError: the weights do not fit the network.
    """

    display_name = "timm"
    description = "A network of timm on the gray image, with weights from a local file."
    source = "https://github.com/huggingface/pytorch-image-models"
    needs = ("the extra timm",)

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        architecture: str,
        weights: WeightSource,
        size_px: int | None = None,
        mean: Sequence[float] | None = None,
        sd: Sequence[float] | None = None,
    ):
        if not timm.is_model(architecture):
            raise ValueError(
                f"architecture is '{architecture}', which timm does not know; expected a name of "
                "`timm.list_models()`, without a place to download from."
            )
        if (mean is None) != (sd is None):
            raise ValueError("only one of mean and sd is given; expected both or none.")
        super().__init__()
        channels: dict[str, Any] = {} if mean is None else {"in_chans": len(mean)}
        self.network: Any = timm.create_model(
            architecture, pretrained=False, num_classes=0, **channels
        )
        if not isinstance(weights, Mapping):
            classifier = self.network.pretrained_cfg.get("classifier") or ()
            names = [classifier] if isinstance(classifier, str) else [*classifier]
            fit_tensors(
                self.network,
                read_tensors(Path(weights)),
                leave=tuple(f"{name}." for name in names),
                where=f"weights '{weights}'",
            )
        about = resolve_model_data_config(self.network)
        size = about["input_size"][-1]
        if size_px is not None and size_px != size:
            size = size_px
            if hasattr(self.network, "set_input_size"):
                self.network.set_input_size(img_size=(size, size))
        resampling = about["interpolation"]
        self.prepare = GrayImage(
            size,
            about["mean"] if mean is None else mean,
            about["std"] if sd is None else sd,
            resampling if resampling in RESAMPLING else RESAMPLING[-1],
        )
        width = getattr(self.network, "head_hidden_size", None) or self.network.num_features
        self.head = nn.Linear(width, dim)

    def forward(self, image: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.head(self.network(self.prepare(image)))
