"""No registered objective, missing-modality method, encoder or augmentation leaks."""

from functools import partial

import pytest
import torch

from clinical_symile.evaluation.leak_checks.components import (
    augmentation_leaks,
    encoder_leaks,
    missing_modality_leaks,
    objective_leaks,
)
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.subsets import SubsetSum
from clinical_symile.objectives.symile import Symile
from clinical_symile.registry.base import keyword_arguments, resolve
from clinical_symile.registry.families import (
    AUGMENTATIONS,
    ENCODERS,
    MISSING_MODALITY_METHODS,
    OBJECTIVES,
)
from tests.helpers.tiny_encoders import PRETRAINED

LARGE = ("resnet18", "resnet18_raster", "resnet18_stretched", "resnet50")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_objective_leaks(name):
    assert list(objective_leaks(resolve(name, OBJECTIVES))) == []


@pytest.mark.parametrize(
    "objective", [Symile(negatives="shuffled"), SubsetSum(Symile, 3), SubsetSum(Clip, 3)]
)
def test_no_variant_of_an_objective_leaks(objective):
    assert list(objective_leaks(objective)) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "imputed" else [])
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


REQUIRED = {"shift_image": {"most_px": 4}, "shift_signal": {"most_ms": 100}}


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_no_augmentation_leaks(name):
    augmentation = resolve(name, AUGMENTATIONS)(**REQUIRED.get(name, {}))
    assert list(augmentation_leaks(augmentation)) == []


def test_a_gradient_that_leaks_is_named_where_the_loss_is_right():
    class Stained(Clip):
        """Its loss is right, its gradient is not: a term that is zero where slots are zero."""

        def forward(self, embeddings, *, generator=None):
            stain = torch.where(torch.isnan(embeddings.z), 0.0, embeddings.z)[:, 2]
            absent = ~embeddings.available[:, 2]
            return (
                super().forward(embeddings)
                + 0 * self.logit_scale
                + (stain[absent] - stain[absent].detach()).sum()
            )

    leaks = list(objective_leaks(Stained()))
    assert any("the gradient of embeddings is not zero in hidden slots" in leak for leak in leaks)
    assert not any(leak.startswith("the loss") for leak in leaks)
