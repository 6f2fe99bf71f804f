"""LoRA by hand, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.models.adapters.lora import Lora, LowRankUpdate

W = torch.tensor([[1.0, 2], [3, 4]])


class Linear(nn.Module):
    """Two layers, of which the second is the head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x))


def test_the_changed_weight_is_that_of_the_hand_calculation():
    update = LowRankUpdate(W, rank=1, alpha=2.0)
    with torch.no_grad():
        update.a.copy_(torch.tensor([[1.0, -1]]))
        update.b.copy_(torch.tensor([[0.5], [2]]))
    assert torch.equal(update(W), torch.tensor([[2.0, 1], [7, 0]]))


def test_a_convolution_is_changed_as_the_matrix_of_its_kernels():
    weight = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    update = LowRankUpdate(weight, rank=2, alpha=3.0)
    with torch.no_grad():
        update.b.normal_(generator=torch.Generator().manual_seed(1))
    expected = weight.flatten(1) + 1.5 * update.b @ update.a
    torch.testing.assert_close(update(weight), expected.view(4, 3, 2))


def test_named_layers_alone_are_changed_and_a_name_without_a_layer_is_refused():
    encoder = Linear()
    assert Lora(rank=1, layers=["fir*"]).adapt(encoder, head=encoder.head) == 1
    other = Linear()
    with pytest.raises(ValueError, match=r"is named like third; the first layers are first"):
        Lora(rank=1, layers=["first", "third"]).adapt(other, head=other.head)
    assert not hasattr(other.first, "parametrizations")  # all or nothing


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"rank": True}, "rank is True"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"rank": 3}, "at most 2, the smaller side of layer 'first'"),
    ],
)
def test_a_rank_or_scale_that_fits_nothing_is_refused(arguments: dict[str, Any], match: str):
    encoder = Linear()
    with pytest.raises(ValueError, match=match):
        Lora(**arguments).adapt(encoder, head=encoder.head)
