"""CLIP with contrast inside modalities is CLIP without it, and hides one stretch of each input."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.modalities.labs import Labs
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.intra import IntraClip
from clinical_symile.objectives.views import EncodedView, hide_stretch
from tests.helpers.objective_values import unit_batch

MODALITIES = ("cxr", "ecg", "labs")


def _loss(objective: IntraClip, batch: Embeddings) -> torch.Tensor:
    return objective.training_loss(toy_input(objective, batch), group=None).total


def _batch(rng, samples: int = 6) -> Embeddings:
    z = unit_batch(rng, samples, dim=8)
    available = torch.from_numpy(rng.random((samples, 3)) < 0.8)
    available[:2] = True
    return Embeddings(z, available, MODALITIES, torch.arange(samples))


def test_without_weight_it_is_clip_to_the_bit_and_encodes_once(rng) -> None:
    objective, batch = IntraClip(weight=0.0).double(), _batch(rng)
    expected = clip_loss(batch.z, objective.logit_scale, available=batch.available)
    assert torch.equal(_loss(objective, batch), expected)
    inputs = Batch({"a": batch.z[:, 0]}, batch.available[:, :1], ("a",), batch.rows)
    drawn = torch.Generator().manual_seed(0)
    assert len(objective.views(inputs, generator=drawn, progress=0.0)) == 1


def test_the_contrast_inside_is_the_mean_of_cross_entropies(rng) -> None:
    objective, batch = IntraClip(weight=2.0, temperature=0.1).double(), _batch(rng)
    scale = objective.logit_scale.detach()
    (view,) = toy_input(objective, batch).further
    terms = []
    for m in range(3):
        has = batch.available[:, m]
        logits = scale * batch.z[has, m] @ view.embeddings.z[has, m].T
        terms.append(-logits.log_softmax(dim=1).diagonal().mean())
    expected = clip_loss(batch.z, scale, available=batch.available) + 2 * torch.stack(terms).mean()
    torch.testing.assert_close(_loss(objective, batch).detach(), expected, rtol=1e-10, atol=1e-10)


def test_the_second_view_has_no_gradient(rng) -> None:
    objective, batch = IntraClip().double(), _batch(rng)
    first, second = batch.z.clone().requires_grad_(), batch.z.flip(0).clone().requires_grad_()
    view = EncodedView(replace(batch, z=second))
    inputs = ObjectiveInput(replace(batch, z=first), SideInformation(batch.rows), (view,))
    objective.training_loss(inputs, group=None).total.backward()
    assert first.grad is not None
    assert second.grad is None


def test_substitutes_of_missing_recordings_are_not_contrasted_with_themselves(rng) -> None:
    objective, batch = IntraClip(temperature=0.1).double(), _batch(rng)
    given = replace(batch, substitute=unit_batch(rng, 1, dim=8)[0])
    z, every = given.with_substitutes()
    inside = [
        _loss(objective, one) - clip_loss(one_z, objective.logit_scale, available=available)
        for one, one_z, available in ((given, z, every), (batch, batch.z, batch.available))
    ]
    torch.testing.assert_close(inside[0], inside[1], rtol=1e-10, atol=1e-10)


def test_without_two_recordings_of_a_modality_it_is_clip(rng) -> None:
    z, available = unit_batch(rng, 3, dim=8), torch.eye(3, dtype=torch.bool)
    batch = Embeddings(z, available, MODALITIES, torch.arange(3), substitute=z[0])
    objective = IntraClip().double()
    assert torch.equal(
        _loss(objective, batch), clip_loss(batch.with_substitutes()[0], objective.logit_scale)
    )


def test_hidden_analytes_look_like_those_that_were_not_measured(
    synthetic_store: CohortStore,
) -> None:
    rows = np.flatnonzero(synthetic_store.present[:, synthetic_store.modalities.index("labs")])[:8]
    statistics = synthetic_store.manifest["modalities"]["labs"]["statistics"]
    measured = np.array(synthetic_store.array("labs")[rows])
    nothing = torch.from_numpy(synthetic_store.unmeasured("labs"))
    inputs = torch.from_numpy(Labs.transform(measured, statistics))
    batch = Batch({"labs": inputs}, torch.ones(8, 1, dtype=torch.bool), ("labs",), torch.arange(8))
    drawn = torch.Generator().manual_seed(0)
    given = replace(batch, unmeasured={"labs": nothing})
    _, view = IntraClip(hidden=0.4).views(given, generator=drawn, progress=0.0)
    starts = torch.Generator().manual_seed(0)
    ones = torch.ones(8, measured.shape[1])
    hidden = hide_stretch(ones, 0.4, generator=starts).numpy() == 0
    expected = Labs.transform(np.where(hidden, np.nan, measured), statistics)
    assert hidden.any(axis=1).all()
    assert torch.equal(view.batch.inputs["labs"], torch.from_numpy(expected))


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weight is -1.*hidden is 1"):
        IntraClip(weight=-1.0, hidden=1.0)
