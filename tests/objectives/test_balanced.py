"""Balanced CLIP and Symile against Sinkhorn sweeps of dense matrices and known values."""

import pytest
import torch

from clinical_symile.objectives.balanced import BalancedClip, BalancedSymile, balanced_clip_loss
from clinical_symile.objectives.symile import symile_loss
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import loss_value, unit_batch


def sinkhorn(cube, sweeps):
    """Divide the slices of every axis in turn by their sums."""
    for _ in range(sweeps):
        for axis in range(cube.ndim):
            others = [m for m in range(cube.ndim) if m != axis]
            cube = cube / cube.sum(dim=others, keepdim=True)
    return cube


def diagonal(cube):
    places = (torch.arange(len(cube)),) * cube.ndim
    return cube[places]


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_balanced_clip_is_that_of_sinkhorns_matrix(sweeps, rng):
    z = unit_batch(rng, 6, 2)
    matrix = (5 * z[:, 0] @ z[:, 1].T).exp()
    expected = -diagonal(sinkhorn(matrix, sweeps)).log().mean().item()
    found = loss_value(BalancedClip(sweeps=sweeps).double(), z, temperature=0.2)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_balanced_symile_is_that_of_sinkhorns_cube(modalities, rng):
    z = unit_batch(rng, 4, modalities)
    axes = "abcd"[:modalities]
    logits = torch.einsum(",".join(f"{a}z" for a in axes) + f"->{axes}", *z.unbind(dim=1))
    expected = -diagonal(sinkhorn((5 * logits).exp(), 3)).log().mean().item()
    found = loss_value(BalancedSymile(sweeps=3).double(), z, temperature=0.2)
    assert found == pytest.approx(expected, rel=1e-11)


def test_they_have_their_known_values(fixture_f):
    known = {1: 11.798133038084, 2: 11.717928771234, 5: 11.683581482822}
    for sweeps, expected in known.items():
        objective = BalancedClip(sweeps=sweeps).double()
        found = loss_value(objective, fixture_f[:, :2], temperature=0.1)
        assert found == pytest.approx(expected, abs=1e-10)
    for sweeps, expected in {1: 5.503153523143, 5: 5.432812144466}.items():
        objective = BalancedSymile(sweeps=sweeps).double()
        assert loss_value(objective, fixture_f, temperature=0.1) == pytest.approx(
            expected, abs=1e-10
        )


def test_the_limit_has_rows_and_columns_that_sum_to_one(rng):
    z = unit_batch(rng, 5, 2)
    balanced = sinkhorn((2 * z[:, 0] @ z[:, 1].T).exp(), 200)
    torch.testing.assert_close(balanced.sum(0), torch.ones(5).double())
    torch.testing.assert_close(balanced.sum(1), torch.ones(5).double())
    two = torch.tensor(2.0, dtype=torch.float64)
    found = balanced_clip_loss(z[:, 0], z[:, 1], two, sweeps=200).item()
    assert found == pytest.approx(-diagonal(balanced).log().mean().item(), rel=1e-10)


def test_equal_vectors_have_the_losses_of_guessing():
    z = torch.zeros(4, 3, 2, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    available = torch.ones(4, 3, dtype=torch.bool)
    assert loss_value(BalancedClip().double(), z) == pytest.approx(
        dense_clip_loss(z, one, available).item()
    )
    assert loss_value(BalancedSymile().double(), z) == pytest.approx(symile_loss(z, 1.0).item())


@pytest.mark.parametrize("make", [BalancedClip, BalancedSymile])
def test_no_sweep_is_refused(make):
    with pytest.raises(ValueError, match="sweeps is 0; expected a number of at least 1"):
        make(sweeps=0)
