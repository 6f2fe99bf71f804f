from itertools import permutations

import numpy as np
import pytest

from clinical_symile.metrics.shapley import (
    interaction,
    modality_subsets,
    shapley_values,
    value_alone,
    value_left_out,
)
from clinical_symile.synthetic.oracle import Bayes
from clinical_symile.synthetic.world import WORLD_MODALITIES, World


def shapley_in_orders(values, modalities):
    """The mean of what a modality adds, over every order in which they may come."""
    orders = list(permutations(modalities))
    return {
        name: sum(
            values[frozenset(order[: order.index(name) + 1])]
            - values[frozenset(order[: order.index(name)])]
            for order in orders
        )
        / len(orders)
        for name in modalities
    }


def game(rng, modalities):
    return {s: float(rng.standard_normal()) for s in modality_subsets(modalities)}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_shapley_values_are_means_over_orders_and_add_up(n, rng):
    modalities = [f"m{place}" for place in range(n)]
    values = game(rng, modalities)
    found = shapley_values(values, modalities)
    assert found == pytest.approx(shapley_in_orders(values, modalities))
    total = values[frozenset(modalities)] - values[frozenset()]
    assert sum(found.values()) == pytest.approx(total)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_interactions_add_up_and_share_out_to_shapley_values(n, rng):
    modalities = [f"m{place}" for place in range(n)]
    values = game(rng, modalities)
    parts = {s: interaction(values, sorted(s)) for s in modality_subsets(modalities) if s}
    total = values[frozenset(modalities)] - values[frozenset()]
    assert sum(parts.values()) == pytest.approx(total)
    for name, value in shapley_values(values, modalities).items():
        assert value == pytest.approx(sum(p / len(s) for s, p in parts.items() if name in s))


def test_two_modalities_by_hand():
    # A guess scores 0.1; a 0.5, b 0.3, both 0.6.
    values = {frozenset(): 0.1, frozenset("a"): 0.5, frozenset("b"): 0.3, frozenset("ab"): 0.6}
    assert shapley_values(values, "ab") == pytest.approx({"a": 0.35, "b": 0.15})
    assert value_alone(values, "b") == pytest.approx(0.2)
    assert value_left_out(values, "ab", "b") == pytest.approx(0.1)
    assert interaction(values, "ab") == pytest.approx(-0.1)  # they repeat each other


def test_values_may_be_arrays_that_belong_together(rng):
    values = {s: rng.standard_normal(7) for s in modality_subsets("abc")}
    found = shapley_values(values, "abc")
    for place in range(7):
        one = shapley_values({s: v[place] for s, v in values.items()}, "abc")
        assert {name: v[place] for name, v in found.items()} == pytest.approx(one)


def test_a_set_without_a_value_is_refused():
    with pytest.raises(ValueError, match=r"no value of none, a\+b; expected one of every set"):
        shapley_values({frozenset("a"): 1.0, frozenset("b"): 1.0}, "ab")


def exact(world):
    bayes = Bayes(world)
    return {
        s: bayes.auroc(tuple(m for m in WORLD_MODALITIES if m in s)) if s else 0.5
        for s in modality_subsets(WORLD_MODALITIES)
    }


def test_where_all_show_the_same_factor_they_repeat_each_other():
    values = exact(World(redundant=1, unique=0, synergistic=0, synergy=0.0, flip=0.1))
    shares = shapley_values(values, WORLD_MODALITIES)
    assert np.ptp(list(shares.values())) < 1e-12
    assert interaction(values, ["cxr", "ecg"]) < -0.01


def test_where_the_xray_is_the_xor_of_the_others_they_are_synergistic():
    # The outcome depends on the bit of the X-ray, which ECG and labs have together and not alone.
    values = exact(World(redundant=0, unique=0, synergistic=1, synergy=1.0, flip=0.0))
    assert value_alone(values, "ecg") == pytest.approx(0, abs=1e-12)
    assert value_alone(values, "labs") == pytest.approx(0, abs=1e-12)
    assert interaction(values, ["ecg", "labs"]) == pytest.approx(value_alone(values, "cxr"))
    assert interaction(values, ["ecg", "labs"]) > 0.05
    # Everything the pair gives, the X-ray has: together the three repeat it.
    assert interaction(values, WORLD_MODALITIES) == pytest.approx(
        -interaction(values, ["ecg", "labs"])
    )
