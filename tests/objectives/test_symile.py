import itertools
import math

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.clip import clip_loss
from clinical_symile.objectives.kernels import _tiles, tiled
from clinical_symile.objectives.negatives import draw_permutations, shuffled_loss
from clinical_symile.objectives.symile import Symile, symile_loss
from tests.helpers.dense import dense_symile_loss

SIZES = [(n, d, m) for m in (2, 3, 4) for n in (2, 3, 5) for d in (1, 4)]


def similarity(vectors):
    """The multilinear inner product of M vectors."""
    return sum(math.prod(float(v[k]) for v in vectors) for k in range(len(vectors[0])))


def loss_in_loops(z, scale, available, candidates_of):
    """The paper's loss: for each anchor modality and sample, -log of its own combination's share.

    candidates_of(anchor, i) gives the combinations of samples (i_1 … i_M) in the denominator.
    """
    n, modalities, _ = z.shape
    anchors = []
    for anchor in range(modalities):
        losses = []
        for i in range(n):
            if not available[i].all():
                continue
            positive = (i,) * modalities
            total = 0.0
            for combination in candidates_of(anchor, i):
                if all(available[j, m] for m, j in enumerate(combination)):
                    vectors = [z[j, m] for m, j in enumerate(combination)]
                    total += math.exp(scale * similarity(vectors))
            logit = scale * similarity([z[j, m] for m, j in enumerate(positive)])
            losses.append(math.log(total) - logit)
        anchors.append(sum(losses) / len(losses))
    return sum(anchors) / modalities


def symile_loss_shuffled(z, scale, permutations, *, available=None):
    """The loss for given permutations."""
    if available is None:
        available = torch.ones(z.shape[:2], dtype=torch.bool)
    scale = torch.as_tensor(scale, dtype=z.dtype)
    return shuffled_loss(z, scale, permutations, available=available)


def all_combinations(n, modalities):
    def candidates_of(anchor, i):
        others = itertools.product(range(n), repeat=modalities - 1)
        return [(*rest[:anchor], i, *rest[anchor:]) for rest in others]

    return candidates_of


def shuffled_combinations(n, modalities, permutations):
    def candidates_of(anchor, i):
        combinations = []
        for j in range(n):
            rest = [i if i == j else int(p[j]) for p in permutations[anchor]]
            combinations.append((*rest[:anchor], i, *rest[anchor:]))
        return combinations

    return candidates_of


def cyclic_combinations(n, modalities, shifts):
    """Sample j of the first other modality, j + δ of the next, and so on round the batch."""

    def candidates_of(anchor, i):
        combinations = []
        for j in range(n):
            for apart in itertools.product(range(min(shifts, n)), repeat=modalities - 2):
                rest = [(j + delta) % n for delta in (0, *apart)]
                combinations.append((*rest[:anchor], i, *rest[anchor:]))
        return combinations

    return candidates_of


def one_slot_combinations(n, modalities):
    """The anchor here is the target: all others are sample i's, and the target is everybody's."""

    def candidates_of(target, i):
        return [tuple(j if m == target else i for m in range(modalities)) for j in range(n)]

    return candidates_of


def presence_patterns(n, modalities, rng):
    """All present, and patterns with absent slots that leave two complete samples."""
    yield np.ones((n, modalities), dtype=bool)
    for _ in range(4):
        available = rng.random((n, modalities)) < 0.6
        available[:2] = True
        yield rng.permutation(available)


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


@pytest.mark.parametrize(("n", "d", "modalities"), SIZES)
def test_cyclic_and_one_slot_negatives_are_their_definitions_in_loops(n, d, modalities, rng):
    definitions = {
        "cyclic-1": cyclic_combinations(n, modalities, 1),
        "cyclic-2": cyclic_combinations(n, modalities, 2),
        "cyclic-9": all_combinations(n, modalities),
        "one-slot": one_slot_combinations(n, modalities),
    }
    for available in presence_patterns(n, modalities, rng):
        z = torch.from_numpy(rng.standard_normal((n, modalities, d)))
        for negatives, candidates_of in definitions.items():
            expected = loss_in_loops(z.numpy(), 1.7, available, candidates_of)
            actual = symile_loss(z, 1.7, available=torch.from_numpy(available), negatives=negatives)
            assert actual.item() == pytest.approx(expected, rel=1e-12), negatives


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


def test_fixture_f_with_given_permutations(fixture_f):
    same = [0, 1, 2, 3]
    permutations = [[[0, 1, 3, 2], [0, 2, 3, 1]], [[3, 2, 0, 1], [3, 0, 2, 1]], [same, same]]
    loss = symile_loss_shuffled(fixture_f, 10.0, torch.tensor(permutations))
    assert loss.item() == pytest.approx(2.039970254206, rel=1e-12)


def test_fixture_f_with_cheaper_negatives(fixture_f):
    cyclic = [symile_loss(fixture_f, 10.0, negatives=f"cyclic-{c}").item() for c in (1, 2, 4)]
    assert cyclic == pytest.approx([2.482629578342, 4.482615231596, 5.706735653179], rel=1e-12)
    one_slot = symile_loss(fixture_f, 10.0, negatives="one-slot")
    assert one_slot.item() == pytest.approx(2.658872514263, rel=1e-12)


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


def test_with_two_modalities_permutations_would_not_be_clip(fixture_f):
    # What the paper's code gives after seed 0: a partner comes back as its own negative.
    drawn = torch.Generator().manual_seed(0)
    permutations = torch.stack([torch.randperm(4, generator=drawn) for _ in range(2)])[:, None]
    loss = symile_loss_shuffled(fixture_f[:, :2], 10.0, permutations)
    assert loss.item() == pytest.approx(12.196313502546, rel=1e-12)


def test_shuffled_negatives_are_at_most_as_hard_as_all(fixture_f):
    # Without a permutation that brings a sample's own companions back, they are a subset.
    shifts = torch.tensor([[[1, 2, 3, 0], [2, 3, 0, 1]]] * 3)
    assert symile_loss_shuffled(fixture_f, 10.0, shifts) < symile_loss(fixture_f, 10.0)


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


def test_shuffled_negatives_without_a_generator_are_refused(fixture_f):
    with pytest.raises(ValueError, match="shuffled negatives need a generator"):
        symile_loss(fixture_f, 1.0, negatives="shuffled")


@pytest.mark.parametrize("word", ["hard", "cyclic", "cyclic-0", "cyclic-x", "all-2", ""])
def test_unknown_negatives_are_refused(word, fixture_f):
    message = f"unknown negatives '{word}'; expected all, shuffled, one-slot, or cyclic-8"
    with pytest.raises(ValueError, match=message):
        symile_loss(fixture_f, 1.0, negatives=word)
    with pytest.raises(ValueError, match=message):
        Symile(negatives=word)


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


def test_n_candidates_counts_the_softmax():
    for negatives, three, four in (
        ("all", 7**2, 7**3),
        ("shuffled", 7, 7),
        ("one-slot", 7, 7),
        ("cyclic-2", 7 * 2, 7 * 4),
        ("cyclic-9", 7**2, 7**3),
    ):
        counted = [Symile(negatives=negatives).n_candidates(7, modalities=m) for m in (3, 4)]
        assert counted == [three, four], negatives


def test_operations_of_a_step_by_hand():
    # 2 for each multiplication and addition. All: 1 product forward and 3 backward of 5³ · 4.
    # Shuffled: for each of 3 anchors 1 forward and 2 backward of 5² · 4, cyclic-2 1 and 3 of
    # 5 · 10 · 4, and one-slot 1 and 3 of 5² · 4.
    for negatives, expected in (
        ("all", 2 * 4 * 500),
        ("shuffled", 2 * 3 * 3 * 100),
        ("cyclic-2", 2 * 3 * 4 * 200),
        ("one-slot", 2 * 3 * 4 * 100),
    ):
        assert Symile(negatives=negatives).flops(5, modalities=3, dim=4) == expected
