"""Exported graphs of images, signals and vectors, and graphs that cannot be used."""

import copy
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper

from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.errors import DefinitionError
from clinical_symile.models.adapters.base import FrozenEncoder
from clinical_symile.models.encoders.onnx import Onnx
from clinical_symile.models.multimodal import build_encoder
from tests.helpers.tiny_encoders import onnx_arguments, pinned

IMAGE = (1, 32, 32)
SCALE: dict[str, Any] = {"mean": [0.5, 0.4, 0.3], "sd": [0.2, 0.3, 0.4]}


def _matrix(arguments: dict[str, Any]) -> torch.Tensor:
    (initializer,) = onnx.load(arguments["weights"]).graph.initializer
    return torch.from_numpy(numpy_helper.to_array(initializer).copy())


@pytest.fixture(autouse=True)
def _own_random_stream():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("batch", ["sample", 1])
def test_an_image_is_scaled_by_channel_and_multiplied(
    tmp_path: Path, batch: int | str, generator: torch.Generator
):
    arguments = onnx_arguments(tmp_path, batch=batch)
    encoder = Onnx(IMAGE, 6, **arguments, **SCALE)
    image = torch.rand(3, *IMAGE, generator=generator)
    mean, sd = (torch.tensor(SCALE[key])[:, None, None] for key in ("mean", "sd"))
    features = ((image - mean) / sd).flatten(1) @ _matrix(arguments)
    torch.testing.assert_close(encoder(image), encoder.head(features))


def test_a_signal_is_in_millivolts_at_the_rate_of_the_graph(
    tmp_path: Path, generator: torch.Generator
):
    arguments = onnx_arguments(tmp_path, shape=(2, 100))
    encoder = Onnx((2, 500), 6, **arguments, sampling_rate_hz=100, sd_mv=[2.0, 3.0])
    signal = torch.rand(3, 2, 500, generator=generator)
    in_mv = signal * torch.tensor([[2.0], [3.0]])
    features = in_mv.unflatten(2, (100, 5)).mean(3).flatten(1) @ _matrix(arguments)
    torch.testing.assert_close(encoder(signal), encoder.head(features))


@pytest.mark.parametrize(("stored", "graph"), [((4,), (4,)), ((2, 7), (14,)), ((2, 7), (2, 7))])
def test_vectors_are_read_as_they_are(
    tmp_path: Path, stored: tuple[int, ...], graph: tuple[int, ...], generator: torch.Generator
):
    arguments = onnx_arguments(tmp_path, shape=graph)
    encoder = Onnx(stored, 6, **arguments)
    vector = torch.rand(3, *stored, generator=generator)
    features = vector.flatten(1) @ _matrix(arguments)
    torch.testing.assert_close(encoder(vector), encoder.head(features))


def test_copies_share_the_graph_and_what_a_run_keeps_builds_it_again(
    tmp_path: Path, generator: torch.Generator
):
    encoder = Onnx(IMAGE, 6, **onnx_arguments(tmp_path), **SCALE)
    image = torch.rand(2, *IMAGE, generator=generator)
    assert torch.equal(copy.deepcopy(encoder)(image), encoder(image))
    again = Onnx(IMAGE, 6, weights=encoder.state_dict(), **SCALE)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(image), encoder(image))


def test_it_is_used_frozen_alone(tmp_path: Path):
    table = {"name": "onnx", **pinned(onnx_arguments(tmp_path)), **SCALE}
    with pytest.raises(ValueError, match="expected frozen = true"):
        build_encoder(EncoderConfig(**table), IMAGE, 6)
    made = build_encoder(EncoderConfig(**table, frozen=True), IMAGE, 6)
    assert isinstance(made, FrozenEncoder)
    assert [name for name, _ in made.named_parameters()] == [
        "encoder.head.weight",
        "encoder.head.bias",
    ]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "mean and sd are missing"),
        ({**SCALE, "output": "other"}, "expected one of features, same"),
        ({**SCALE, "output": "same"}, r"shape \[1, 3, 32, 32\] for one sample"),
        ({**SCALE, "size_px": 64}, "expected 32, which the graph reads"),
        ({**SCALE, "sd_mv": [1.0]}, r"sd_mv: not for inputs of shape \[1, 32, 32\]"),
        ({"mean": [0.5], "sd": [0.2]}, "does not accept inputs of shape"),
    ],
)
def test_arguments_that_do_not_fit_the_graph_are_refused(
    tmp_path: Path, arguments: dict[str, Any], match: str
):
    with pytest.raises(ValueError, match=match):
        Onnx(IMAGE, 6, **onnx_arguments(tmp_path), **arguments)


def test_signals_of_a_rate_that_is_no_divisor_are_refused(tmp_path: Path):
    arguments = onnx_arguments(tmp_path, shape=(2, 100))
    with pytest.raises(ValueError, match="sampling_rate_hz is 400; expected a divisor of 500"):
        Onnx((2, 500), 6, **arguments, sampling_rate_hz=400)
    with pytest.raises(ValueError, match="1 sd_mv; expected one for each of 2 leads"):
        Onnx((2, 500), 6, **arguments, sampling_rate_hz=100, sd_mv=[1.0])


def test_a_file_that_is_cut_or_keeps_weights_elsewhere_is_refused(tmp_path: Path):
    file = Path(onnx_arguments(tmp_path)["weights"])
    whole = file.read_bytes()
    model = onnx.load(file)
    onnx.save(
        model, tmp_path / "split.onnx", save_as_external_data=True, size_threshold=0, location="w"
    )
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    for name in ("split.onnx", "cut.onnx"):
        with pytest.raises(DefinitionError, match="expected a complete") as caught:
            Onnx(IMAGE, 6, weights=str(tmp_path / name), **SCALE)
        assert caught.value.problems[0].code == "CS-M029"
    two = onnx.load(file)
    for end, name in ((two.graph.input, "y"), (two.graph.output, "z")):
        end.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]))
    two.graph.node.append(onnx.helper.make_node("Identity", ["y"], ["z"]))
    onnx.save(two, tmp_path / "two.onnx")
    with pytest.raises(DefinitionError, match="the graph reads 2 inputs"):
        Onnx(IMAGE, 6, weights=str(tmp_path / "two.onnx"), **SCALE)
