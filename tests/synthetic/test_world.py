"""The synthetic world: drawn words follow the exact joint distribution."""

from itertools import product
from math import exp

import numpy as np
import pytest

from clinical_symile.synthetic import generate as synthetic
from clinical_symile.synthetic.world import World, bits_to_integers

PARAMETERS = {
    "seed": 0,
    "redundant": 1,
    "unique": 1,
    "synergistic": 3,
    "synergy": 1.0,
    "flip": 0.05,
    "absent": 0.2,
}

SMALL = [
    World(redundant=1, unique=0, synergistic=1, synergy=0.7, flip=0.1),
    World(redundant=0, unique=1, synergistic=1, synergy=1.0, flip=0.0),
    World(redundant=2, unique=0, synergistic=0, synergy=0.0, flip=0.2),
    World(redundant=1, unique=1, synergistic=1, synergy=0.3, flip=0.05),
]


def bits_of(length):
    return list(product((0, 1), repeat=length))


def number(*groups):
    return sum(bit << place for place, bit in enumerate(b for group in groups for b in group))


def joint_in_loops(world):
    """p(words, outcome) from the definition of the world, one latent at a time."""
    joint = {}
    share = 2.0 ** -(world.redundant + 3 * world.unique + 2 * world.synergistic)
    for r in bits_of(world.redundant):
        for u in product(bits_of(world.unique), repeat=3):
            for e, k in product(bits_of(world.synergistic), repeat=2):
                for i, p_i in ((1, world.synergy), (0, 1 - world.synergy)):
                    c = tuple(a ^ b for a, b in zip(e, k, strict=True)) if i else e
                    for sign_bits in product(bits_of(world.redundant), repeat=3):
                        p = share * p_i
                        for word in sign_bits:
                            for bit, factor in zip(word, r, strict=True):
                                p *= world.flip if bit != factor else 1 - world.flip
                        logit = -0.9 + 1.9 * (sum(r) - world.redundant / 2)
                        logit += 1.1 * (sum(map(sum, u)) - 1.5 * world.unique)
                        logit += 1.2 * (sum(c) - world.synergistic / 2)
                        positive = 1 / (1 + exp(-logit))
                        key = tuple(number(sign_bits[m], u[m], s) for m, s in enumerate((c, e, k)))
                        before = joint.get(key, (0.0, 0.0))
                        joint[key] = (before[0] + p, before[1] + p * positive)
    return joint


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"subjects": 0}, "subjects is 0; expected 1 to"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0"),
        ({"absent": 1.0}, "absent is 1.0; expected a probability below 1"),
        ({"synergistic": 5}, "1 redundant, 1 unique and 5 synergistic factors; expected 1 to 6"),
        ({"redundant": -1}, "-1 redundant"),
        ({"synergy": 1.5}, "synergy is 1.5; expected 0 to 1"),
        ({"flip": -0.1}, "flip is -0.1; expected 0 to 1"),
    ],
)
def test_numbers_that_describe_no_world_are_an_error(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        synthetic.write_cohort(tmp_path / "source", **{"subjects": 1, **PARAMETERS, **changed})
    assert not list(tmp_path.iterdir())


def test_drawn_words_follow_the_exact_joint(rng):
    world = World(redundant=1, unique=0, synergistic=1, synergy=0.7, flip=0.1)
    counts, outcomes = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    samples = 2000
    for _ in range(samples):
        bits, deteriorates = world.draw(rng)
        counts[tuple(bits_to_integers(bits))] += 1
        outcomes[tuple(bits_to_integers(bits))] += deteriorates
    spread = 4.5 * np.sqrt(world.joint() / samples) + 1e-9
    assert (np.abs(counts / samples - world.joint()) <= spread).all()
    spread = 4.5 * np.sqrt(world.joint_with_outcome() / samples) + 1e-9
    assert (np.abs(outcomes / samples - world.joint_with_outcome()) <= spread).all()


def test_words_have_their_first_bit_lowest():
    assert bits_to_integers(np.array([[1, 0, 0], [0, 1, 1]])).tolist() == [1, 6]


@pytest.mark.parametrize("world", SMALL)
def test_the_joint_is_the_definition_in_loops(world):
    expected = np.zeros((2**world.bits,) * 3)
    with_outcome = np.zeros_like(expected)
    for key, (p, positive) in joint_in_loops(world).items():
        expected[key], with_outcome[key] = p, positive
    np.testing.assert_allclose(world.joint(), expected, atol=1e-15)
    np.testing.assert_allclose(world.joint_with_outcome(), with_outcome, atol=1e-15)
