"""SSF by hand: which axis has the channels, and which layers it changes."""

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from clinical_symile.models.adapters.ssf import ScaleShift, Ssf
from clinical_symile.models.encoders.image import resnet50


def changed(update: ScaleShift, output: Tensor) -> Tensor:
    with torch.no_grad():
        update.scale.copy_(torch.tensor([2.0, -1.0]))
        update.shift.copy_(torch.tensor([0.5, 1.0]))
        return update(output)


def test_channels_are_scaled_and_shifted_on_their_axis():
    last = torch.tensor([[[1.0, 3.0]], [[2.0, 5.0]]])
    found = changed(ScaleShift(2, channels_last=True), last)
    assert found.tolist() == [[[2.5, -2.0]], [[4.5, -4.0]]]
    second = torch.tensor([[[1.0, 2.0, 4.0], [3.0, 5.0, 6.0]]])
    expected = [[[2.5, 4.5, 8.5], [-2.0, -4.0, -5.0]]]
    assert changed(ScaleShift(2, channels_last=False), second).tolist() == expected
    # Layer normalization of images with channels first.
    assert changed(ScaleShift(2, channels_last=True), second).tolist() == expected


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (nn.Linear(3, 5), 5),
        (nn.Conv1d(3, 4, 3), 4),
        (nn.Conv2d(3, 6, 3), 6),
        (nn.BatchNorm2d(7, affine=False), 7),
        (nn.InstanceNorm1d(2), 2),
        (nn.GroupNorm(2, 8), 8),
        (nn.LayerNorm(9), 9),
        (nn.RMSNorm(3), 3),
    ],
)
def test_a_layer_of_each_kind_has_a_scale_and_a_shift_of_its_channels(layer: Any, channels: int):
    (update,) = Ssf().updates(nn.Sequential(layer), head=None).values()
    assert [p.shape for p in update.parameters()] == [(channels,)] * 2


def test_a_layer_that_is_not_called_is_left_out_and_named_ones_alone_are_changed():
    attention = nn.Sequential(nn.MultiheadAttention(4, 1), nn.LayerNorm(4))
    assert [*Ssf().updates(attention, head=None)] == ["1"]
    encoder = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    assert Ssf(layers=["0"]).adapt(encoder, head=encoder[2]) == 1
    with pytest.raises(ValueError, match="no linear, convolutional or normalization layer"):
        Ssf(layers=["2"]).updates(encoder, head=encoder[2])


def test_it_trains_less_than_one_percent_of_a_resnet_50():
    with torch.device("meta"):
        encoder = resnet50((1, 320, 320), 128)
        plain = sum(p.numel() for p in torchvision.models.resnet50().parameters())
        updates = Ssf().updates(encoder, head=None)
        trained = sum(p.numel() for update in updates.values() for p in update.parameters())
    # Twice the channels of 53 convolutions and as many normalizations, and of the last layer.
    assert trained == 2 * (2 * 26_560 + 128)
    assert trained / plain < 0.01
