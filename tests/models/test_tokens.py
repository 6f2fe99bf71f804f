"""Tokens of encoders, and the encoders that have none."""

from typing import Any

import pytest
import torch
from torch import nn

from clinical_symile.models.adapters.base import AdaptedEncoder, FrozenEncoder
from clinical_symile.models.adapters.ssf import Ssf
from clinical_symile.models.encoders.image import SmallCnn
from clinical_symile.models.encoders.sets import AnalyteSet
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.tokens import TokenEncoder, existing_tokens, token_encoder
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import ENCODERS

IMAGE, SIGNAL = (1, 64, 96), (12, 1000)
# Shapes, arguments, and the number and the width of tokens.
CASES: dict[str, tuple[tuple[int, ...], dict[str, Any], tuple[int, int]]] = {
    "small_cnn": (IMAGE, {"size_px": 32, "channels": [4, 8]}, (64, 8)),
    "resnet18": (IMAGE, {}, (6, 512)),
    "resnet50": (IMAGE, {}, (6, 2048)),
    "resnet1d": (SIGNAL, {"width": 4}, (7, 32)),
    "resnet18_raster": (SIGNAL, {}, (32, 512)),
    "resnet18_stretched": (SIGNAL, {}, (32, 512)),
    "mlp": ((2, 7), {"hidden": [16], "centred": True}, (7, 2)),
    "sets": ((2, 7), {"width": 8, "heads": 2}, (8, 9)),
}


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_an_encoder_is_what_it_makes_of_its_tokens(name: str, blocks: int):
    shape, arguments, expected = CASES[name]
    if blocks > 1:
        if name in ("resnet18_stretched", "sets"):
            pytest.skip("its output has one block")
        arguments = {**arguments, "tokens": blocks}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = resolve(name, ENCODERS)(shape, 6, **arguments).eval()
    found = token_encoder(encoder, name="cxr")
    assert found.token_shape == expected
    inputs = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        tokens = found.tokens(inputs)
        assert tokens.shape == (2, *expected)
        torch.testing.assert_close(found.from_tokens(tokens), encoder(inputs))


def test_tokens_of_analytes_are_their_numbers():
    inputs = torch.arange(12.0).reshape(2, 2, 3)
    tokens = Mlp((2, 3), 4, hidden=[4]).tokens(inputs)
    assert tokens[0].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert Mlp((3,), 4, hidden=[4]).tokens(inputs[0])[0].tolist() == [[0], [1], [2]]


def test_tokens_that_do_not_exist_are_zero_and_all_others_exist():
    inputs = torch.tensor([[[0.1, torch.nan, 0.7], [1.0, 0.0, 1.0]]])
    encoder = AnalyteSet((2, 3), 4, width=8, heads=2)
    tokens, exists = existing_tokens(encoder, encoder.tokens(inputs))
    assert exists is not None
    assert exists.tolist() == [[True, True, False, True]]  # the learned one, and analytes
    assert (tokens[~exists] == 0).all()
    assert torch.equal(tokens[exists], encoder.tokens(inputs)[exists])
    plain = Mlp((2, 3), 4, hidden=[4])
    assert existing_tokens(plain, plain.tokens(inputs))[1] is None


def test_an_adapted_encoder_gives_the_tokens_of_the_changed_layers():
    inputs = torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(1))
    adapted = AdaptedEncoder(SmallCnn(IMAGE, 6, size_px=16, channels=[4]), Ssf()).eval()
    found = token_encoder(adapted, name="cxr")
    before = found.tokens(inputs)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "output_update" in name:
                parameter += 0.5
        assert not torch.allclose(found.tokens(inputs), before)
        torch.testing.assert_close(found.from_tokens(found.tokens(inputs)), adapted(inputs))


def test_an_encoder_without_tokens_is_refused_by_its_modality():
    frozen = FrozenEncoder(SmallCnn(IMAGE, 6, size_px=16, channels=[4]), IMAGE)
    for encoder in (nn.Linear(2, 2), frozen):
        assert not isinstance(encoder, TokenEncoder)
        with pytest.raises(ValueError, match=r"encoders\.ecg is a \w+, which gives no tokens"):
            token_encoder(encoder, name="ecg")
