"""SigLIP, sigmoid Symile and CLIP-Lite against their sums in loops and known values."""

import math
from itertools import product

import pytest
import torch

from clinical_symile.objectives.sigmoid import ClipLite, SigLip, SigmoidSymile, clip_lite_loss
from tests.helpers.objective_values import connected, loss_value, unit_batch


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0)


def siglip_in_loops(x, y, scale, bias):
    total = 0.0
    for i, j in product(range(len(x)), repeat=2):
        logit = scale * float(x[i] @ y[j]) + bias
        total += softplus(-logit if i == j else logit)
    return total / len(x)


def test_siglip_is_its_sum_over_pairs_of_samples(rng):
    z = unit_batch(rng, 6)
    available = torch.from_numpy(rng.random((6, 3)) < 0.8)
    available[:2] = True
    expected = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = available[:, a] & available[:, b]
        expected.append(siglip_in_loops(z[both, a], z[both, b], 5.0, -2.0))
    found = loss_value(SigLip(bias=-2.0).double(), z, available, temperature=0.2)
    assert found == pytest.approx(sum(expected) / 3, rel=1e-12)


def test_siglip_has_its_known_values(fixture_f, without_last_labs):
    known = {(0, 1): 14.687939918131, (1, 2): 14.815121507860, (0, 2): 11.303775032320}
    for pair, expected in known.items():
        found = loss_value(SigLip().double(), fixture_f[:, pair], temperature=0.1)
        assert found == pytest.approx(expected, abs=1e-10)
    assert loss_value(SigLip().double(), fixture_f, temperature=0.1) == pytest.approx(
        13.602278819437, abs=1e-10
    )
    assert loss_value(
        SigLip().double(), fixture_f, without_last_labs, temperature=0.1
    ) == pytest.approx(13.813532397199, abs=1e-10)


def test_siglip_by_hand_on_the_axes():
    z = torch.eye(2, dtype=torch.float64)[:, None].expand(2, 2, 2)
    found = loss_value(SigLip(bias=0.0).double(), z, temperature=1.0)
    assert found == pytest.approx(math.log(1 + math.exp(-1)) + math.log(2), rel=1e-12)


def test_a_constant_model_has_the_loss_of_the_bias_alone():
    z = torch.zeros(5, 2, 3, dtype=torch.float64)
    assert loss_value(SigLip().double(), z) == pytest.approx(softplus(10) + 4 * softplus(-10))


def cube_in_loops(z, available, scale, bias):
    complete = int(available.all(dim=1).sum())
    total = 0.0
    for places in product(range(len(z)), repeat=z.shape[1]):
        if not all(available[i, m] for m, i in enumerate(places)):
            continue
        members = torch.stack([z[i, m] for m, i in enumerate(places)])
        logit = scale * float(members.prod(dim=0).sum()) + bias
        total += softplus(-logit if len(set(places)) == 1 else logit)
    return total / complete


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_sigmoid_symile_is_its_sum_over_the_cube(modalities, rng):
    z = unit_batch(rng, 5, modalities)
    available = torch.from_numpy(rng.random((5, modalities)) < 0.8)
    available[:2] = True
    found = loss_value(SigmoidSymile(bias=-3.0).double(), z, available, temperature=0.1)
    assert found == pytest.approx(cube_in_loops(z, available, 10.0, -3.0), rel=1e-12)


def test_sigmoid_symile_has_its_known_value(fixture_f):
    found = loss_value(SigmoidSymile().double(), fixture_f, temperature=0.1)
    assert found == pytest.approx(9.491469764229, abs=1e-10)


def test_clip_lite_has_its_known_value(fixture_f):
    wrong = torch.tensor([1, 2, 3, 0])
    found = clip_lite_loss(fixture_f[:, 0], fixture_f[:, 1], 10.0, wrong).item()
    assert found == pytest.approx(11.710475314592, abs=1e-10)


def test_independent_scores_cost_two_logarithms_of_two():
    z = torch.zeros(4, 3, 2, dtype=torch.float64)
    assert loss_value(ClipLite().double(), z) == pytest.approx(2 * math.log(2))


def test_no_partner_of_clip_lite_is_the_right_one(monkeypatch, rng):
    seen = []

    def record(first, second, scale, wrong):
        seen.append(wrong.tolist())
        return (scale * first.sum() * second.sum()).double()

    monkeypatch.setattr("clinical_symile.objectives.sigmoid.clip_lite_loss", record)
    for _ in range(20):
        loss_value(ClipLite().double(), unit_batch(rng, 5))
    for wrong in seen:
        assert sorted(wrong) == list(range(5))
        assert all(i != j for i, j in enumerate(wrong))


def test_clip_lite_needs_a_generator(fixture_f):
    objective = connected(ClipLite(), dim=3)
    available = torch.ones(4, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="expected a generator"):
        objective.batch_loss(fixture_f, available, generator=None)


def test_the_bias_is_among_the_scalars():
    assert SigLip(bias=-4.0).scalars()["bias"] == -4.0
    assert SigmoidSymile(bias=-5.0).scalars()["bias"] == -5.0


def test_sigmoid_symile_needs_two_complete_samples(fixture_f):
    available = torch.ones(4, 3, dtype=torch.bool)
    available[1:, 2] = False
    with pytest.raises(ValueError, match="2 complete samples; this batch of 4 has 1"):
        loss_value(SigmoidSymile().double(), fixture_f, available)
