"""The loss over pairs of modalities against loops, dense matrices and the paper's code."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from clinical_symile.objectives import infonce
from clinical_symile.objectives.infonce import clip_loss, one_way_losses, two_way_losses
from clinical_symile.objectives.kernels import _tiles
from tests.helpers.dense import dense_clip_loss


def loss_in_loops(z, scale, available):
    """For each pair of modalities with two samples: cross-entropy in both directions, halved."""
    pairs = []
    for a, b in combinations(range(z.shape[1]), 2):
        both = [i for i in range(len(z)) if available[i, a] and available[i, b]]
        if len(both) < 2:
            continue
        total = 0.0
        for i in both:
            right = scale * (z[i, a] @ z[i, b])
            forth = math.log(sum(math.exp(scale * (z[i, a] @ z[j, b])) for j in both)) - right
            back = math.log(sum(math.exp(scale * (z[j, a] @ z[i, b])) for j in both)) - right
            total += (forth + back) / 2 / len(both)
        pairs.append(total)
    return pairs


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_loss_is_its_definition_in_loops(n, modalities, rng):
    for share in (1.0, 0.8, 0.5):
        z = rng.standard_normal((n, modalities, 4))
        available = rng.random((n, modalities)) < share
        pairs = loss_in_loops(z, 1.7, available)
        if not pairs:
            continue
        arguments = torch.from_numpy(z), 1.7
        masked = torch.from_numpy(available)
        mean = clip_loss(*arguments, available=masked)
        assert mean.item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)
        total = clip_loss(*arguments, available=masked, reduction="sum")
        assert total.item() == pytest.approx(sum(pairs), rel=1e-12)


@pytest.mark.parametrize("tile", [11, 64, 2**19])
def test_loss_and_gradients_are_the_dense_ones_whatever_the_tiles(tile, rng, monkeypatch):
    monkeypatch.setattr(_tiles, "_tile_logits", lambda device: tile)
    for scale in (2.0, 400.0):  # with the second, one exponential would lose most log-sum-exps
        for share in (1.0, 0.6):
            z = torch.from_numpy(rng.standard_normal((9, 3, 5))).requires_grad_()
            available = torch.from_numpy(rng.random((9, 3)) < share)
            found = []
            for loss in (dense_clip_loss, lambda z, s, p: clip_loss(z, s, available=p)):
                factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
                value = loss(z, factor, available)
                found.append([value.detach(), *torch.autograd.grad(value, [z, factor])])
            for right, actual in zip(*found, strict=True):
                assert (actual - right).abs().max() <= 1e-12 * max(right.abs().max(), scale)


def test_values_and_gradients_are_those_of_the_papers_code(golden_losses):
    cases = [case for case in golden_losses if case[0]["M"] == 3]
    assert len(cases) == 12
    for case, z, probes in cases:
        scale = torch.tensor(case["scale"], dtype=torch.float64, requires_grad=True)
        expected = case["exp_clip_SUM_of_3_pairs"]
        loss = clip_loss(z, scale, reduction="sum")
        gradient, scale_gradient = torch.autograd.grad(loss, [z, scale])
        gradient = gradient.numpy()
        assert loss.item() == pytest.approx(expected["value"], rel=1e-10)
        norms = np.sqrt((gradient**2).sum((0, 2)))
        np.testing.assert_allclose(norms, expected["grad_norms"], rtol=1e-10)
        dots = (gradient * probes).sum((0, 2))
        np.testing.assert_allclose(dots, expected["grad_probe_dots"], rtol=1e-9, atol=1e-12)
        assert scale_gradient.item() == pytest.approx(expected["grad_scale"], rel=1e-9)
        if "grads_full" in expected:
            full = gradient.transpose(1, 0, 2)
            np.testing.assert_allclose(full, expected["grads_full"], rtol=1e-9, atol=1e-13)
        pairs = [clip_loss(z[:, pair], scale).item() for pair in ([0, 1], [1, 2], [0, 2])]
        assert pairs == pytest.approx(expected["pairs_ab_bc_ac"], rel=1e-10)


def test_fixture_f_has_its_known_values_and_gradients(fixture_f, without_last_labs):
    z = fixture_f.requires_grad_()
    scale = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
    loss = clip_loss(z, scale)
    loss.backward()
    assert z.grad is not None
    assert scale.grad is not None
    assert loss.item() == pytest.approx(10.784360875436, rel=1e-12)
    norms = z.grad.square().sum((0, 2)).sqrt()
    np.testing.assert_allclose(norms, [4.035220357882, 4.553419737119, 3.865907030270], rtol=1e-11)
    assert scale.grad.item() == pytest.approx(1.058600863675, rel=1e-11)
    assert clip_loss(z, 10.0, reduction="sum").item() == pytest.approx(32.353082626308, rel=1e-12)
    masked = [12.219492299030, 12.075339103726, 8.573180417381]
    for pair, expected in zip(([0, 1], [1, 2], [0, 2]), masked, strict=True):
        value = clip_loss(z[:, pair], 10.0, available=without_last_labs[:, pair])
        assert value.item() == pytest.approx(expected, rel=1e-12)


def test_unit_vectors_along_the_axes_by_hand():
    # Logits are the unit matrix: -log(e / (e + 1)) = ln(1 + 1/e) for each of the three pairs.
    z = torch.eye(2, dtype=torch.float64)[:, None].expand(2, 3, 2)
    assert clip_loss(z, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-12)


def test_a_constant_model_has_the_loss_of_guessing():
    assert clip_loss(torch.zeros(5, 3, 2), 10.0).item() == pytest.approx(math.log(5))


def test_a_pair_with_one_sample_is_left_out(fixture_f):
    available = torch.ones(4, 3, dtype=torch.bool)
    available[1:, 2] = False
    expected = clip_loss(fixture_f[:, :2], 10.0)
    assert clip_loss(fixture_f, 10.0, available=available).item() == expected.item()
    assert (
        clip_loss(fixture_f, 10.0, available=available, reduction="sum").item() == expected.item()
    )


def test_a_batch_without_any_pair_is_refused(fixture_f):
    available = torch.eye(4, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"at least 2 samples with the same two .* batch of 4 "):
        clip_loss(fixture_f, 1.0, available=available)


def test_an_unknown_reduction_is_refused(fixture_f):
    with pytest.raises(ValueError, match="unknown reduction 'none'; expected 'mean' or 'sum'"):
        clip_loss(fixture_f, 1.0, reduction="none")


def test_one_direction_equals_the_first_of_two_to_the_bit_and_computes_nothing_else(
    rng, monkeypatch
):
    z = torch.from_numpy(rng.standard_normal((2, 7, 4))).requires_grad_()
    scale, found = torch.tensor(3.0, dtype=torch.float64), []
    reduce, asked = infonce.reduce_scores, []

    def noted(*of, only=None):
        asked.append(only)
        return reduce(*of, only=only)

    monkeypatch.setattr(infonce, "reduce_scores", noted)
    first, second = z
    for losses in (
        one_way_losses(first, second, scale),
        two_way_losses(first, second, scale)[0],
    ):
        found.append((losses, *torch.autograd.grad(losses.mean(), z)))
    assert asked == ["rows", None]
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
