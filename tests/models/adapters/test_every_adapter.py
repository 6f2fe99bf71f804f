"""Every adapter on every encoder that has layers for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.models.adapters.base import (
    AdaptedEncoder,
    OutputUpdate,
    WeightUpdate,
    encode_with,
)
from clinical_symile.models.multimodal import build_encoder
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import ADAPTERS
from tests.helpers.tiny_encoders import pinned, timm_arguments, transformers_arguments

ARGUMENTS: dict[str, dict[str, Any]] = {"lora": {"rank": 2}}
SMALL: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "small_cnn": ((1, 48, 40), {"size_px": 32, "channels": [4, 8]}),
    "resnet1d": ((12, 1000), {"width": 4}),
    "mlp": ((2, 7), {"hidden": [16], "centred": True}),
    "resnet18": ((1, 48, 40), {}),
    "resnet18_raster": ((12, 1000), {}),
}


def _adapted(name: str, folder: Path, adapter: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """The same encoder without and with an adapter, and inputs."""
    if name in SMALL:
        shape, arguments = SMALL[name]
    else:
        shape = (1, 48, 40)
        make = timm_arguments if name == "timm" else transformers_arguments
        arguments = pinned(make(folder))
    made = []
    for table in ({}, {"adapter": {"name": adapter, **ARGUMENTS.get(adapter, {})}}):
        torch.manual_seed(0)
        named = EncoderConfig.model_validate({"name": name, **table, **arguments})
        made.append(build_encoder(named, shape, 6))
    return (
        made[0].eval(),
        made[1],
        torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)),
    )


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", [*SMALL, "timm", "transformers"])
def test_every_encoder_begins_with_the_same_bytes_and_trains_few_weights(
    name: str, adapter: str, tmp_path: Path
):
    with torch.random.fork_rng(devices=[]):
        plain, adapted, inputs = _adapted(name, tmp_path, adapter)
    assert isinstance(adapted, AdaptedEncoder)
    with torch.no_grad():
        before = plain(inputs)
        assert before.numpy().tobytes() == adapted.eval()(inputs).numpy().tobytes()
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    of_head = {f"encoder.{n}" for n, p in plain.named_parameters() if _is_of_head(plain, p)}
    assert of_head <= trained
    rest = trained - of_head
    assert rest
    own_names = {f"encoder.{n}" for n, _ in plain.named_parameters()}
    assert not rest & own_names
    own = {n: p.clone() for n, p in adapted.named_parameters() if n not in trained}
    optimiser = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # LoRA's B is zero at first: its A moves in the second step
        optimiser.zero_grad()
        adapted.train()(inputs).square().sum().backward()
        optimiser.step()
    for key, value in own.items():
        assert torch.equal(dict(adapted.named_parameters())[key], value)
    assert not torch.equal(adapted.eval()(inputs), before)


def _is_of_head(encoder: nn.Module, parameter: nn.Parameter) -> bool:
    head = encoder.head
    assert isinstance(head, nn.Module)
    return any(parameter is one for one in head.parameters())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_running_statistics_and_the_mode_of_the_rest_stay(adapter: str, tmp_path: Path):
    with torch.random.fork_rng(devices=[]):
        _, adapted, inputs = _adapted("small_cnn", tmp_path, adapter)
    kept = {n: b.clone() for n, b in adapted.named_buffers() if ".final." not in n}
    adapted.train()(inputs)
    assert kept
    assert all(torch.equal(dict(adapted.named_buffers())[n], b) for n, b in kept.items())


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", SMALL)
def test_updates_for_one_batch_encode_as_those_that_are_attached(
    name: str, adapter: str, tmp_path: Path
):
    with torch.random.fork_rng(devices=[]):
        plain, adapted, inputs = _adapted(name, tmp_path, adapter)
        assert isinstance(adapted, AdaptedEncoder)
        made = resolve(adapter, ADAPTERS)(**ARGUMENTS.get(adapter, {}))
        torch.manual_seed(3)
        updates = made.updates(plain, head=plain.head)
        attached = [m for m in adapted.modules() if isinstance(m, WeightUpdate | OutputUpdate)]
        assert len(updates) == len(attached)
        with torch.no_grad():
            for update, other in zip(updates.values(), attached, strict=True):
                for one, same in zip(update.parameters(), other.parameters(), strict=True):
                    one.normal_()
                    same.copy_(one)
            before = plain(inputs)
            changed = encode_with(plain, updates, inputs)
            torch.testing.assert_close(changed, adapted.eval()(inputs))
            assert not torch.allclose(changed, before)
            assert torch.equal(plain(inputs), before)  # as it was
