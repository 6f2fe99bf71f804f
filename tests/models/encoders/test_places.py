"""A block of an encoder's output is of one place of its input; one block changes no encoder."""

from itertools import product
from math import prod
from typing import Any

import pytest
import torch
import torchvision
from monai.networks.nets.regressor import Regressor
from monai.networks.nets.resnet import ResNet, ResNetBlock
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders._places import image_grid
from clinical_symile.models.multimodal import build_model
from clinical_symile.registry.base import keyword_arguments, resolve
from clinical_symile.registry.families import ENCODERS
from tests.helpers.synthetic import tiny

NAMES = sorted(name for name in ENCODERS if "tokens" in keyword_arguments(name, ENCODERS)[0])
WITH_PLACES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "resnet50" else name for name in NAMES
]
DIM = 256  # so wide that no block depends on a few weights
# Inputs with room for the network's view around each place.
SHAPES = {
    "mlp": (2, 11),
    "resnet18": (1, 192, 192),
    "resnet18_raster": (12, 2000),
    "resnet1d": (12, 5000),
    "resnet50": (1, 192, 192),
    "small_cnn": (1, 64, 64),
}
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [16], "centred": True},
    "resnet1d": {"width": 4},
    "small_cnn": {"channels": [4, 8]},
}


@pytest.fixture(autouse=True)
def _own_random_stream():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _encoder(name: str, tokens: int, *, dim: int = DIM) -> nn.Module:
    return resolve(name, ENCODERS)(SHAPES[name], dim, **SMALL.get(name, {}), tokens=tokens)


def _places(name: str, tokens: int) -> list[tuple[slice, ...]]:
    """Return the middle of each place of an input, as slices of its last axes."""
    if name == "mlp":
        parts = torch.arange(SHAPES[name][-1]).tensor_split(tokens)
        return [(slice(int(part[0]), int(part[-1]) + 1),) for part in parts]
    sides = SHAPES[name][1:]
    grid = (tokens,) if len(sides) == 1 else image_grid(tokens)
    cells = [side // parts for side, parts in zip(sides, grid, strict=True)]
    return [
        tuple(
            slice(place * cell + cell // 3, (place + 1) * cell - cell // 3)
            for place, cell in zip(places, cells, strict=True)
        )
        for places in product(*map(range, grid))
    ]


def _changes(name: str, tokens: int) -> Tensor:
    """Return how much each block changes with each place of the input."""
    encoder = _encoder(name, tokens).eval()
    inputs = torch.rand(2, *SHAPES[name], generator=torch.Generator().manual_seed(1))
    found = []
    with torch.inference_mode():
        before = encoder(inputs).unflatten(1, (tokens, -1))
        for place in _places(name, tokens):
            changed = inputs.clone()
            changed[..., *place] = 1.5
            found.append((encoder(changed).unflatten(1, (tokens, -1)) - before).norm(dim=2))
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("name", WITH_PLACES)
def test_a_place_changes_its_own_block_most(name: str) -> None:
    assert (_changes(name, 4).argmax(dim=2) == torch.arange(4)).all()


@pytest.mark.parametrize("tokens", [2, 4, 8])
@pytest.mark.parametrize("name", ["mlp", "small_cnn"])
def test_a_place_changes_no_other_block(name: str, tokens: int) -> None:
    changes = _changes(name, tokens)
    own = torch.eye(tokens, dtype=torch.bool)
    assert (changes[:, own] > 0).all()
    assert (changes[:, ~own] == 0).all()


@pytest.mark.parametrize(
    ("tokens", "grid"), [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (6, (2, 3)), (7, (1, 7))]
)
def test_a_grid_is_as_square_as_its_number_allows(tokens: int, grid: tuple[int, int]) -> None:
    assert image_grid(tokens) == grid


def _as_it_was(name: str) -> nn.Module:
    """Return an encoder of one block, from the parts of other libraries."""
    if name == "small_cnn":
        network = Regressor(
            SHAPES[name], (DIM,), channels=[4, 8], strides=[2, 2], num_res_units=0, norm="BATCH"
        )
        flatten, last = network.final
        network.final = nn.Sequential(flatten, nn.BatchNorm1d(8 * 16**2, affine=False), last)
    elif name == "resnet1d":
        network = ResNet(
            ResNetBlock,
            [1] * 4,
            [4, 8, 16, 32],
            spatial_dims=1,
            n_input_channels=12,
            conv1_t_size=7,
            conv1_t_stride=2,
            num_classes=DIM,
        )
        assert network.fc is not None
        network.add_module("fc", nn.Sequential(nn.BatchNorm1d(32, affine=False), network.fc))
    elif name == "mlp":
        width = prod(SHAPES[name])
        parts = nn.BatchNorm1d(width, affine=False), nn.Linear(width, 16), nn.GELU()
        network = nn.Sequential(nn.Flatten(), *parts, nn.Linear(16, DIM))
    else:
        made = "resnet50" if name == "resnet50" else "resnet18"
        network = getattr(torchvision.models, made)()
        if name == "resnet18_raster":
            network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        network.fc = nn.Linear(network.fc.in_features, DIM)
    return network


@pytest.mark.parametrize("name", WITH_PLACES)
def test_with_one_token_it_is_the_network_as_it_was(name: str) -> None:
    expected = _as_it_was(name)
    torch.manual_seed(0)
    found = _encoder(name, 1).get_submodule("network")
    weights, expected_weights = found.state_dict(), expected.state_dict()
    assert list(weights) == list(expected_weights)
    assert all(torch.equal(weights[key], value) for key, value in expected_weights.items())
    assert str(found) == str(expected)


@pytest.mark.parametrize("name", WITH_PLACES)
def test_tokens_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="tokens is 4; expected a divisor of the width 6"):
        _encoder(name, 4, dim=6)
    with pytest.raises(ValueError, match="tokens is 0; expected a whole number of 1 or more"):
        _encoder(name, 0)
    with pytest.raises(ValueError, match=r"tokens is 5000, a grid of .*; expected one that fits"):
        _encoder(name, 5000, dim=5000)


def test_a_map_that_has_no_equal_cells_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"a grid of 1 by 3; expected one that divides .* 16 by 16"
    ):
        _encoder("small_cnn", 3, dim=9)


def test_an_encoder_without_places_is_refused_by_name(catalog: Catalog) -> None:
    with pytest.raises(DefinitionError, match=r"encoders\.ecg: .*'tokens'.*resnet18_str"):
        tiny(catalog, "pretraining/clip", 'encoders.ecg={name="resnet18_stretched", tokens=4}')


def test_tokens_of_gaussian_embeddings_are_refused(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = tiny(catalog, "pretraining/objectives/probmed", "encoders.labs.tokens=2")
    with pytest.raises(DefinitionError, match=r"encoders\.labs: tokens is 2, but .* 'probmed' rea"):
        build_model(task, synthetic_store, seed=0, spread=True)
