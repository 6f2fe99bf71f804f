import itertools

import pytest
import torch

from clinical_symile.objectives.symile import Symile, symile_loss
from tests.helpers.symile_in_loops import (
    SIZES,
    all_combinations,
    loss_in_loops,
    presence_patterns,
    symile_loss_shuffled,
)


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
