"""Folders of transformers: RAD-DINO's kind, towers of CLIP and SigLIP, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.transformers import Transformers
from tests.helpers.tiny_encoders import transformers_arguments

SHAPE = (1, 32, 32)


@pytest.fixture(autouse=True)
def _own_random_stream():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "siglip"])
def test_features_are_the_pooled_output_on_an_image_prepared_as_the_folder_says(
    tmp_path: Path, kind: str, generator: torch.Generator
):
    arguments = transformers_arguments(tmp_path, kind=kind)
    encoder = Transformers(SHAPE, 6, **arguments).eval()
    image = torch.rand(2, *SHAPE, generator=generator)
    whole = transformers.AutoModel.from_pretrained(arguments["weights"]).eval()
    plain: Any = getattr(whole, "vision_model", whole)
    mean, sd = (torch.tensor(v)[:, None, None] for v in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    with torch.no_grad():
        ready = (image.expand(-1, 3, -1, -1) - mean) / sd
        expected = encoder.head(plain(pixel_values=ready).pooler_output)
        torch.testing.assert_close(encoder(image), expected)


def test_a_file_without_a_pooling_layer_gives_the_first_token(
    tmp_path: Path, generator: torch.Generator
):
    arguments = transformers_arguments(tmp_path)
    config: Any = transformers.AutoConfig.from_pretrained(arguments["weights"])
    plain = transformers.ViTModel(config, add_pooling_layer=False)
    plain.save_pretrained(arguments["weights"])
    encoder = Transformers(SHAPE, 6, **arguments).eval()
    assert not encoder.is_pooled
    image = torch.rand(2, *SHAPE, generator=generator)
    with torch.no_grad():
        ready = encoder.prepare(image)
        features = plain.eval()(pixel_values=ready).last_hidden_state[:, 0]
        torch.testing.assert_close(encoder(image), encoder.head(features))


@pytest.mark.parametrize(
    ("fields", "size", "mean"),
    [
        ({"size": {"shortest_edge": 48}, "do_center_crop": True, "crop_size": 32}, 32, 0.5),
        ({"size": {"shortest_edge": 32}}, 32, 0.5),
        ({"size": 32, "do_normalize": False}, 32, 0.0),
    ],
)
def test_the_forms_of_a_size_and_a_scale_that_folders_have(
    tmp_path: Path, fields: dict[str, Any], size: int, mean: float
):
    arguments = transformers_arguments(tmp_path, **fields)
    prepare = Transformers(SHAPE, 6, **arguments).prepare
    assert prepare.size_px == size
    assert float(prepare.mean[0]) == mean


def test_what_a_run_keeps_builds_the_network_again_without_the_folder(
    tmp_path: Path, generator: torch.Generator
):
    first = Transformers(SHAPE, 6, **transformers_arguments(tmp_path)).eval()
    again = Transformers(SHAPE, 6, weights=first.state_dict())
    again.load_state_dict(first.state_dict())
    image = torch.rand(2, *SHAPE, generator=generator)
    assert torch.equal(again.eval()(image), first(image))


def test_a_folder_with_code_without_files_or_with_other_weights_is_refused(tmp_path: Path):
    arguments = transformers_arguments(tmp_path)
    folder = Path(arguments["weights"])
    config = json.loads((folder / "config.json").read_text())

    def refused(match: str, **changes: Any) -> None:
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(DefinitionError, match=match) as caught:
            Transformers(SHAPE, 6, **arguments)
        assert caught.value.problems[0].code == "CS-M024"

    refused("without code of the folder", auto_map={"AutoModel": "modeling.Own"})
    refused("model_type 'own'", model_type="own")
    refused("do not fit the network", hidden_size=32)
    refused("do not fit the network", num_hidden_layers=2)
    (folder / "config.json").write_text("{")
    with pytest.raises(DefinitionError, match="cannot be read as JSON"):
        Transformers(SHAPE, 6, **arguments)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(DefinitionError, match="transformers cannot load the model"):
        Transformers(SHAPE, 6, **arguments)
    with pytest.raises(DefinitionError, match="no such folder"):
        Transformers(SHAPE, 6, weights=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("fields", "match"),
    [({"rescale_factor": 1 / 127.5}, "expected 1/255"), ({"size": None}, "states no size")],
)
def test_a_preparation_that_cannot_be_followed_is_refused(
    tmp_path: Path, fields: dict[str, Any], match: str
):
    with pytest.raises(ValueError, match=match):
        Transformers(SHAPE, 6, **transformers_arguments(tmp_path, **fields))
