"""MV-InfoNCE, MV-DHEL and Poly-View against loops and known values."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from clinical_symile.objectives.multiview import MvDhel, MvInfoNce, PolyView
from tests.helpers.objective_values import loss_value, unit_batch


def tokens_of(available):
    return [tuple(place) for place in available.nonzero().tolist()]


def exponential(z, scale, one, other) -> float:
    return math.exp(scale * float(z[one] @ z[other]))


def mv_infonce_in_loops(z, available, scale):
    tokens, losses = tokens_of(available), []
    for i in range(len(z)):
        own = [(i, m) for m in range(z.shape[1]) if available[i, m]]
        if len(own) < 2:
            continue
        top = sum(exponential(z, scale, a, b) for a in own for b in own if a != b)
        bottom = sum(exponential(z, scale, a, t) for a in own for t in tokens if t != a)
        losses.append(-math.log(top / bottom))
    return sum(losses) / len(losses)


def mv_dhel_in_loops(z, available, scale):
    losses = []
    for i in range(len(z)):
        own = [(i, m) for m in range(z.shape[1]) if available[i, m]]
        if len(own) < 2:
            continue
        total = -math.log(sum(exponential(z, scale, a, b) for a in own for b in own if a < b))
        for _, m in own:
            rest = [(j, m) for j in range(len(z)) if j != i and available[j, m]]
            total += math.log(sum(exponential(z, scale, (i, m), t) for t in rest))
        losses.append(total)
    return sum(losses) / len(losses)


def poly_view_in_loops(z, available, scale, form):
    tokens, losses = tokens_of(available), []
    for i in range(len(z)):
        own = [m for m in range(z.shape[1]) if available[i, m]]
        if len(own) < 2:
            continue
        terms = []
        for query in own:
            others = [m for m in own if m != query]
            rest = [t for t in tokens if t[0] != i]
            if form == "sufficient":
                mean = normalize(torch.stack([z[i, m] for m in others]).sum(dim=0), dim=0)
                negatives = sum(math.exp(scale * float(z[t] @ mean)) for t in rest)
                positive = math.exp(scale * float(z[i, query] @ mean))
                terms.append(-math.log(positive / (positive + negatives)))
                continue
            negatives = sum(exponential(z, scale, (i, query), t) for t in rest)
            shares = []
            for m in others:
                positive = exponential(z, scale, (i, query), (i, m))
                shares.append(positive / (positive + negatives))
            if form == "geometric":
                terms.append(-sum(math.log(s) for s in shares) / len(shares))
            else:
                terms.append(-math.log(sum(shares) / len(shares)))
        losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses)


LOSSES = {
    "mv_infonce": (MvInfoNce, mv_infonce_in_loops),
    "mv_dhel": (MvDhel, mv_dhel_in_loops),
    **{
        form: (
            lambda form=form: PolyView(form=form),
            lambda z, available, scale, form=form: poly_view_in_loops(z, available, scale, form),
        )
        for form in ("geometric", "arithmetic", "sufficient")
    },
}


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_its_definition_in_loops(name, modalities, rng):
    make, in_loops = LOSSES[name]
    z = unit_batch(rng, 6, modalities)
    available = torch.from_numpy(rng.random((6, modalities)) < 0.7)
    available[:2] = True
    found = loss_value(make().double(), z, available, temperature=0.2)
    assert found == pytest.approx(in_loops(z, available, 5.0), rel=1e-11)


@pytest.mark.parametrize(
    ("name", "whole", "masked"),
    [
        ("mv_infonce", 8.417840192775, 8.527601050901),
        ("mv_dhel", 9.790528557603, 6.210960106732),
        ("geometric", 12.079417386732, 11.916844552104),
        ("arithmetic", 10.382409485493, 10.263247672193),
        ("sufficient", 14.401786714351, 14.059920713842),
    ],
)
def test_each_loss_has_its_known_values(name, whole, masked, fixture_f, without_last_labs):
    make, _ = LOSSES[name]
    found = loss_value(make().double(), fixture_f, temperature=0.1)
    assert found == pytest.approx(whole, abs=1e-10)
    found = loss_value(make().double(), fixture_f, without_last_labs, temperature=0.1)
    assert found == pytest.approx(masked, abs=1e-10)


def test_by_hand_on_the_axes():
    for modalities, infonce, dhel in (
        (2, math.log(1 + 2 / math.e), -1),
        (3, 0.439428, -1 - math.log(3)),
    ):
        z = torch.eye(2, dtype=torch.float64)[:, None].expand(2, modalities, 2)
        found = loss_value(MvInfoNce().double(), z, temperature=1.0)
        assert found == pytest.approx(infonce, abs=1e-6)
        found = loss_value(MvDhel().double(), z, temperature=1.0)
        assert found == pytest.approx(dhel, abs=1e-9)


def test_two_views_make_geometric_and_arithmetic_the_same(fixture_f):
    pair = fixture_f[:, :2]
    found = [
        loss_value(PolyView(form=form).double(), pair, temperature=0.1)
        for form in ("geometric", "arithmetic")
    ]
    assert found == pytest.approx([12.256015960938] * 2, abs=1e-10)  # NT-Xent


def test_the_arithmetic_form_is_at_most_the_geometric(rng):
    for _ in range(5):
        z = unit_batch(rng, 5)
        arithmetic, geometric = (
            loss_value(PolyView(form=form).double(), z, temperature=0.2)
            for form in ("arithmetic", "geometric")
        )
        assert arithmetic <= geometric


def test_a_rotation_of_one_modality_changes_only_the_alignment_of_mv_dhel(rng):
    z = unit_batch(rng, 6)
    turned = z.clone()
    turned[:, 1] = turned[:, 1].flip(-1)
    spread = []
    for batch in (z, turned):
        aligned = [
            math.log(sum(math.exp(5 * float(row[a] @ row[b])) for a, b in ((0, 1), (0, 2), (1, 2))))
            for row in batch
        ]
        loss = loss_value(MvDhel().double(), batch, temperature=0.2)
        spread.append(loss + sum(aligned) / len(aligned))
    assert spread[0] == pytest.approx(spread[1], rel=1e-12)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form is 'mean'; expected 'geometric', 'arith"):
        PolyView(form="mean")
