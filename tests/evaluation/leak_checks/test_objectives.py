"""No registered objective leaks."""

from dataclasses import replace

import pytest
import torch

from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.rebar import Rebar
from clinical_symile.objectives.subsets import SubsetSum
from clinical_symile.objectives.symile import Symile
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_objective_leaks(name):
    assert list(objective_leaks(resolve(name, OBJECTIVES))) == []


@pytest.mark.parametrize(
    "objective", [Symile(negatives="shuffled"), SubsetSum(Symile, 3), SubsetSum(Clip, 3)]
)
def test_no_variant_of_an_objective_leaks(objective):
    assert list(objective_leaks(objective)) == []


def test_a_modality_that_a_view_left_out_is_not_read():
    class Greedy(Rebar):
        """Reads X-rays of a view that has the ECG alone."""

        def informed_loss(self, z, available, inputs, *, generator):
            loss = super().informed_loss(z, available, inputs, generator=generator)
            read = inputs.further[0].embeddings.z[available[:, 0], 0].sum()
            return replace(loss, total=loss.total + read)

    leaks = list(objective_leaks(Greedy()))
    assert any(leak.startswith("the loss changes") for leak in leaks)


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
