"""Networks of timm: their own preparation, on weights of a local file."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.timm import Timm
from tests.helpers.tiny_encoders import timm_arguments

SHAPE = (1, 160, 160)


@pytest.fixture(autouse=True)
def _own_random_stream():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_features_are_those_of_timm_on_an_image_prepared_as_it_says(
    tmp_path: Path, architecture: str, generator: torch.Generator
):
    arguments = timm_arguments(tmp_path, architecture=architecture)
    encoder = Timm(SHAPE, 6, **arguments).eval()
    image = torch.rand(2, *SHAPE, generator=generator)
    plain: Any = timm.create_model(architecture, num_classes=3)
    plain.load_state_dict(load_file(arguments["weights"]))
    config = plain.pretrained_cfg
    mean, sd = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        ready = (image.expand(-1, 3, -1, -1) - mean) / sd
        features = plain.eval().forward_head(plain.forward_features(ready), pre_logits=True)
        torch.testing.assert_close(encoder(image), encoder.head(features))


def test_an_image_of_another_size_is_resized_whole(tmp_path: Path, generator: torch.Generator):
    encoder = Timm((1, 320, 320), 6, **timm_arguments(tmp_path)).eval()
    with torch.no_grad():
        corner = torch.zeros(1, 1, 320, 320)
        corner[..., :20, :20] = 1.0  # a crop of the centre would lose it
        assert not torch.equal(encoder(corner), encoder(torch.zeros(1, 1, 320, 320)))
        assert encoder.prepare(corner).shape == (1, 3, 160, 160)


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_a_smaller_input_and_one_channel_are_settings(tmp_path: Path, architecture: str):
    arguments = timm_arguments(tmp_path, architecture=architecture, in_chans=1)
    encoder = Timm((1, 48, 40), 6, **arguments, size_px=64, mean=[0.5], sd=[0.25]).eval()
    image = torch.full((1, 1, 48, 40), 0.75)
    assert encoder.prepare(image).shape == (1, 1, 64, 64)
    torch.testing.assert_close(encoder.prepare(image), torch.ones(1, 1, 64, 64))
    assert encoder(image).shape == (1, 6)


@pytest.mark.parametrize("name", ["test_vitt", "hf-hub:timm/test_vit", "local-dir:/tmp/x"])
def test_a_name_that_timm_does_not_have_is_refused(tmp_path: Path, name: str):
    arguments = {**timm_arguments(tmp_path), "architecture": name}
    with pytest.raises(ValueError, match="which timm does not know"):
        Timm(SHAPE, 6, **arguments)


def test_weights_of_another_network_and_pickles_are_refused(tmp_path: Path):
    arguments = timm_arguments(tmp_path)
    other = timm_arguments(tmp_path, architecture="test_resnet")
    with pytest.raises(DefinitionError, match=r"do not fit the network; \d+ keys differ"):
        Timm(SHAPE, 6, **{**arguments, "weights": other["weights"]})
    torch.save(load_file(arguments["weights"]), tmp_path / "w.pt")
    with pytest.raises(DefinitionError, match="expected safetensors"):
        Timm(SHAPE, 6, **{**arguments, "weights": str(tmp_path / "w.pt")})
    with pytest.raises(DefinitionError, match="no such file"):
        Timm(SHAPE, 6, **{**arguments, "weights": str(tmp_path / "none.safetensors")})
    few = {k: v for k, v in load_file(arguments["weights"]).items() if "blocks" not in k}
    save_file(few, tmp_path / "few.safetensors")
    with pytest.raises(DefinitionError, match="such as 'blocks"):
        Timm(SHAPE, 6, **{**arguments, "weights": str(tmp_path / "few.safetensors")})


def test_mean_and_sd_come_together(tmp_path: Path):
    with pytest.raises(ValueError, match="only one of mean and sd"):
        Timm(SHAPE, 6, **timm_arguments(tmp_path), mean=[0.5])
    with pytest.raises(ValueError, match="each sd above 0"):
        Timm(SHAPE, 6, **timm_arguments(tmp_path), mean=[0.5] * 3, sd=[1.0, 1.0, 0.0])
