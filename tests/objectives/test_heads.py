"""Several heads with temperatures of their own, in loops; one head at a constant one is CLIP."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.heads import MultiHeadClip
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def maps(objective: MultiHeadClip) -> torch.Tensor:
    assert objective.maps is not None
    return objective.maps


def test_one_head_at_a_constant_temperature_is_clip(fixture_f, without_last_labs, rng):
    objective = connected(MultiHeadClip(heads=1, lowest=0.1, highest=0.1), dim=3)
    assert loss_value(objective, fixture_f) == pytest.approx(10.784360875436, abs=1e-10)
    ten = torch.tensor(10.0, dtype=torch.float64)
    expected = dense_clip_loss(fixture_f, ten, without_last_labs).item()
    assert loss_value(objective, fixture_f, without_last_labs) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("heads", [1, 3])
def test_the_loss_is_the_formula_in_loops(heads, rng):
    z = unit_batch(rng, 6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[4, 1] = False
    objective = connected(MultiHeadClip(heads=heads, lowest=0.1, highest=0.5, log_weight=0.3))
    found = loss_value(objective, z, available)
    losses, logs = [], []
    with torch.no_grad():
        for a, b in ((0, 1), (0, 2), (1, 2)):
            rows = [i for i in range(6) if available[i, a] and available[i, b]]
            for x, y in ((a, b), (b, a)):
                for h in range(heads):

                    def head(v, h=h):
                        return v if heads == 1 else normalize(maps(objective)[h] @ v, dim=0)

                    of_head = []
                    for i in rows:
                        place = objective.temperature_maps[h] @ z[i, x]
                        place = torch.sigmoid(place + objective.temperature_bias[h])
                        tau = 0.1 + 0.4 * float(place)
                        logits = [float(head(z[i, x]) @ head(z[j, y])) / tau for j in rows]
                        own = float(head(z[i, x]) @ head(z[i, y])) / tau
                        of_head.append(math.log(sum(map(math.exp, logits))) - own)
                        logs.append(math.log(tau))
                    losses.append(sum(of_head) / len(of_head))
    expected = sum(losses) / len(losses) + 0.3 * sum(logs) / len(logs)
    assert found == pytest.approx(expected, rel=1e-11)


def test_a_step_projects_each_modality_once(rng, monkeypatch):
    project, calls = MultiHeadClip._projected, []

    def counted(self, z):
        calls.append(len(z))
        return project(self, z)

    monkeypatch.setattr(MultiHeadClip, "_projected", counted)
    loss_value(connected(MultiHeadClip(heads=2)), unit_batch(rng, 5))
    assert calls == [5, 5, 5]


def test_temperatures_start_near_the_geometric_mean_and_stay_between_their_limits(rng):
    objective = connected(MultiHeadClip(heads=2, lowest=0.04, highest=0.25))
    assert objective.scalars() == {}
    z = unit_batch(rng, 50)
    loss_value(objective, z)
    start = objective.scalars()
    assert list(start) == ["head/0/temperature", "head/1/temperature"]
    assert list(start.values()) == pytest.approx([0.1, 0.1], abs=0.02)
    with torch.no_grad():
        objective.temperature_maps.mul_(1000)
    found = objective.temperatures(z)
    assert found.min() >= 0.04
    assert found.max() <= 0.25


def test_a_score_is_the_sum_of_logits_over_heads_and_modalities(rng):
    z = unit_batch(rng, 4)
    available = torch.tensor([[True, True, True], [True, False, True]] * 2)
    objective = connected(MultiHeadClip(heads=3))
    query = Embeddings(z, available, MODALITIES[:3], torch.arange(4))
    with torch.no_grad():
        scores = objective.score(query, z[:, 0], target="cxr")
        for i in range(4):
            for j in range(4):
                expected = 0.0
                for m in (1, 2):
                    if not available[i, m]:
                        continue
                    taus = objective.temperatures(z[i, m])
                    for h in range(3):
                        q, c = (
                            normalize(maps(objective)[h] @ v, dim=0) for v in (z[i, m], z[j, 0])
                        )
                        expected += float(q @ c) / float(taus[h])
                assert scores[i, j].item() == pytest.approx(expected, rel=1e-11)


def test_bad_arguments_are_refused():
    with pytest.raises(
        ValueError,
        match=r"heads is 0; .* highest is 0.1; expected a number of at least 0.5. .* -1.0",
    ):
        MultiHeadClip(heads=0, lowest=0.5, highest=0.1, log_weight=-1.0)
