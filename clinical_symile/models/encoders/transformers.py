"""Encoders of images from a folder of the library transformers, such as RAD-DINO or MedSigLIP."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn

from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders._gray_image import GrayImage
from clinical_symile.models.encoders.weights import (
    WeightSource,
    as_buffer,
    from_buffer,
    read_json_object,
)
from clinical_symile.registry.names import path_in

_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"
_ABOUT = "about"
_OF_EIGHT_BITS = 1 / 255
_RESAMPLING = {2: "bilinear", 3: "bicubic"}  # as Pillow numbers them
# A pooling layer that a file of weights may lack; the first token takes its place.
_POOLER = "pooler."


class Transformers(nn.Module):
    """The image model of a folder that transformers wrote, with a linear layer on its features.

    Features are the pooled output, or the first token where the file has no pooling layer. Of a
    model of images and texts, such as CLIP or SigLIP, the image tower is taken. The folder's
    `preprocessor_config.json` states size, mean and standard deviation. The whole image is resized;
    a crop of the centre is left out. Code in the folder is never run.

    Args:
        shape: `(1, h, w)`.
        dim: width of the output.
        weights: a folder with `config.json`, `preprocessor_config.json` and safetensors.

    Raises:
        ValueError: the preprocessing cannot be followed.
        DefinitionError: a file is missing or unreadable, or the model needs code of the folder.
    """

    display_name = "transformers"
    description = "The image model of a local folder of transformers, such as RAD-DINO."
    source = "https://github.com/huggingface/transformers"
    needs = ("the extra transformers",)

    about: Tensor

    def __init__(self, shape: tuple[int, ...], dim: int, *, weights: WeightSource):
        super().__init__()
        if isinstance(weights, Mapping):
            kept = json.loads(from_buffer(weights[_ABOUT]))
            self.network: Any = transformers.AutoModel.from_config(_image_config(kept["config"]))
            is_pooled = kept["is_pooled"]
        else:
            folder = Path(weights)
            kept: dict[str, Any] = {
                "config": _read(folder, _CONFIG),
                "processor": _read(folder, _PROCESSOR),
            }
            self.network, is_pooled = _load(folder, _image_config(kept["config"]))
        kept["is_pooled"] = self.is_pooled = is_pooled
        self.prepare = _preprocessing(kept["processor"])
        # A run keeps what it needs to build the network again, without the folder.
        self.register_buffer(_ABOUT, as_buffer(json.dumps(kept, sort_keys=True).encode()))
        self.head = nn.Linear(self.network.config.hidden_size, dim)

    def forward(self, image: Float[Tensor, "sample 1 h w"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        found = self.network(pixel_values=self.prepare(image))
        features = found.pooler_output if self.is_pooled else found.last_hidden_state[:, 0]
        return self.head(features)


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise DefinitionError(
            f"weights '{folder}': no such folder; expected one of transformers, with {_CONFIG}, "
            f"{_PROCESSOR} and safetensors. Nothing is downloaded: download it yourself.",
            code="CS-M024",
        )
    return read_json_object(path_in(folder, name))


def _image_config(about: Mapping[str, Any]) -> Any:
    """Return the configuration of the image model.

    Raises:
        DefinitionError: transformers does not know the model without code of the folder.
    """
    about = dict(about)
    kind = about.pop("model_type", None)
    if kind not in transformers.CONFIG_MAPPING or "auto_map" in about:
        raise DefinitionError(
            f"weights: {_CONFIG} has model_type '{kind}', which transformers "
            f"{transformers.__version__} does not know without code of the folder, and that is "
            "never run. Install a version that knows it, or export the encoder as ONNX.",
            code="CS-M024",
        )
    about.pop("transformers_version", None)
    config = transformers.CONFIG_MAPPING[kind].from_dict(about)
    return getattr(config, "vision_config", config)


def _load(folder: Path, config: Any) -> tuple[nn.Module, bool]:
    """Load the image model of a folder; return it, and True if it has a pooling layer.

    Raises:
        DefinitionError: the weights are unreadable or do not fit.
    """
    where = f"weights '{folder}'"
    try:
        network, found = transformers.AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            dtype=torch.float32,
        )
    except Exception as error:  # whatever a broken folder makes the library raise
        raise DefinitionError(
            f"{where}: transformers cannot load the model ({type(error).__name__}); expected "
            "safetensors of the model in config.json. Get the folder again.",
            code="CS-M024",
        ) from error
    missing = {str(key) for key in found["missing_keys"]}
    lacks_pooler = any(key.startswith(_POOLER) for key in missing)
    wrong = sorted(key for key in missing if not key.startswith(_POOLER))
    wrong += sorted(str(key) for key in found["mismatched_keys"])
    if wrong:
        raise DefinitionError(
            f"{where}: do not fit the network; {len(wrong)} keys differ, such as '{wrong[0]}'. Use "
            "weights of the model in config.json.",
            code="CS-M024",
        )
    return network, _has_pooled_output(network) and not lacks_pooler


def _has_pooled_output(network: Any) -> bool:
    """Return True if a model gives one pooled vector for each image."""
    size = network.config.image_size
    side = size if isinstance(size, int) else size[0]
    channels = getattr(network.config, "num_channels", 3)
    with torch.no_grad():
        found = network.eval()(pixel_values=torch.zeros(1, channels, side, side))
    network.train()
    pooled = getattr(found, "pooler_output", None)
    return pooled is not None and pooled.ndim == 2


def _preprocessing(about: Mapping[str, Any]) -> GrayImage:
    """Return the preprocessing that a folder states.

    Raises:
        ValueError: it rescales pixels by another factor, or states no size.
    """
    size = about.get("crop_size") if about.get("do_center_crop") else about.get("size")
    if isinstance(size, Mapping):
        size = size.get("height", size.get("shortest_edge"))
    if not isinstance(size, int):
        raise ValueError(f"{_PROCESSOR} states no size; expected crop_size or size.")
    factor = about.get("rescale_factor", _OF_EIGHT_BITS) if about.get("do_rescale", True) else 1.0
    if abs(factor - _OF_EIGHT_BITS) > 1e-6:
        raise ValueError(
            f"{_PROCESSOR} scales pixels by {factor}; expected 1/255, which makes gray levels from "
            "0 to 1. Export the encoder as ONNX with the scale that it needs."
        )
    mean, sd = about.get("image_mean"), about.get("image_std")
    if not about.get("do_normalize", True) or mean is None or sd is None:
        mean, sd = [0.0] * 3, [1.0] * 3
    resampling = _RESAMPLING.get(about.get("resample", 3), "bicubic")
    return GrayImage(size, mean, sd, resampling)
