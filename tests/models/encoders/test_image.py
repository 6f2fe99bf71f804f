from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.image import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SmallCnn,
    resnet18,
    resnet50,
)

SHAPE = (1, 32, 32)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Those of a ResNet-18 with its thousand classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return torchvision.models.resnet18().state_dict()


def _save(weights: dict[str, Tensor], path: Path) -> str:
    (save_file if path.suffix == ".safetensors" else torch.save)(weights, path)
    return str(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size_px": 0}, "size_px is 0; expected a whole number"),
        ({"size_px": 7}, "size_px is 7; expected at least 8, since each of 3 convolutions"),
        ({"channels": []}, "channels is empty; expected those of one convolution or more"),
        ({"channels": [0]}, r"channels is \[0\]; expected a list of whole numbers of 1 or more"),
    ],
)
def test_convolutions_that_carry_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SmallCnn(SHAPE, 8, **wrong)


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt", "weights.pth"])
def test_weights_come_from_a_local_file(
    file: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    loaded = resnet18(SHAPE, 6, weights=_save(weights, tmp_path / file)).state_dict()
    for name, tensor in weights.items():
        if not name.startswith("fc."):
            assert torch.equal(loaded[f"network.{name}"], tensor)
    assert loaded["network.fc.weight"].shape == (6, 512)


def test_weights_without_a_classification_layer_fit(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    headless = {name: tensor for name, tensor in weights.items() if not name.startswith("fc.")}
    resnet18(SHAPE, 6, weights=_save(headless, tmp_path / "weights.safetensors"))


def test_a_missing_file_is_told_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(
        DefinitionError, match=r"no such file; .* Nothing is downloaded: download it"
    ):
        resnet18(SHAPE, 6, weights=str(tmp_path / "weights.pt"))


def test_weights_of_another_network_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    few = {name: tensor for name, tensor in weights.items() if "layer4" not in name}
    with pytest.raises(DefinitionError, match=r"do not fit the network; \d+ keys differ, such as"):
        resnet18(SHAPE, 6, weights=_save(few, tmp_path / "few.pt"))


def test_weights_of_other_shapes_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="do not fit the network"):
        resnet50(SHAPE, 6, weights=_save(weights, tmp_path / "of_18.pt"))
    grey = {**weights, "conv1.weight": weights["conv1.weight"][:, :1].contiguous()}
    with pytest.raises(DefinitionError, match="do not fit the network"):
        resnet18(SHAPE, 6, weights=_save(grey, tmp_path / "grey.pt"))


@pytest.mark.parametrize("file", ["weights.pt", "weights.safetensors"])
def test_a_file_that_holds_no_weights_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"not weights at all")
    with pytest.raises(DefinitionError, match="not a file of weights"):
        resnet18(SHAPE, 6, weights=str(tmp_path / file))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Path("pickled")}, tmp_path / "weights.pt")
    with pytest.raises(DefinitionError, match="not a file of weights"):
        resnet18(SHAPE, 6, weights=str(tmp_path / "weights.pt"))


def test_grey_levels_are_brought_to_the_scale_of_imagenet(generator: torch.Generator) -> None:
    encoder = resnet18(SHAPE, 6).eval()
    image = torch.rand(2, *SHAPE, generator=generator)
    scaled = torch.stack(
        [(image[:, 0] - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)], dim=1
    )
    torch.testing.assert_close(encoder(image), encoder.get_submodule("network")(scaled))
