"""Encoders of which only a part is trained: their features, modes and gradients."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.models.adapters.base import (
    FrozenEncoder,
    HeadlessEncoderError,
    freeze,
    head_of,
)
from clinical_symile.models.encoders.image import SmallCnn
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.encoders.waveform import ResNet1d
from clinical_symile.models.gradient_cache import batch_dependent_modules

SHAPE = (1, 32, 32)


@pytest.fixture
def frozen() -> FrozenEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FrozenEncoder(SmallCnn(SHAPE, 6, size_px=16, channels=[4, 8]), SHAPE)


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.rand(5, *SHAPE, generator=generator)


def test_only_the_head_has_gradients_and_is_in_training(frozen: FrozenEncoder, images: Tensor):
    frozen.train()(images).sum().backward()
    for name, parameter in frozen.named_parameters():
        assert (parameter.grad is not None) == (".final." in name), name
    modes = {m.training for m in head_of(frozen.encoder).modules()}
    assert modes == {True}
    # what is left that depends on the batch is the head's own centring
    assert all(".final." in one for one in batch_dependent_modules(frozen))
    before = frozen.features(images)
    nn.Sequential(frozen).train()  # as a model sets its parts
    assert torch.equal(frozen.features(images), before)


def test_features_in_place_of_measurements_give_the_same_bits(
    frozen: FrozenEncoder, images: Tensor
):
    for mode in (True, False):
        frozen.train(mode)
        one, other = copy.deepcopy(frozen), copy.deepcopy(frozen)
        assert torch.equal(one(images), other(other.features(images)))


def test_features_of_a_sample_depend_on_no_other_sample(frozen: FrozenEncoder, images: Tensor):
    together = frozen.features(images)
    assert torch.equal(together[2:3], frozen.features(images[2:3]))
    assert torch.equal(together.flip(0), frozen.features(images.flip(0)))
    assert not together.requires_grad


def test_heads_are_the_last_layers():
    with torch.random.fork_rng(devices=[]):
        for encoder in (Mlp((2, 7), 6, hidden=[4]), ResNet1d((12, 1000), 6, width=4)):
            freeze(encoder)
            trained = [p for p in encoder.parameters() if p.requires_grad]
            assert [p.shape[0] for p in trained] == [6, 6]  # weight and bias of the output


def test_an_encoder_without_a_head_is_refused(tmp_path: Path):
    for encoder in (nn.Linear(2, 2), Mlp((2, 7), 6, hidden=[4], tokens=2)):
        with pytest.raises(HeadlessEncoderError, match="has no module `head`"):
            FrozenEncoder(encoder, (2,))
