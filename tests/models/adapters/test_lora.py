"""LoRA by hand, and on every encoder that has layers for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.models.adapters.base import AdaptedEncoder
from clinical_symile.models.adapters.lora import Lora, LowRankUpdate
from clinical_symile.models.multimodal import build_encoder
from tests.helpers.tiny_encoders import pinned, timm_arguments, transformers_arguments

W = torch.tensor([[1.0, 2], [3, 4]])
SMALL: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "small_cnn": ((1, 48, 40), {"size_px": 32, "channels": [4, 8]}),
    "resnet1d": ((12, 1000), {"width": 4}),
    "mlp": ((2, 7), {"hidden": [16], "centred": True}),
    "resnet18": ((1, 48, 40), {}),
    "resnet18_raster": ((12, 1000), {}),
}


class Linear(nn.Module):
    """Two layers, of which the second is the head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x))


def test_the_changed_weight_is_that_of_the_hand_calculation():
    update = LowRankUpdate(W, rank=1, alpha=2.0)
    with torch.no_grad():
        update.a.copy_(torch.tensor([[1.0, -1]]))
        update.b.copy_(torch.tensor([[0.5], [2]]))
    assert torch.equal(update(W), torch.tensor([[2.0, 1], [7, 0]]))


def test_a_convolution_is_changed_as_the_matrix_of_its_kernels():
    weight = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    update = LowRankUpdate(weight, rank=2, alpha=3.0)
    with torch.no_grad():
        update.b.normal_(generator=torch.Generator().manual_seed(1))
    expected = weight.flatten(1) + 1.5 * update.b @ update.a
    torch.testing.assert_close(update(weight), expected.view(4, 3, 2))


def _adapted(name: str, folder: Path, rank: int) -> tuple[nn.Module, nn.Module, Tensor]:
    """The same encoder without and with an adapter, and inputs."""
    if name in SMALL:
        shape, arguments = SMALL[name]
    else:
        shape = (1, 48, 40)
        make = timm_arguments if name == "timm" else transformers_arguments
        arguments = pinned(make(folder))
    made = []
    for adapter in ({}, {"adapter": {"name": "lora", "rank": rank}}):
        torch.manual_seed(0)
        table = EncoderConfig.model_validate({"name": name, **adapter, **arguments})
        made.append(build_encoder(table, shape, 6))
    return (
        made[0].eval(),
        made[1],
        torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)),
    )


@pytest.mark.parametrize("name", [*SMALL, "timm", "transformers"])
def test_every_encoder_begins_with_the_same_bytes_and_trains_few_weights(name: str, tmp_path: Path):
    with torch.random.fork_rng(devices=[]):
        plain, adapted, inputs = _adapted(name, tmp_path, rank=2)
    assert isinstance(adapted, AdaptedEncoder)
    with torch.no_grad():
        before = plain(inputs)
        assert before.numpy().tobytes() == adapted.eval()(inputs).numpy().tobytes()
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    of_head = {f"encoder.{n}" for n, p in plain.named_parameters() if _is_of_head(plain, p)}
    assert of_head <= trained
    rest = trained - of_head
    assert rest
    assert all(".parametrizations.weight.0." in one for one in rest)
    own = {n: p.clone() for n, p in adapted.named_parameters() if n not in trained}
    optimiser = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # B is zero at first, so that A moves in the second step
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


def test_running_statistics_and_the_mode_of_the_rest_stay(tmp_path: Path):
    with torch.random.fork_rng(devices=[]):
        _, adapted, inputs = _adapted("small_cnn", tmp_path, rank=1)
    kept = {n: b.clone() for n, b in adapted.named_buffers() if ".final." not in n}
    adapted.train()(inputs)
    assert kept
    assert all(torch.equal(dict(adapted.named_buffers())[n], b) for n, b in kept.items())


def test_named_layers_alone_are_changed_and_a_name_without_a_layer_is_refused():
    encoder = Linear()
    assert Lora(rank=1, layers=["fir*"]).adapt(encoder, head=encoder.head) == 1
    other = Linear()
    with pytest.raises(ValueError, match=r"is named like third; the first layers are first"):
        Lora(rank=1, layers=["first", "third"]).adapt(other, head=other.head)
    assert not hasattr(other.first, "parametrizations")  # all or nothing


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"rank": True}, "rank is True"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"rank": 3}, "at most 2, the smaller side of layer 'first'"),
    ],
)
def test_a_rank_or_scale_that_fits_nothing_is_refused(arguments: dict[str, Any], match: str):
    encoder = Linear()
    with pytest.raises(ValueError, match=match):
        Lora(**arguments).adapt(encoder, head=encoder.head)
