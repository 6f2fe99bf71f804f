"""M3Co equals known values; each mixed sample aligns with both of its sources."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.objectives.infonce import two_way_soft_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.soft_targets import product_targets
from clinical_symile.objectives.mixed import M3Co, mixed_loss
from clinical_symile.objectives.views import EncodedView, Mixing
from tests.helpers.objective_values import loss_value, unit_batch

TEN, EIGHT = (torch.tensor(value, dtype=torch.float64) for value in (10.0, 8.0))
CYCLE = ((0, 1), (1, 2), (2, 0))


def _mixing(partners: list[int], shares: list[float]) -> Mixing:
    """The same for each of three modalities."""
    rows = torch.tensor(partners)[:, None].expand(4, 3)
    return Mixing(rows, torch.tensor(shares, dtype=torch.float64)[:, None].expand(4, 3))


def _mixed(z: Tensor, mixing: Mixing) -> Tensor:
    """Embeddings mixed as if they were inputs, scaled to length 1."""
    shares = mixing.shares[:, :1, None]
    return normalize(shares * z + (1 - shares) * z[mixing.partners[:, 0]], dim=2)


def _in_loops(mixed: Tensor, plain: Tensor, partners: list[int], shares: list[float]) -> float:
    """The mean of both directions' cross-entropies, written out."""
    n, total = len(plain), 0.0
    logits = 10 * mixed @ plain.T
    for i in range(n):
        for j in range(n):
            target = (shares[i] if i == j else 0.0) + (1 - shares[i] if partners[i] == j else 0.0)
            row = logits[i, j] - logits[i].exp().sum().log()
            column = logits[i, j] - logits[:, j].exp().sum().log()
            total -= target * float(row + column) / (2 * n)
    return total


def test_each_pair_of_the_cycle_and_their_mean_have_the_golden_values(fixture_f: Tensor) -> None:
    mixing = _mixing([1, 2, 3, 0], [0.7, 1.0, 0.4, 1.0])
    mixed = _mixed(fixture_f, mixing)
    found = [
        mixed_loss(mixed[:, a], fixture_f[:, b], TEN, mixing.partners[:, 0], mixing.shares[:, 0])
        for a, b in CYCLE
    ]
    expected = [7.842091626885, 7.721468186208, 8.576586863826]
    assert [value.item() for value in found] == pytest.approx(expected, abs=1e-10)
    names, rows = ("cxr", "ecg", "labs"), torch.arange(4)
    every = torch.ones(4, 3, dtype=torch.bool)
    inputs = ObjectiveInput(
        Embeddings(fixture_f, every, names, rows),
        SideInformation(rows),
        (EncodedView(Embeddings(mixed, every, names, rows), mixing),),
    )
    objective = M3Co().double()
    with torch.no_grad():
        assert objective.log_logit_scale is not None
        objective.log_logit_scale.copy_(TEN.log())
    total = objective.training_loss(inputs, group=None).total
    assert total.item() == pytest.approx(8.046715558973, abs=1e-10)


def test_a_sample_that_is_its_own_partner_keeps_its_whole_target(fixture_f: Tensor) -> None:
    partners, shares = [0, 2, 3, 1], [0.3, 0.7, 1.0, 0.4]
    mixing = _mixing(partners, shares)
    mixed = _mixed(fixture_f, mixing)[:, 0]
    found = mixed_loss(mixed, fixture_f[:, 1], TEN, mixing.partners[:, 0], mixing.shares[:, 0])
    assert found.item() == pytest.approx(12.869291308499, abs=1e-10)
    assert found.item() == pytest.approx(_in_loops(mixed, fixture_f[:, 1], partners, shares))


def test_soft_targets_have_the_golden_values(fixture_f: Tensor) -> None:
    pairs = []
    for a, b in CYCLE:
        targets = product_targets(fixture_f[:, b], fixture_f[:, b], 8.0)
        found = two_way_soft_loss(fixture_f[:, a], fixture_f[:, b], EIGHT, targets, targets)
        pairs.append(found.item())
    expected = [9.766972583416, 9.998458870124, 6.255954747845]
    assert pairs == pytest.approx(expected, abs=1e-10)
    late = loss_value(M3Co(soft_from=0.0).double(), fixture_f, temperature=0.125)
    assert late == pytest.approx(8.673795400462, abs=1e-10)


def test_without_mixing_it_is_clip_of_the_cycle(rng) -> None:
    z = unit_batch(rng, 6)
    found = loss_value(M3Co(mixed_share=0.0).double(), z, temperature=0.1)
    expected = 0.0
    for a, b in CYCLE:
        logits = 10 * z[:, a] @ z[:, b].T
        both = logits.log_softmax(dim=1).diagonal() + logits.log_softmax(dim=0).diagonal()
        expected -= float(both.mean()) / 2 / 3
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_second_view_ends_where_targets_become_soft(generator: torch.Generator) -> None:
    inputs = {name: torch.randn(4, 2, generator=generator) for name in ("a", "b")}
    batch = Batch(inputs, torch.ones(4, 2, dtype=torch.bool), ("a", "b"), torch.arange(4))
    objective, counts = M3Co(soft_from=0.5), []
    for progress in (0.0, 0.49, 0.5, 1.0):
        drawn = torch.Generator().manual_seed(0)
        counts.append(len(objective.views(batch, generator=drawn, progress=progress)))
    assert counts == [2, 2, 1, 1]


def test_a_missing_partner_takes_no_part(rng) -> None:
    z = unit_batch(rng, 8)
    available = torch.ones(8, 3, dtype=torch.bool)
    available[[1, 4, 6], 2] = available[3, 0] = False
    objective, losses = M3Co(mixed_share=1.0).double(), []
    for junk in (0.0, 3.0, torch.nan):
        hidden = torch.where(available[:, :, None], z, junk)
        batch = Embeddings(hidden, available, ("cxr", "ecg", "labs"), torch.arange(8))
        inputs = toy_input(objective, batch)
        (view,) = inputs.further
        assert view.mixing is not None
        assert (view.mixing.shares[available] < 1).all()
        losses.append(objective.training_loss(inputs, group=None).total.item())
    assert losses[0] == losses[1] == losses[2]


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mixed_share is 2.*concentration is 0.*"):
        M3Co(mixed_share=2.0, concentration=0.0)
