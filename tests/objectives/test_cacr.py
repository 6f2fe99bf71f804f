"""CACR against its definition in loops and known values."""

import math

import pytest
import torch

from clinical_symile.objectives.cacr import Cacr
from tests.helpers.objective_values import connected, loss_value, unit_batch


def distance(x, y) -> float:
    return float((x - y).square().sum())


def weighted(distances, factor):
    weights = [math.exp(factor * d) for d in distances]
    return sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights)


def loss_in_loops(z, available, attraction, repulsion):
    tokens = [tuple(place) for place in available.nonzero().tolist()]
    pulls, pushes = [], []
    for i, m in tokens:
        own = [distance(z[i, m], z[i, v]) for j, v in tokens if j == i and v != m]
        if not own:
            continue
        others = [distance(z[i, m], z[t]) for t in tokens if t[0] != i]
        pulls.append(weighted(own, attraction))
        pushes.append(weighted(others, -repulsion))
    return sum(pulls) / len(pulls) - sum(pushes) / len(pushes)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_the_loss_is_its_definition_in_loops(modalities, rng):
    z = unit_batch(rng, 6, modalities)
    available = torch.from_numpy(rng.random((6, modalities)) < 0.7)
    available[:2] = True
    objective = connected(Cacr(attraction=0.7, repulsion=1.3), modalities=modalities)
    found = loss_value(objective, z, available)
    assert found == pytest.approx(loss_in_loops(z, available, 0.7, 1.3), rel=1e-9)


def test_it_has_its_known_values(fixture_f, without_last_labs):
    objective = connected(Cacr(), dim=3)
    terms = objective.terms(fixture_f, torch.ones(4, 3, dtype=torch.bool))
    assert [t.item() for t in terms] == pytest.approx([3.019322413661, 0.616992971344], abs=1e-10)
    assert loss_value(objective, fixture_f) == pytest.approx(2.402329442317, abs=1e-10)
    found = loss_value(objective, fixture_f, without_last_labs)
    assert found == pytest.approx(2.462270129728, abs=1e-10)


def test_two_modalities_attract_by_their_mean_squared_distance(rng):
    z = unit_batch(rng, 5, 2)
    attraction, _ = Cacr(attraction=3.0).terms(z, torch.ones(5, 2, dtype=torch.bool))
    expected = sum(distance(row[0], row[1]) for row in z) / 5
    assert attraction.item() == pytest.approx(expected)


def test_equal_embeddings_of_several_samples_have_finite_gradients():
    z = torch.ones(4, 3, 2, dtype=torch.float64) / math.sqrt(2)
    assert loss_value(connected(Cacr(), dim=2), z) == pytest.approx(0, abs=1e-6)


def test_negative_arguments_are_all_named():
    with pytest.raises(ValueError, match=r"attraction is -1.0; .* repulsion is -2.0; expected"):
        Cacr(attraction=-1.0, repulsion=-2.0)
