"""Files of tiny pretrained encoders, made here: nothing is downloaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from clinical_symile.models.encoders.weights import weights_sha256

SOURCE: dict[str, Any] = {"licence": "CC0-1.0", "training_data": ["a made-up set"]}


def timm_arguments(folder: Path, *, architecture: str = "test_vit", **more: Any) -> dict[str, Any]:
    """Weights of a network of timm, with its classification layer."""
    import timm

    torch.manual_seed(1)
    network = timm.create_model(architecture, num_classes=3, **more)
    file = folder / f"{architecture}.safetensors"
    save_file(network.state_dict(), file)
    return {"architecture": architecture, "weights": str(file)}


def transformers_arguments(folder: Path, *, kind: str = "vit", **fields: Any) -> dict[str, Any]:
    """A folder as transformers writes it: a model and how its images are prepared."""
    import transformers

    torch.manual_seed(2)
    tiny: dict[str, Any] = {
        **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
        **{"num_attention_heads": 2, "image_size": 32, "patch_size": 16},
    }
    made: Any = transformers.CONFIG_MAPPING[kind]
    if kind in ("clip", "siglip"):  # of images and texts
        words = {**tiny, "vocab_size": 8, "max_position_embeddings": 8}
        config = made(vision_config=tiny, text_config=words)
    else:
        config = made(**tiny)
    place = folder / kind
    transformers.AutoModel.from_config(config).save_pretrained(place)
    about = {
        **{"do_resize": True, "size": {"height": 32, "width": 32}, "do_center_crop": False},
        **{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "resample": 2},
        **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True},
    }
    (place / "preprocessor_config.json").write_text(json.dumps({**about, **fields}))
    return {"weights": str(place)}


def onnx_arguments(
    folder: Path, *, shape: tuple[int, ...] = (3, 32, 32), batch: int | str = "sample"
) -> dict[str, Any]:
    """A graph that flattens its input and multiplies it by a matrix; it has a second output."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    size = int(np.prod(shape))
    matrix = np.random.default_rng(3).normal(size=(size, 5)).astype(np.float32) / size**0.5
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["features"]),
            helper.make_node("Identity", ["x"], ["same"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, 5]),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, [batch, *shape]),
        ],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    file = folder / f"tiny-{'-'.join(map(str, (batch, *shape)))}.onnx"
    onnx.save(model, file)
    return {"weights": str(file)}


def onnx_image_arguments(folder: Path) -> dict[str, Any]:
    """A graph for images of three channels, with their scale."""
    return {**onnx_arguments(folder), "mean": [0.5] * 3, "sd": [0.25] * 3}


def xrayvision_arguments(folder: Path) -> dict[str, Any]:
    """Random weights of the only network that the encoder knows."""
    import torchxrayvision

    torch.manual_seed(4)
    file = folder / "densenet.safetensors"
    save_file(torchxrayvision.models.DenseNet(weights=None).state_dict(), file)
    return {"weights": str(file)}


PRETRAINED: dict[str, Callable[[Path], dict[str, Any]]] = {
    "onnx": onnx_image_arguments,
    "timm": timm_arguments,
    "transformers": transformers_arguments,
    "xrayvision": xrayvision_arguments,
}
"""What makes the arguments of each encoder that needs a file."""


def pinned(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the digest of the file and what is said of it."""
    return {**arguments, "sha256": weights_sha256(Path(arguments["weights"])), **SOURCE}
