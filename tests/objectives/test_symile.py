import itertools
import math

import numpy as np
import pytest
import torch

from clinical_symile.embeddings import Embeddings
from clinical_symile.objectives.clip import clip_loss
from clinical_symile.objectives.symile import (
    Symile,
    draw_permutations,
    symile_loss,
    symile_loss_shuffled,
)

SIZES = [(n, d, m) for m in (2, 3, 4) for n in (2, 3, 5) for d in (1, 4)]


def similarity(vectors):
    """The multilinear inner product of M vectors."""
    return sum(math.prod(float(v[k]) for v in vectors) for k in range(len(vectors[0])))


def loss_in_loops(z, scale, present, candidates_of):
    """The paper's loss: for each anchor modality and sample, -log of its own combination's share.

    candidates_of(anchor, i) gives the combinations of samples (i_1 … i_M) in the denominator.
    """
    n, modalities, _ = z.shape
    anchors = []
    for anchor in range(modalities):
        losses = []
        for i in range(n):
            if not present[i].all():
                continue
            positive = (i,) * modalities
            total = 0.0
            for combination in candidates_of(anchor, i):
                if all(present[j, m] for m, j in enumerate(combination)):
                    vectors = [z[j, m] for m, j in enumerate(combination)]
                    total += math.exp(scale * similarity(vectors))
            logit = scale * similarity([z[j, m] for m, j in enumerate(positive)])
            losses.append(math.log(total) - logit)
        anchors.append(sum(losses) / len(losses))
    return sum(anchors) / modalities


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


def presence_patterns(n, modalities, rng):
    """All present, and patterns with absent slots that leave two complete samples."""
    yield np.ones((n, modalities), dtype=bool)
    for _ in range(4):
        present = rng.random((n, modalities)) < 0.6
        present[:2] = True
        yield rng.permutation(present)


@pytest.mark.parametrize(("n", "d", "modalities"), SIZES)
def test_all_negatives_are_the_papers_loss_in_loops(n, d, modalities, rng):
    for present in presence_patterns(n, modalities, rng):
        z = torch.from_numpy(rng.standard_normal((n, modalities, d)))
        expected = loss_in_loops(z.numpy(), 1.7, present, all_combinations(n, modalities))
        actual = symile_loss(z, 1.7, present=torch.from_numpy(present))
        assert actual.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "d", "modalities"), SIZES)
def test_shuffled_negatives_are_the_papers_loss_in_loops(n, d, modalities, rng, generator):
    for present in presence_patterns(n, modalities, rng):
        z = torch.from_numpy(rng.standard_normal((n, modalities, d)))
        permutations = draw_permutations(n, modalities=modalities, generator=generator)
        candidates_of = shuffled_combinations(n, modalities, permutations)
        expected = loss_in_loops(z.numpy(), 1.7, present, candidates_of)
        actual = symile_loss_shuffled(z, 1.7, permutations, present=torch.from_numpy(present))
        assert actual.item() == pytest.approx(expected, rel=1e-12)


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


def test_fixture_f_with_one_absent_slot(fixture_f, without_last_labs):
    loss = symile_loss(fixture_f, 10.0, present=without_last_labs)
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
    for negatives in ("all", "shuffled"):
        loss = symile_loss(z, 10.0, negatives=negatives, generator=generator)
        candidates = Symile(negatives=negatives).candidates_per_anchor(4, modalities=modalities)
        assert candidates is not None
        assert loss.item() == pytest.approx(math.log(candidates), rel=1e-12)


def test_with_two_modalities_both_kinds_of_negatives_are_clip(fixture_f, generator):
    pair = fixture_f[:, :2]
    expected = clip_loss(pair, 10.0).item()
    assert symile_loss(pair, 10.0).item() == pytest.approx(expected, rel=1e-12)
    shuffled = symile_loss(pair, 10.0, negatives="shuffled", generator=generator)
    assert shuffled.item() == pytest.approx(expected, rel=1e-12)


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
    present = torch.ones(4, 3, dtype=torch.bool)
    present[0, 1] = False
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, s: symile_loss(z, s, present=present), (z, scale))


@pytest.mark.parametrize("negatives", ["all", "shuffled"])
@pytest.mark.parametrize(("complete", "samples"), [(1, 32), (0, 2), (1, 1)])
def test_a_batch_with_fewer_than_two_complete_samples_is_refused(
    complete, samples, negatives, generator
):
    present = torch.ones(samples, 3, dtype=torch.bool)
    present[complete:, 1] = False
    message = f"at least 2 complete samples; this batch of {samples} has {complete}. Raise batch_"
    with pytest.raises(ValueError, match=message):
        symile_loss(
            torch.randn(samples, 3, 2, generator=generator),
            1.0,
            present=present,
            negatives=negatives,
            generator=generator,
        )


def test_shuffled_negatives_without_a_generator_are_refused(fixture_f):
    with pytest.raises(ValueError, match="shuffled negatives need a generator"):
        symile_loss(fixture_f, 1.0, negatives="shuffled")


def test_unknown_negatives_are_refused(fixture_f):
    with pytest.raises(ValueError, match="unknown negatives 'hard'; expected 'all' or 'shuffled'"):
        symile_loss(fixture_f, 1.0, negatives="hard")
    with pytest.raises(ValueError, match="unknown negatives 'hard'"):
        Symile(negatives="hard")


def test_scores_are_those_of_the_papers_code(golden_scores):
    for case, candidates, queries in golden_scores:
        for names, key in ((("q1", "q2"), "mip_q2"), (("q1", "q2", "q3"), "mip_q3")):
            query = Embeddings(
                z=torch.stack([*queries[: len(names)], torch.full_like(queries[0], torch.nan)], 1),
                present=torch.ones(case["n"], len(names) + 1, dtype=torch.bool),
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


def test_candidates_per_anchor_counts_the_softmax():
    assert Symile(negatives="all").candidates_per_anchor(7, modalities=3) == 49
    assert Symile(negatives="shuffled").candidates_per_anchor(7, modalities=3) == 7
