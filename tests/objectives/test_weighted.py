"""X-CLR and CWCL equal their definitions in loops and values computed elsewhere."""

from itertools import combinations, permutations

import pytest
import torch
from torch import Tensor

from clinical_symile.objectives.kernels.soft_targets import Targets
from clinical_symile.objectives.similarity import log_weights, similarity_tensors
from clinical_symile.objectives.weighted import Cwcl, XClr, cwcl_losses
from tests.helpers.objective_values import loss_value, unit_batch

TEN = torch.tensor(10.0, dtype=torch.float64)


def cross_entropy(logits: Tensor, weights: Tensor) -> Tensor:
    """Of targets that are each row's weights over their sum."""
    return -(weights / weights.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()


def test_x_clr_has_the_golden_values(fixture_f: Tensor, without_last_labs: Tensor):
    values = fixture_f[:, 2]
    found = loss_value(XClr(), fixture_f, temperature=0.1, values=values)
    assert found == pytest.approx(10.752871758471, abs=1e-10)
    found = loss_value(XClr(), fixture_f, without_last_labs, temperature=0.1, values=values)
    assert found == pytest.approx(10.924353186820, abs=1e-10)


@pytest.mark.parametrize(
    ("teacher", "weighted", "mean"),
    [(2, 9.282238670900, 10.808871801173), (1, 10.170555789105, 11.253030360276)],
)
def test_cwcl_has_the_golden_values(teacher: int, weighted: float, mean: float, fixture_f: Tensor):
    known = similarity_tensors(fixture_f[:, teacher], torch.arange(4))
    targets = Targets(log_weights(temperature=None), known, known)
    forth, back = cwcl_losses(fixture_f[:, 0], fixture_f[:, 1], TEN, targets)
    assert forth.item() == pytest.approx(weighted, abs=1e-10)
    assert back.item() == pytest.approx(12.335504931447, abs=1e-10)
    assert (forth + back).item() / 2 == pytest.approx(mean, abs=1e-10)


def test_cwcl_weights_every_ordered_pair_once(rng):
    z, values = unit_batch(rng, 5), torch.from_numpy(rng.random((5, 4)))
    unit = torch.nn.functional.normalize(values, dim=1)
    weights = (1 + unit @ unit.T) / 2
    expected = [
        cross_entropy(10 * z[:, a] @ z[:, b].T, weights)
        + cross_entropy(10 * z[:, b] @ z[:, a].T, torch.eye(5).double())
        for a, b in permutations(range(3), 2)
    ]
    found = loss_value(Cwcl(), z, temperature=0.1, values=values)
    assert found == pytest.approx(torch.stack(expected).mean().item() / 2, abs=1e-10)


def test_x_clr_by_labels_compares_what_is_known_of_both(rng):
    z, nan = unit_batch(rng, 4), torch.nan
    labels = torch.tensor([[1, 0], [1, nan], [0, -1], [nan, nan]])
    # Jointly known: 0 and 1 agree; 0 and 2, 1 and 2 disagree; of 3 nothing is known.
    cosine = torch.tensor([[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1.0]]).double()
    weights = (cosine / 0.5).exp()
    weights[3, :3] = weights[:3, 3] = 0
    expected = [
        (cross_entropy(logits, weights) + cross_entropy(logits.T, weights)) / 2
        for logits in (10 * z[:, a] @ z[:, b].T for a, b in combinations(range(3), 2))
    ]
    objective = XClr(by="labels", similarity_temperature=0.5)
    assert objective.reads == ("labels",)
    found = loss_value(objective, z, temperature=0.1, labels=labels)
    assert found == pytest.approx(torch.stack(expected).mean().item(), abs=1e-10)


def test_a_vanishing_similarity_temperature_gives_the_loss_of_clip(fixture_f: Tensor):
    objective = XClr(similarity_temperature=1e-3)
    found = loss_value(objective, fixture_f, temperature=0.1, values=fixture_f[:, 2])
    assert found == pytest.approx(10.784360875436, abs=1e-6)


def test_settings_out_of_range_are_refused():
    for make in (XClr, Cwcl):
        with pytest.raises(ValueError, match="by is 'subjects'; expected 'labels' or 'values'"):
            make(by="subjects")
    with pytest.raises(ValueError, match="similarity_temperature is 0"):
        XClr(similarity_temperature=0.0)
