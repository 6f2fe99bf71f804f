"""No registered missing-modality method, encoder or augmentation leaks."""

from functools import partial

import pytest
import torch

from clinical_symile.evaluation.leak_checks.components import (
    augmentation_leaks,
    encoder_leaks,
    missing_modality_leaks,
)
from clinical_symile.registry.base import keyword_arguments, resolve
from clinical_symile.registry.families import (
    AUGMENTATIONS,
    ENCODERS,
    MISSING_MODALITY_METHODS,
)
from tests.helpers.tiny_encoders import PRETRAINED

LARGE = ("resnet18", "resnet18_raster", "resnet18_stretched", "resnet50")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "imputed" in name else [])
        for name in MISSING_MODALITY_METHODS
    ],
)
def test_no_missing_modality_method_leaks(name):
    method = resolve(name, MISSING_MODALITY_METHODS)
    assert list(missing_modality_leaks(method)) == []


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - set(LARGE) - set(PRETRAINED)))
def test_no_encoder_leaks(name):
    encoder = resolve(name, ENCODERS)
    assert list(encoder_leaks(encoder)) == []
    if "tokens" in keyword_arguments(name, ENCODERS)[0]:
        assert list(encoder_leaks(partial(encoder, tokens=2))) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "xrayvision" else [])
        for name in sorted(PRETRAINED)
    ],
)
def test_no_pretrained_encoder_leaks(name, tmp_path):
    with torch.random.fork_rng(devices=[]):
        arguments = PRETRAINED[name](tmp_path)
    assert list(encoder_leaks(partial(resolve(name, ENCODERS), **arguments))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_no_large_encoder_leaks(name):
    assert list(encoder_leaks(resolve(name, ENCODERS))) == []


def test_checking_an_encoder_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    assert list(encoder_leaks(resolve("sets", ENCODERS))) == []
    assert torch.equal(torch.get_rng_state(), before)


REQUIRED = {"shift_image": {"most_px": 4}, "shift_signal": {"most_ms": 100}}


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_no_augmentation_leaks(name):
    augmentation = resolve(name, AUGMENTATIONS)(**REQUIRED.get(name, {}))
    assert list(augmentation_leaks(augmentation)) == []
