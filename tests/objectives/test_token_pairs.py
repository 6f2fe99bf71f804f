"""Kernel InfoNCE and MACL against loops and known values."""

import math
from itertools import combinations

import pytest
import torch

from clinical_symile.objectives.token_pairs import KernelMixture, Macl
from tests.helpers.objective_values import connected, loss_value, unit_batch


def log_probabilities(x, y, logit):
    """log p of the partner of each of the 2 n embeddings among all others."""
    tokens, n = [*x, *y], len(x)
    found = []
    for i, token in enumerate(tokens):
        logits = {j: logit(token, other) for j, other in enumerate(tokens) if j != i}
        partner = (i + n) % (2 * n)
        found.append(logits[partner] - math.log(sum(math.exp(v) for v in logits.values())))
    return found


def kernel_in_loops(x, y, power, share, tau):
    total = 0.0
    for weight, exponent in ((share, power), (1 - share, 2.0)):

        def logit(a, b, exponent=exponent):
            return -(float((a - b).square().sum()) ** (exponent / 2)) / tau

        total -= weight * sum(log_probabilities(x, y, logit)) / (2 * len(x))
    return total


def macl_in_loops(x, y, tau, slope, offset):
    aligned = sum(float(a @ b) for a, b in zip(x, y, strict=True)) / len(x)
    tau = tau * (1 + slope * (aligned - offset))
    found = log_probabilities(x, y, lambda a, b: float(a @ b) / tau)
    return sum(-lp / (1 - math.exp(lp) + 1e-8) for lp in found) / len(found)


def mean_over_pairs(in_loops, z, available):
    expected = []
    for a, b in combinations(range(z.shape[1]), 2):
        both = available[:, a] & available[:, b]
        expected.append(in_loops(z[both, a], z[both, b]))
    return sum(expected) / len(expected)


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.5), (0.5, 1.0), (2.0, 0.0)])
def test_kernel_infonce_is_its_definition_in_loops(power, share, rng):
    z = unit_batch(rng, 5)
    available = torch.from_numpy(rng.random((5, 3)) < 0.8)
    available[:2] = True
    found = loss_value(
        KernelMixture(power=power, share=share).double(), z, available, temperature=0.4
    )
    expected = mean_over_pairs(lambda x, y: kernel_in_loops(x, y, power, share, 0.4), z, available)
    assert found == pytest.approx(expected, rel=1e-9)


def test_kernel_infonce_has_its_known_values(fixture_f):
    pair = fixture_f[:, :2]
    nt_xent = loss_value(KernelMixture(power=2.0).double(), pair, temperature=0.2)
    assert nt_xent == pytest.approx(12.256015960938, abs=1e-10)
    laplace = loss_value(KernelMixture(power=1.0, share=1.0).double(), pair, temperature=0.2)
    assert laplace == pytest.approx(5.318483748794, abs=1e-10)


def test_equal_embeddings_have_finite_gradients():
    z = torch.ones(4, 3, 2, dtype=torch.float64)
    found = loss_value(KernelMixture(share=1.0).double(), z)
    assert found == pytest.approx(math.log(7))


def test_macl_is_its_definition_in_loops(rng):
    z = unit_batch(rng, 5)
    available = torch.from_numpy(rng.random((5, 3)) < 0.8)
    available[:2] = True
    objective = connected(Macl(slope=0.4, offset=0.1))
    found = loss_value(objective, z, available, temperature=0.2)
    expected = mean_over_pairs(lambda x, y: macl_in_loops(x, y, 0.2, 0.4, 0.1), z, available)
    assert found == pytest.approx(expected, rel=1e-10)


def test_macl_has_its_known_value(fixture_f):
    found = loss_value(connected(Macl(), dim=3), fixture_f[:, :2], temperature=0.1)
    assert found == pytest.approx(15.825997960432, abs=1e-10)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"power is 0.0; .* share is 2.0; expected"):
        KernelMixture(power=0.0, share=2.0)
    with pytest.raises(ValueError, match=r"slope is 1.0 with offset 0.0: a temperature could be 0"):
        Macl(slope=1.0)
