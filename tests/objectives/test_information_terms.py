"""MCR's terms for shared and for irrelevant information: known values, by hand, and in a loss."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.information_terms import Restoration, label_contrast
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.outcome import Supervised
from tests.helpers.objective_values import connected, unit_batch

MODALITIES = ("cxr", "ecg", "labs")
NAN = float("nan")
ONE_LABEL = torch.tensor([[0.0], [1.0], [0.0], [2.0]])
GAP = torch.tensor([[True, True, True]] * 3 + [[True, True, False]])


@pytest.mark.parametrize(
    ("labels", "whole", "with_gap"),
    [
        (ONE_LABEL, 10.940208125785, 10.917042370130),
        (torch.full((4, 1), NAN), 12.175920554289, 12.265092292135),
    ],
)
def test_the_contrast_by_labels_has_the_known_values(
    labels: Tensor, whole: float, with_gap: float, fixture_f: Tensor
) -> None:
    every = torch.ones(4, 3, dtype=torch.bool)
    for available, expected in ((every, whole), (GAP, with_gap)):
        found = label_contrast(fixture_f, available, labels, temperature=0.1)
        assert found is not None
        assert found.item() == pytest.approx(expected, abs=1e-10)


def test_a_vector_without_a_positive_is_left_out_and_alone_there_is_no_contrast() -> None:
    z = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [9.0, 9.0]]], dtype=torch.float64)
    available = torch.tensor([[True, True], [True, False]])
    labels = torch.tensor([[1.0], [0.0]])
    found = label_contrast(z, available, labels)
    # Both vectors of the first sample are each other's positive: softmax over it and the second's.
    expected = [np.log(1 + np.exp((share - 0.0) / 0.5)) for share in (0.6, 0.8)]
    assert found is not None
    assert found.item() == pytest.approx(np.mean(expected))
    alone = torch.tensor([[True, False], [True, False]])
    assert label_contrast(z, alone, labels) is None


def test_what_is_missing_changes_neither_term_nor_a_gradient(rng: np.random.Generator) -> None:
    restoration = Restoration(1, 3, 4).double()
    found = []
    for hidden in (0.0, 1e6):
        z = torch.from_numpy(rng.normal(size=(4, 3, 4))) if not found else found[0][0].detach()
        z = torch.where(GAP[:, :, None], z, hidden).requires_grad_()
        contrast = label_contrast(z, GAP, ONE_LABEL)
        rest = restoration(z, GAP, torch.tensor([[0.3], [-1.0], [2.0], [0.0]]).double())
        assert contrast is not None
        (contrast + rest).backward()
        assert z.grad is not None
        assert not z.grad[3, 2].any()
        found.append((z, contrast.item(), rest.item(), z.grad))
    assert found[0][1:3] == pytest.approx(found[1][1:3])
    torch.testing.assert_close(found[0][3], found[1][3])


def test_the_restoration_is_two_layers_of_the_prediction_by_hand(rng: np.random.Generator) -> None:
    restoration = Restoration(1, 2, 3).double()
    first, last = (weight.detach().numpy() for weight in restoration.parameters())
    z = rng.normal(size=(2, 2, 3))
    available = torch.tensor([[True, True], [False, True]])
    log_odds = torch.tensor([[0.4], [-1.2]], dtype=torch.float64, requires_grad=True)
    found = restoration(torch.from_numpy(z), available, log_odds)
    errors = []
    for i, odds in enumerate((0.4, -1.2)):
        p = 1 / (1 + np.exp(-odds))
        restored = (last @ np.maximum(first @ [1 - p, p], 0)).reshape(2, 3)
        errors += [(restored[m] - z[i, m]) ** 2 for m in range(2) if available[i, m]]
    assert found.item() == pytest.approx(np.mean(errors))
    found.backward()
    assert log_odds.grad is None  # the prediction gets no gradient
    assert all(weight.grad is not None for weight in restoration.parameters())


def test_the_terms_enter_the_loss_with_their_weights_and_weights_of_0_are_the_task(rng) -> None:
    z = unit_batch(rng, 5)
    available = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0]]).bool()
    labels = torch.tensor([[1.0, 0.0], [0.0, NAN], [1.0, 1.0], [NAN, NAN], [0.0, 1.0]])
    embeddings = Embeddings(z, available, MODALITIES, torch.arange(5))
    inputs = ObjectiveInput(embeddings, SideInformation(embeddings.rows, labels=labels))
    plain = connected(Supervised()).training_loss(inputs, group=None)
    objective = connected(Supervised(shared=0.1, irrelevant=0.01))
    found = objective.training_loss(inputs, group=None)
    assert found.terms.keys() - plain.terms.keys() == {"shared", "irrelevant"}
    taught = torch.tensor([0, 1, 2, 4])
    hidden = torch.where(available[:, :, None], z, 0.0)[taught]
    contrast = label_contrast(hidden, available[taught], labels[taught])
    assert contrast is not None
    assert found.terms["shared"].item() == pytest.approx(0.1 * contrast.item())
    log_odds = objective.log_odds(embeddings.take(taught))
    scaled = objective.input_scale * hidden
    rest = objective.restoration(scaled, available[taught], log_odds)
    assert found.terms["irrelevant"].item() == pytest.approx(0.01 * rest.item())
    both = found.terms["shared"] + found.terms["irrelevant"]
    assert found.total.item() == pytest.approx((plain.total + both).item())
    told = "is -1.0; expected a number of at least 0"
    with pytest.raises(ValueError, match=re.escape(f"shared {told}")):
        Supervised(shared=-1.0)
    with pytest.raises(ValueError, match=re.escape(f"irrelevant {told}")):
        Supervised(irrelevant=-1.0)
