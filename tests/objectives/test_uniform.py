"""CLIP with uniformity and decoupled uniformity against loops and known values."""

import math
from itertools import combinations

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.uniform import (
    ClipUniform,
    DecoupledUniformity,
    KernelUniformity,
)
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def distance(x, y) -> float:
    return float((x - y).square().sum())


def uniformity_in_loops(x, y, factor=2.0):
    n = len(x)
    cells = [math.exp(-factor * distance(x[i], y[j])) for i in range(n) for j in range(n) if i != j]
    return math.log(sum(cells) / len(cells))


def test_clip_with_uniformity_has_its_known_values(fixture_f, without_last_labs):
    for across, whole, masked in (
        (False, 10.161420702046, 10.305772974626),
        (True, 8.299986583261, 8.589045662088),
    ):
        objective = connected(ClipUniform(across=across), dim=3)
        assert loss_value(objective, fixture_f, temperature=0.1) == pytest.approx(whole, abs=1e-10)
        found = loss_value(objective, fixture_f, without_last_labs, temperature=0.1)
        assert found == pytest.approx(masked, abs=1e-10)


def centroids_in_loops(z, available):
    return [
        sum(z[i, m] for m in range(z.shape[1]) if available[i, m]) / int(available[i].sum())
        for i in range(len(z))
        if available[i].any()
    ]


def test_decoupled_uniformity_is_that_of_centroids(rng):
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.6)
    available[:2] = True
    centres = centroids_in_loops(z, available)
    cells = [math.exp(-1.5 * distance(a, b)) for a, b in combinations(centres, 2)]
    expected = math.log(sum(cells) / len(cells))
    found = loss_value(DecoupledUniformity(factor=1.5), z, available)
    assert found == pytest.approx(expected, rel=1e-11)


def test_decoupled_uniformity_has_its_known_values(fixture_f, without_last_labs):
    objective = DecoupledUniformity()
    assert loss_value(objective, fixture_f) == pytest.approx(-0.418200727416, abs=1e-11)
    found = loss_value(objective, fixture_f, without_last_labs)
    assert found == pytest.approx(-0.468578043685, abs=1e-11)
    assert loss_value(objective, fixture_f[:, :2]) == pytest.approx(-1.112747952742, abs=1e-11)


def test_its_score_is_the_negative_squared_distance_to_the_centroid(rng):
    z = unit_batch(rng, 4)
    available = torch.ones(4, 3, dtype=torch.bool)
    available[1, 2] = available[2, 1] = False
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(4))
    scores = DecoupledUniformity().score(query, z[:, 0], target="cxr")
    for i in range(4):
        some = [z[i, m] for m in (1, 2) if available[i, m]]
        centre = sum(some) / len(some)
        expected = [-distance(centre, z[j, 0]) for j in range(4)]
        assert scores[i].tolist() == pytest.approx(expected, rel=1e-12)


def test_it_has_no_scale():
    objective = DecoupledUniformity()
    assert objective.scalars() == {}
    assert list(objective.parameters()) == []
    objective.after_step()


def test_objectives_of_the_sphere_refuse_layer_norm():
    for objective in (ClipUniform(), DecoupledUniformity()):
        with pytest.raises(ValueError, match="norm is 'layer_norm', but this objective is defined"):
            objective.connect(
                modalities=("a", "b"), dim=3, norm="layer_norm", generator=torch.Generator()
            )


def test_a_factor_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"factor is -1.0; expected a positive number"):
        DecoupledUniformity(factor=-1.0)


def test_one_sample_with_two_modalities_is_refused(fixture_f):
    available = torch.eye(4, 3, dtype=torch.bool)
    available[0] = True
    with pytest.raises(ValueError, match="two modalities or more; this batch of 4 has 1"):
        loss_value(DecoupledUniformity(), fixture_f, available)


def kernel_value(z, values, available=None, **arguments) -> float:
    objective = KernelUniformity(**arguments).double()
    return loss_value(objective, z, available, **{objective.reads[0]: values})


def test_kernel_uniformity_has_its_known_values(fixture_f):
    found = kernel_value(fixture_f, fixture_f[:, 2])
    assert found == pytest.approx(-0.385423073189, abs=1e-11)
    two = kernel_value(fixture_f[:, :2], fixture_f[:, 2])
    assert two == pytest.approx(-1.029058661975, abs=1e-11)
    # Nothing is known of any sample: the kernel is the identity.
    unknown = kernel_value(fixture_f, torch.full((4, 3), math.nan))
    assert unknown == pytest.approx(-0.410518318121, abs=1e-11)


def test_a_kernel_of_the_identity_and_hardly_a_ridge_are_decoupled_uniformity(rng):
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    plain = loss_value(DecoupledUniformity().double(), z, available)
    found = kernel_value(z, torch.full((6, 2), math.nan), available, ridge=1e-12)
    assert found == pytest.approx(plain, rel=1e-9)


def test_samples_that_are_all_alike_have_one_centroid(rng):
    # A smaller ridge leaves a kernel of ones singular to working precision.
    found = kernel_value(unit_batch(rng, 5), torch.ones(5, 2), by="labels", ridge=1e-6)
    assert found == pytest.approx(0.0, abs=1e-5)


def test_kernel_uniformity_is_the_formula_in_loops(rng):
    z = unit_batch(rng, 5)
    available = torch.from_numpy(rng.random((5, 3)) < 0.8)
    available[:2] = True
    available[4] = False
    values = torch.from_numpy(rng.random((5, 4)))
    values[3] = math.nan
    found = kernel_value(z, values, available, ridge=0.2)
    kernel = torch.eye(4, dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            if 3 not in (i, j):
                kernel[i, j] = (1 + torch.cosine_similarity(values[i], values[j], dim=0)) / 2
    own = torch.stack([z[i, available[i]].mean(dim=0) for i in range(4)])
    averaged = torch.linalg.inv(kernel + 0.2 * torch.eye(4, dtype=torch.float64)) @ kernel @ own
    assert found == pytest.approx(uniformity_in_loops(averaged, averaged), rel=1e-9)


def test_bad_arguments_of_the_kernel_are_refused():
    with pytest.raises(ValueError, match=r"ridge is 0\.0; expected a positive number"):
        KernelUniformity(ridge=0.0)
    with pytest.raises(ValueError, match="'subjects'"):
        KernelUniformity(by="subjects")
