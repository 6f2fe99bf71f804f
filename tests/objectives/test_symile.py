import math

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.kernels import _tiles, tiled
from clinical_symile.objectives.missing_query import Bank
from clinical_symile.objectives.negatives import draw_permutations
from clinical_symile.objectives.symile import Symile, symile_loss
from tests.helpers.dense import dense_symile_loss
from tests.helpers.symile_in_loops import (
    SIZES,
    all_combinations,
    loss_in_loops,
    presence_patterns,
    shuffled_combinations,
    symile_loss_shuffled,
)


@pytest.mark.parametrize(("n", "d", "modalities"), SIZES)
def test_all_negatives_are_the_papers_loss_in_loops(n, d, modalities, rng):
    for available in presence_patterns(n, modalities, rng):
        z = torch.from_numpy(rng.standard_normal((n, modalities, d)))
        expected = loss_in_loops(z.numpy(), 1.7, available, all_combinations(n, modalities))
        actual = symile_loss(z, 1.7, available=torch.from_numpy(available))
        assert actual.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "d", "modalities"), SIZES)
def test_shuffled_negatives_are_the_papers_loss_in_loops(n, d, modalities, rng, generator):
    for available in presence_patterns(n, modalities, rng):
        z = torch.from_numpy(rng.standard_normal((n, modalities, d)))
        permutations = draw_permutations(n, modalities=modalities, generator=generator)
        candidates_of = shuffled_combinations(n, modalities, permutations)
        expected = loss_in_loops(z.numpy(), 1.7, available, candidates_of)
        actual = symile_loss_shuffled(z, 1.7, permutations, available=torch.from_numpy(available))
        assert actual.item() == pytest.approx(expected, rel=1e-12)


def value_and_gradients(loss, z, scale, available):
    z = z.clone().requires_grad_()
    scale = torch.tensor(scale, dtype=z.dtype, requires_grad=True)
    value = loss(z, scale, available)
    return value.detach(), *torch.autograd.grad(value, [z, scale])


def tiled_symile_loss(z, scale, available):
    return symile_loss(z, scale, available=available)


@pytest.mark.parametrize("tile", [11, 64, 2**19])
@pytest.mark.parametrize(("n", "d", "modalities"), [(7, 5, 2), (6, 9, 3), (4, 3, 4), (3, 4, 5)])
def test_loss_and_gradients_are_the_dense_ones_whatever_the_tiles(
    n, d, modalities, tile, rng, monkeypatch
):
    monkeypatch.setattr(_tiles, "_tile_logits", lambda device: tile)
    for scale in (2.0, 400.0):  # with the second, one exponential would lose most log-sum-exps
        for available in presence_patterns(n, modalities, rng):
            z = torch.from_numpy(rng.standard_normal((n, modalities, d)))
            arguments = z, scale, torch.from_numpy(available)
            expected = value_and_gradients(dense_symile_loss, *arguments)
            actual = value_and_gradients(tiled_symile_loss, *arguments)
            for found, right in zip(actual, expected, strict=True):
                assert (found - right).abs().max() <= 1e-12 * max(right.abs().max(), scale)


def test_the_paper_s_batch_of_unit_vectors_in_float32_is_close_to_float64(generator):
    z = torch.nn.functional.normalize(torch.randn(96, 3, 64, generator=generator), dim=2)
    available = torch.rand(96, 3, generator=generator) < 0.8
    single = value_and_gradients(tiled_symile_loss, z, 30.0, available)
    double = value_and_gradients(dense_symile_loss, z.double(), 30.0, available)
    for found, right in zip(single, double, strict=True):
        assert (found - right).abs().max() <= 1e-5 * right.abs().max()


def test_what_is_kept_for_the_way_back_is_the_embeddings_and_a_fixed_allowance(
    generator, monkeypatch
):
    monkeypatch.setattr(tiled, "KEPT_BYTES", 4096)
    monkeypatch.setattr(_tiles, "_tile_logits", lambda device: 512)
    n, d = 48, 64
    z = torch.randn(n, 3, d, generator=generator).requires_grad_()
    kept = 0

    def count(tensor):
        nonlocal kept
        kept += tensor.numel() if tensor.is_floating_point() else 0
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        symile_loss(z, torch.tensor(0.01, requires_grad=True))
    assert kept <= 3 * (3 * n * d + 3 * n) + 1024


def check_golden(loss, z, scale, probes, expected):
    assert loss.item() == pytest.approx(expected["value"], rel=1e-10)
    z_gradient, scale_gradient = torch.autograd.grad(loss, [z, scale])
    gradient = z_gradient.numpy()
    np.testing.assert_allclose(
        np.sqrt((gradient**2).sum((0, 2))), expected["grad_norms"], rtol=1e-10
    )
    np.testing.assert_allclose(
        (gradient * probes).sum((0, 2)), expected["grad_probe_dots"], rtol=1e-9, atol=1e-12
    )
    assert scale_gradient.item() == pytest.approx(expected["grad_scale"], rel=1e-9, abs=1e-13)
    if "grads_full" in expected:
        np.testing.assert_allclose(
            gradient.transpose(1, 0, 2), expected["grads_full"], rtol=1e-9, atol=1e-13
        )


def test_values_and_gradients_are_those_of_the_papers_code(golden_losses):
    assert len(golden_losses) == 24
    for case, z, probes in golden_losses:
        scale = torch.tensor(case["scale"], dtype=torch.float64, requires_grad=True)
        check_golden(symile_loss(z, scale), z, scale, probes, case["symile_n_squared"])

        expected = case["symile_n_manual_seed_0"]
        drawn = torch.Generator().manual_seed(0)
        loss = symile_loss(z, scale, negatives="shuffled", generator=drawn)
        check_golden(loss, z, scale, probes, expected)
        permutations = torch.tensor(expected["perms_manual_seed_0"])
        loss = symile_loss_shuffled(z, scale, permutations)
        check_golden(loss, z, scale, probes, expected)


def test_fixture_f_has_its_known_value_and_gradients(fixture_f):
    z = fixture_f.requires_grad_()
    scale = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
    loss = symile_loss(z, scale)
    loss.backward()
    assert z.grad is not None
    assert scale.grad is not None
    assert loss.item() == pytest.approx(5.706735653179, rel=1e-12)
    norms = z.grad.square().sum((0, 2)).sqrt()
    np.testing.assert_allclose(norms, [3.578714682843, 5.392023195826, 3.119585907649], rtol=1e-11)
    assert scale.grad.item() == pytest.approx(0.475999172906, rel=1e-11)


def test_fixture_f_with_one_absent_slot(fixture_f, without_last_labs):
    loss = symile_loss(fixture_f, 10.0, available=without_last_labs)
    assert loss.item() == pytest.approx(4.941884427729, rel=1e-12)
    complete_cases = symile_loss(fixture_f[:3], 10.0)
    assert complete_cases.item() == pytest.approx(4.127459583297, rel=1e-12)


@pytest.mark.parametrize(("n", "modalities", "scale"), [(2, 3, 1.0), (2, 4, 1.0), (5, 3, 2.5)])
def test_unit_vectors_along_the_axes_by_hand(n, modalities, scale):
    # Own combination: logit s. Every other one has two different axes among its members: logit 0.
    z = torch.eye(n, dtype=torch.float64)[:, None].expand(n, modalities, n)
    expected = math.log(1 + (n ** (modalities - 1) - 1) * math.exp(-scale))
    assert symile_loss(z, scale).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_a_constant_model_has_the_loss_of_guessing(modalities, generator):
    z = torch.zeros(4, modalities, 3, dtype=torch.float64)
    for negatives in ("all", "shuffled", "cyclic-1", "cyclic-3", "one-slot"):
        loss = symile_loss(z, 10.0, negatives=negatives, generator=generator)
        candidates = Symile(negatives=negatives).n_candidates(4, modalities=modalities)
        assert candidates is not None
        assert loss.item() == pytest.approx(math.log(candidates), rel=1e-12)


@pytest.mark.parametrize("negatives", ["all", "shuffled", "cyclic-3", "one-slot"])
def test_with_two_modalities_all_kinds_of_negatives_are_clip(negatives, fixture_f, generator):
    pair = fixture_f[:, :2]
    loss = symile_loss(pair, 10.0, negatives=negatives, generator=generator)
    assert loss.item() == pytest.approx(clip_loss(pair, 10.0).item(), rel=1e-12)


def test_the_gradient_is_that_of_finite_differences(rng):
    z = torch.from_numpy(rng.standard_normal((4, 3, 2))).requires_grad_()
    available = torch.ones(4, 3, dtype=torch.bool)
    available[0, 1] = False
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    for negatives in ("all", "cyclic-2", "one-slot"):
        assert torch.autograd.gradcheck(
            lambda z, s, kind=negatives: symile_loss(z, s, available=available, negatives=kind),
            (z, scale),
        )


def test_a_gradient_of_the_gradient_is_refused(fixture_f):
    z = fixture_f.requires_grad_()
    with pytest.raises(
        NotImplementedError, match=r"no gradient itself.* expected create_graph=Fal"
    ):
        torch.autograd.grad(symile_loss(z, 1.0), z, create_graph=True)


@pytest.mark.parametrize("negatives", ["all", "shuffled", "cyclic-2", "one-slot"])
@pytest.mark.parametrize(("complete", "samples"), [(1, 32), (0, 2), (1, 1)])
def test_a_batch_with_fewer_than_two_complete_samples_is_refused(
    complete, samples, negatives, generator
):
    available = torch.ones(samples, 3, dtype=torch.bool)
    available[complete:, 1] = False
    message = f"at least 2 complete samples; this batch of {samples} has {complete}. Raise batch_"
    with pytest.raises(ValueError, match=message):
        symile_loss(
            torch.randn(samples, 3, 2, generator=generator),
            1.0,
            available=available,
            negatives=negatives,
            generator=generator,
        )


def test_an_unknown_precision_is_refused(fixture_f):
    with pytest.raises(ValueError, match="unknown matmul precision 'tf32'; expected one of highes"):
        symile_loss(fixture_f, 1.0, matmul="tf32")
    with pytest.raises(ValueError, match="unknown matmul precision 'tf32'"):
        Symile(matmul="tf32")


def test_scores_are_those_of_the_papers_code(golden_scores):
    for case, candidates, queries in golden_scores:
        for names, key in ((("q1", "q2"), "mip_q2"), (("q1", "q2", "q3"), "mip_q3")):
            query = Embeddings(
                z=torch.stack([*queries[: len(names)], torch.full_like(queries[0], torch.nan)], 1),
                available=torch.ones(case["n"], len(names) + 1, dtype=torch.bool),
                modalities=(*names, "target"),
                rows=torch.arange(case["n"]),
            )
            scores = Symile().score(query, candidates, target="target").numpy()
            expected = case[key]
            assert list(scores.shape) == expected["shape"]
            assert np.linalg.norm(scores) == pytest.approx(expected["fro"], rel=1e-12)
            probe = np.random.default_rng(case["seed"] + 100_000).standard_normal(scores.shape)
            assert (probe * scores).sum() == pytest.approx(expected["probe_dot"], rel=1e-9)
            assert scores.argmax(1).tolist() == expected["argmax_rows"]
            np.testing.assert_allclose(scores[0, :16], expected["row0"], rtol=1e-10, atol=1e-12)
            if "full" in expected:
                np.testing.assert_allclose(scores, expected["full"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("negatives", ["all", "shuffled", "cyclic-2", "one-slot"])
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_dimension_free_scaling_multiplies_products_by_a_power_of_the_width(
    negatives, modalities, rng
):
    z = torch.from_numpy(rng.standard_normal((5, modalities, 6)))
    batch = Embeddings(
        z, torch.ones(5, modalities, dtype=torch.bool), tuple("abcd"[:modalities]), torch.arange(5)
    )
    found, plain = (
        Symile(temperature=t, negatives=negatives, scaling=word).double()
        for t, word in ((0.5, "dvs"), (0.5 / 6 ** ((modalities - 1) / 2), "plain"))
    )
    losses = [one(batch, generator=torch.Generator().manual_seed(0)) for one in (found, plain)]
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)  # the parameter starts in float32


def test_with_dimension_free_scaling_products_of_random_unit_vectors_have_variance_1(rng):
    for dim, modalities in ((16, 3), (256, 3), (64, 4)):
        z = torch.from_numpy(rng.standard_normal((400, modalities, dim)))
        z = torch.nn.functional.normalize(z, dim=2)
        available = torch.ones(400, modalities, dtype=torch.bool)
        query = Embeddings(z, available, tuple("abcd"[:modalities]), torch.arange(400))
        scores = Symile(scaling="dvs").score(query, z[torch.randperm(400), 0], target="a")
        assert scores.std().item() == pytest.approx(1, abs=0.03)


def test_dimension_free_one_slot_symile_has_its_known_value(fixture_f):
    batch = Embeddings(
        fixture_f, torch.ones(4, 3, dtype=torch.bool), ("a", "b", "c"), torch.arange(4)
    )
    objective = Symile(negatives="one-slot", scaling="dvs").double()
    assert objective.log_logit_scale is not None
    with torch.no_grad():  # s d^((M - 1) / 2) = 10
        objective.log_logit_scale.copy_(torch.tensor(10 / 3, dtype=torch.float64).log())
    assert objective(batch).item() == pytest.approx(2.658872514263, abs=1e-11)
    exact = Symile(scaling="dvs").double()
    exact.load_state_dict(objective.state_dict())
    assert exact(batch).item() == pytest.approx(5.706735653179, abs=1e-11)


def test_a_neutral_vector_scores_as_a_query_without_the_modality(rng):
    z = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((6, 4, 5))), dim=2)
    available = torch.from_numpy(rng.random((6, 4)) < 0.6)
    available[:, :2] = True
    query = Embeddings(z, available, tuple("abcd"), torch.arange(6))
    neutral = torch.where(available[:, :, None], z, 5**-0.5)
    filled = Embeddings(neutral, torch.ones_like(available), tuple("abcd"), torch.arange(6))
    for scaling, same in (("dvs", True), ("plain", False)):
        objective = Symile(scaling=scaling)
        scores = [objective.score(one, z[:, 0], target="a") for one in (query, filled)]
        assert torch.allclose(*scores, rtol=1e-12) is same


@pytest.mark.parametrize("rule", ["marginalize", "mean_bank", "drop"])
def test_scaled_scores_with_a_bank_are_the_scaled_logits_divided_by_the_scale(rule, rng):
    z = torch.from_numpy(rng.standard_normal((4, 3, 5)))
    available = torch.tensor([[True, True, True], [True, True, False]] * 2)
    query = Embeddings(z, available, ("a", "b", "c"), torch.arange(4))
    bank = Bank({name: torch.from_numpy(rng.standard_normal((7, 5))) for name in "abc"})
    objective = Symile(temperature=0.5, scaling="dvs", missing_query=rule)
    scores = objective.score(query, z[:, 0], target="a", bank=bank)
    for i in range(4):
        for j in range(4):
            logits = 10 * (z[i, 1] * z[j, 0] * torch.where(available[i, 2], z[i, 2], bank.z["c"]))
            logits = logits.sum(dim=-1)
            expected = {
                "marginalize": torch.logsumexp(logits.reshape(-1), 0) - math.log(logits.numel()),
                "mean_bank": logits.mean(),
                "drop": logits.mean() if available[i, 2] else 2 * 5**0.5 * z[i, 1] @ z[j, 0],
            }[rule]
            assert scores[i, j].item() == pytest.approx(expected.item() / 2, rel=1e-6)


def test_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="scaling is 'free'; expected 'plain' or 'dvs'"):
        Symile(scaling="free")
