"""What every encoder of `names.py` promises, on the smallest input of its kind."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.registry.base import keyword_arguments, resolve
from clinical_symile.registry.families import ENCODERS
from tests.helpers.tiny_encoders import PRETRAINED

# The shape that is read, and what makes an encoder small, by the module it is in.
IMAGE = (1, 48, 40)
SHAPES = {
    "image": IMAGE,
    "waveform": (12, 1000),
    "tabular": (2, 7),
    "sets": (2, 7),
    "events": (5, 7),
}
SMALL: dict[str, dict[str, Any]] = {
    "small_cnn": {"size_px": 32, "channels": [4, 8]},
    "resnet1d": {"width": 4},
    "mlp": {"hidden": [16], "centred": True},
    "sets": {"width": 8, "heads": 2},
    "events": {"width": 8},
}
DIM = 6

WITH_TOKENS = [name for name in ENCODERS if "tokens" in keyword_arguments(name, ENCODERS)[0]]
CASES = [
    pytest.param(name, 1, marks=[pytest.mark.slow] if name == "xrayvision" else [])
    for name in ENCODERS
] + [
    pytest.param(name, 2, marks=[pytest.mark.slow] if name == "resnet50" else [])
    for name in WITH_TOKENS
]

pytestmark = pytest.mark.parametrize(("name", "tokens"), CASES)


def _shape(name: str) -> tuple[int, ...]:
    return SHAPES.get(ENCODERS[name].partition(":")[0].rpartition(".")[2], IMAGE)


@pytest.fixture(scope="module", autouse=True)
def _files_of_weights(tmp_path_factory: pytest.TempPathFactory):
    with torch.random.fork_rng(devices=[]):
        for name, arguments in PRETRAINED.items():
            if name != "xrayvision":
                SMALL[name] = arguments(tmp_path_factory.mktemp(name))
    yield
    for name in PRETRAINED:
        SMALL.pop(name, None)


@pytest.fixture(autouse=True)
def _file_of_the_large_one(name: str, tmp_path: Path):
    if name == "xrayvision":
        with torch.random.fork_rng(devices=[]):
            SMALL[name] = PRETRAINED[name](tmp_path)


def test_every_encoder_that_needs_a_file_has_one_here(name: str, tokens: int) -> None:
    needs = "weights" in keyword_arguments(name, ENCODERS)[1]
    assert needs == (name in PRETRAINED)


def _encoder(name: str, tokens: int, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    several = {} if tokens == 1 else {"tokens": tokens}
    return resolve(name, ENCODERS)(_shape(name), DIM, **SMALL.get(name, {}), **several)


@pytest.fixture(autouse=True)
def _own_random_stream():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.fixture
def inputs(name: str, generator: torch.Generator) -> Tensor:
    return torch.rand(3, *_shape(name), generator=generator)


def test_a_batch_becomes_one_vector_per_sample(name: str, tokens: int, inputs: Tensor) -> None:
    z = _encoder(name, tokens)(inputs)
    assert z.shape == (3, DIM)
    assert z.dtype == torch.float32
    assert z.isfinite().all()


def test_gradients_reach_every_parameter(name: str, tokens: int, inputs: Tensor) -> None:
    encoder = _encoder(name, tokens)
    encoder(inputs).square().sum().backward()
    without = [
        parameter_name
        for parameter_name, parameter in encoder.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_the_same_seed_gives_the_same_weights(name: str, tokens: int, inputs: Tensor) -> None:
    first, second, other = (
        _encoder(name, tokens),
        _encoder(name, tokens),
        _encoder(name, tokens, seed=1),
    )
    for key, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[key])
    assert not torch.equal(first.eval()(inputs), other.eval()(inputs))


def test_a_sample_is_encoded_alike_in_any_company(name: str, tokens: int, inputs: Tensor) -> None:
    encoder = _encoder(name, tokens).eval()
    together = encoder(inputs)
    for sample in range(3):
        torch.testing.assert_close(
            encoder(inputs[sample : sample + 1])[0], together[sample], rtol=1e-4, atol=1e-5
        )


def test_different_inputs_give_different_vectors(name: str, tokens: int, inputs: Tensor) -> None:
    z = _encoder(name, tokens).eval()(inputs)
    assert not torch.allclose(z[0], z[1])
