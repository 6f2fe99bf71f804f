"""SupReMix against loops, and mixtures whose number is that of their anchor."""

import math

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.objectives.supremix import SupReMix, anchor_mixtures, surrounding_mixtures
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch

NUMBER = torch.tensor([40.0, 43.0, 41.0, math.nan, 40.0, 44.5])


@pytest.mark.parametrize("mixtures", [0, 3])
def test_the_loss_is_its_definition_in_loops(mixtures: int, rng) -> None:
    z, available = unit_batch(rng, 6), torch.ones(6, 3, dtype=torch.bool)
    available[0, 1] = available[1, 2] = available[5, 0] = available[5, 1] = False
    objective = SupReMix(mixtures=mixtures, window=4.0, unit=2.0)
    found = loss_value(objective, z, available, temperature=0.2, number=NUMBER)
    tokens = [(i, m) for i in range(6) for m in range(3) if available[i, m]]
    y = np.array([NUMBER[i].item() / 2 for i, _ in tokens])
    columns = np.array([m for _, m in tokens])
    drawn = torch.Generator().manual_seed(0)
    seeds = np.random.default_rng(int(torch.randint(2**62, (1,), generator=drawn)))
    mixed = [
        (anchor_mixtures(y, columns, count=mixtures, rng=seeds), False),
        (surrounding_mixtures(y, columns, count=mixtures, window=4.0, rng=seeds), True),
    ]
    losses = []
    for t, (i, m) in enumerate(tokens):
        total, positives = 0.0, []
        for a, (j, k) in enumerate(tokens):
            if a == t:
                continue
            score, apart = float(z[i, m] @ z[j, k]) / 0.2, abs(y[t] - y[a])
            total += (1 + (0 if math.isnan(apart) else apart)) * math.exp(score)
            if i == j or apart == 0:
                positives.append(score)
        for one, is_positive in mixed:
            for place in range(mixtures):
                if not one.exists[t, place]:
                    continue
                (i1, m1), (i2, m2) = (tokens[which[t, place]] for which in (one.first, one.second))
                share = one.share[t, place]
                vector = share * z[i1, m1] + (1 - share) * z[i2, m2]
                label = share * y[one.first[t, place]] + (1 - share) * y[one.second[t, place]]
                score = float(z[i, m] @ vector) / 0.2
                total += (1 + abs(y[t] - label)) * math.exp(score)
                if is_positive:
                    positives.append(score)
        if positives:
            losses.append(math.log(total) - sum(positives) / len(positives))
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-9)


def test_mixtures_of_others_have_the_anchor_s_number_and_those_of_the_anchor_have_not(rng) -> None:
    number = rng.integers(20, 60, 80).astype(float)
    number[::9] = np.nan
    modality = rng.integers(0, 3, 80)
    mixed = torch.from_numpy(number)
    positives = surrounding_mixtures(number, modality, count=5, window=6.0, rng=rng)
    negatives = anchor_mixtures(number, modality, count=5, rng=rng)
    for one in (positives, negatives):
        assert one.exists.any()
        assert not one.exists[::9].any()
        anchors, places = one.exists.nonzero()
        for end in (one.first, one.second):
            assert (modality[end[anchors, places]] == modality[anchors]).all()
        assert ((one.share[anchors, places] > 0) & (one.share[anchors, places] < 1)).all()
    anchors, places = positives.exists.nonzero()
    wanted, found = number[anchors], positives.of(mixed).numpy()[anchors, places]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    first, second = (number[end[anchors, places]] for end in (positives.first, positives.second))
    assert ((wanted - 6 < first) & (first < wanted)).all()
    assert ((wanted < second) & (second < wanted + 6)).all()
    anchors, places = negatives.exists.nonzero()
    assert (negatives.first[anchors, places] == anchors).all()
    assert (negatives.of(mixed).numpy()[anchors, places] != number[anchors]).all()
    assert 0.17 < negatives.share.mean() < 0.23


def test_every_allowed_embedding_is_drawn(rng) -> None:
    number = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    found = anchor_mixtures(number, np.zeros(5, dtype=np.int64), count=200, rng=rng)
    assert [set(row) for row in found.second] == [
        {1, 2, 3, 4},
        {0, 3, 4},
        {0, 3, 4},
        {0, 1, 2, 4},
        {0, 1, 2, 3},
    ]


def test_embeddings_are_ordered_by_a_planted_number(generator) -> None:
    number = torch.linspace(20, 60, 24)
    objective = connected(SupReMix(unit=10.0, window=1.0), modalities=2, dim=4)
    raw = torch.randn(24, 2, 4, generator=generator, dtype=torch.float64).requires_grad_()
    rows = torch.arange(24)
    adam = torch.optim.Adam([raw], lr=0.05)
    for _ in range(100):
        adam.zero_grad()
        unit = torch.nn.functional.normalize(raw, dim=2)
        batch = Embeddings(unit, torch.ones(24, 2, dtype=torch.bool), MODALITIES[:2], rows)
        side = SideInformation(rows, number=number)
        inputs = toy_input(objective, batch, side)
        objective.training_loss(inputs, group=None, generator=generator).total.backward()
        adam.step()
    z = torch.nn.functional.normalize(raw.detach(), dim=2)[:, 0]
    near, far = (z[:-lag] * z[lag:] for lag in (1, 12))
    assert near.sum(dim=1).mean() > 0.7
    assert far.sum(dim=1).mean() < 0.3


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mixtures is -1; .*window is 0\.0; .*unit is -1\.0"):
        SupReMix(mixtures=-1, window=0.0, unit=-1.0)
