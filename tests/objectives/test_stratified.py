"""Negatives within a stratum, in loops; one stratum is CLIP, and a stratum of one has no loss."""

import math

import pytest
import torch

from clinical_symile.objectives.stratified import StratifiedClip, strata
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import loss_value, unit_batch


def found(z, labels, available=None) -> float:
    return loss_value(StratifiedClip().double(), z, available, temperature=0.2, labels=labels)


def test_one_stratum_is_clip(rng, fixture_f):
    z = unit_batch(rng, 7)
    available = torch.from_numpy(rng.random((7, 3)) < 0.8)
    available[:2] = True
    expected = dense_clip_loss(z, torch.tensor(5.0, dtype=torch.float64), available).item()
    for label in (1.0, -1.0, math.nan):
        assert found(z, torch.full((7, 2), label), available) == pytest.approx(expected, rel=1e-11)
    clip = loss_value(
        StratifiedClip().double(), fixture_f, temperature=0.1, labels=torch.zeros(4, 1)
    )
    assert clip == pytest.approx(10.784360875436, abs=1e-10)


def test_samples_by_themselves_have_no_negatives_and_no_loss(rng):
    assert found(unit_batch(rng, 5), torch.arange(5.0)[:, None]) == 0.0


def test_negatives_are_those_of_the_stratum_in_loops(rng):
    z = unit_batch(rng, 8)
    nan = math.nan
    labels = torch.tensor([[1, 0], [1, 0], [1, nan], [1, nan], [1, 0], [0, 0], [-1, 0], [1, 1.0]])
    groups = [0, 0, 1, 1, 0, 2, 3, 4]
    available = torch.ones(8, 3, dtype=torch.bool)
    available[4, 1] = False
    pairs = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        rows = [i for i in range(8) if available[i, a] and available[i, b]]
        total = 0.0
        for x, y in ((a, b), (b, a)):
            for i in rows:
                others = [j for j in rows if groups[j] == groups[i]]
                logits = [5 * float(z[i, x] @ z[j, y]) for j in others]
                own = 5 * float(z[i, x] @ z[i, y])
                total += math.log(sum(map(math.exp, logits))) - own
        pairs.append(total / 2 / len(rows))
    assert found(z, labels, available) == pytest.approx(sum(pairs) / 3, rel=1e-11)


def test_strata_are_equal_labels_with_unknown_as_a_value():
    nan = math.nan
    codes = strata(torch.tensor([[1, nan], [1, nan], [1, 0], [0, nan], [-1, nan], [1, 0.0]]))
    assert codes[0] == codes[1]
    assert codes[2] == codes[5]
    assert len(codes.unique()) == 4
