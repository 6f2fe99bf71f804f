"""MedCLIP equals its definition in loops and values computed elsewhere."""

import pytest
import torch
from torch import Tensor

from clinical_symile.objectives.medclip import MedClip, medclip_loss
from tests.helpers.objective_values import loss_value, unit_batch

IMAGE = torch.tensor([[1, 0, 1, -1], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
TEXT = torch.tensor([[0, 0, 1, -1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
TEN = torch.tensor(10.0, dtype=torch.float64)


def in_loops(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Half the sum of both directions' cross-entropies, a row after the other."""
    directions = []
    for a, b, of_a, of_b in ((x, y, of_x, of_y), (y, x, of_y, of_x)):
        losses = []
        for row, label in zip(a, of_a, strict=True):
            target = torch.stack([label @ other for other in of_b]).softmax(0)
            scores = torch.stack([10 * (row @ other) for other in b])
            losses.append(-(target * scores.log_softmax(0)).sum())
        directions.append(torch.stack(losses).mean())
    return (directions[0] + directions[1]) / 2


@pytest.mark.parametrize(
    ("similarity", "expected", "unpaired"),
    [
        ("dot", 9.862271087741, 10.120448837132),
        ("cosine", 9.268757914067, 9.513971477143),
    ],
)
def test_the_golden_values_also_of_unpaired_sides(
    similarity: str, expected: float, unpaired: float, fixture_f: Tensor
):
    x, y = fixture_f[:, 0], fixture_f[:, 1]
    found = medclip_loss(x, y, IMAGE, TEXT, TEN, label_similarity=similarity)
    assert found.item() == pytest.approx(expected, abs=1e-10)
    found = medclip_loss(x[:3], y, IMAGE[:3], TEXT, TEN, label_similarity=similarity)
    assert found.item() == pytest.approx(unpaired, abs=1e-10)


def test_equal_labels_give_a_uniform_target(fixture_f: Tensor):
    x, y = fixture_f[:, 0], fixture_f[:, 1]
    found = medclip_loss(x, y, torch.zeros(4, 2).double(), torch.zeros(4, 2).double(), TEN)
    logits = 10 * x @ y.T
    uniform = [-(part.log_softmax(1)).mean().item() for part in (logits, logits.T)]
    assert found.item() == pytest.approx(sum(uniform) / 2, abs=1e-10)


def test_a_recording_needs_its_own_label_only_and_unknown_labels_take_no_part(rng):
    z = unit_batch(rng, 6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[0, 1] = available[2, 0] = False
    labels = torch.tensor([[1, 0], [0, torch.nan], [1, -1], [0, 0], [1, 1], [torch.nan] * 2])
    expected = []
    filled = labels.nan_to_num(0.0).double()
    for a, b in ((0, 1), (0, 2), (1, 2)):
        of_a, of_b = ([i for i in range(5) if available[i, m]] for m in (a, b))
        expected.append(in_loops(z[of_a, a], z[of_b, b], filled[of_a], filled[of_b]))
    found = loss_value(MedClip(), z, available, temperature=0.1, labels=labels)
    assert found == pytest.approx(torch.stack(expected).mean().item(), abs=1e-10)


def test_a_batch_without_two_labelled_samples_is_refused(fixture_f: Tensor):
    labels = torch.tensor([[1.0], [torch.nan], [torch.nan], [torch.nan]])
    with pytest.raises(ValueError, match="this batch of 4 has 1 labelled samples"):
        loss_value(MedClip(), fixture_f, labels=labels)


def test_an_unknown_similarity_is_refused():
    with pytest.raises(ValueError, match="label_similarity is 'euclid'; expected 'dot' or"):
        MedClip(label_similarity="euclid")
