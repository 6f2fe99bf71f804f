"""Convolutions on a processor: the same values, whatever way computes them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from clinical_symile.models.encoders.waveform import (
    RasterEncoder,
    ResNet18Raster,
    StretchedRaster,
)
from clinical_symile.training.convolutions import guard_narrow_convolutions


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (7, 2), (3, 3), (3, 1), (1, 2)])
def test_a_strided_convolution_over_few_columns_is_computed_in_float32(
    width: int, kernel: int, stride: int, generator: torch.Generator
) -> None:
    for convolution, shape in ((nn.Conv2d, (40, width)), (nn.Conv1d, (width,))):
        plain = convolution(4, 8, kernel, stride=stride, padding=kernel // 2)
        model = nn.Sequential(copy.deepcopy(plain))
        guard_narrow_convolutions(model)
        assert model.state_dict().keys() == {"0.weight", "0.bias"}
        model = copy.deepcopy(model)  # as a teacher is made
        x = torch.randn(3, 4, *shape, generator=generator)
        exact = stride > 1 and kernel > 1 and width <= 2 * stride
        with torch.autocast("cpu", torch.bfloat16):
            found = model(x)
        assert found.dtype == (torch.float32 if exact else torch.bfloat16)
        if exact:
            torch.testing.assert_close(found, plain(x), rtol=0, atol=0)
        torch.testing.assert_close(model(x), plain(x), rtol=0, atol=0)  # without autocast


class _OwnConvolution(nn.Conv1d):
    """A subclass, as other packages have them."""


class _Standardized(nn.Conv2d):
    """A subclass with weights of mean 0, as those of BiT and NFNet."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(input, weight, self.bias)


class _Doubled(nn.Conv2d):
    """A subclass that changes what `forward` calls."""

    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, 2 * weight, bias)


def test_adapted_convolutions_and_subclasses_are_guarded_once(generator: torch.Generator) -> None:
    model = nn.Sequential(nn.Conv1d(4, 8, 7, stride=2, padding=3), _OwnConvolution(8, 8, 7, 2, 3))
    parametrize.register_parametrization(model[0], "weight", nn.Identity())
    x = torch.randn(3, 4, 3, generator=generator)
    plain = model(x)
    names = model.state_dict().keys()
    guard_narrow_convolutions(model)
    guard_narrow_convolutions(model)
    assert model.state_dict().keys() == names
    assert isinstance(model[1], _OwnConvolution)
    with torch.autocast("cpu", torch.bfloat16):
        found = copy.deepcopy(model)(x)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), (1, 1)), ((7, 3), (3, 2)), ((2, 1), 0)])
def test_padding_beside_a_single_row_or_column_is_skipped_without_another_result(
    kernel: tuple[int, int],
    padding: tuple[int, int] | int,
    stride: tuple[int, int],
    bias: bool,
    generator: torch.Generator,
) -> None:
    plain = nn.Conv2d(4, 8, kernel, stride, padding, groups=2, bias=bias).double()
    model = copy.deepcopy(nn.Sequential(plain))
    guard_narrow_convolutions(model, fast=True)
    for size in ((11, 1), (11, 2), (11, 5), (1, 11), (1, 1)):
        x = torch.randn(3, 4, *size, generator=generator, dtype=torch.float64)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        padded = [
            side + 2 * (padding if isinstance(padding, int) else padding[axis])
            for axis, side in enumerate(size)
        ]
        if any(side < reach for side, reach in zip(padded, kernel, strict=True)):
            for convolution in (plain, model):
                with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
                    convolution(x)
            continue
        expected, found = plain(inputs[0]), model(inputs[1])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        for output in (expected, found):
            output.square().sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-10, atol=1e-10)
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10)


def test_a_single_column_needs_no_float32(generator: torch.Generator) -> None:
    """A kernel of one column is none of those that read memory that is not their own."""
    model = nn.Sequential(nn.Conv2d(64, 64, 3, stride=2, padding=1))
    guard_narrow_convolutions(model, fast=True)
    x = torch.randn(8, 64, 157, 1, generator=generator)
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("kind", [ResNet18Raster, StretchedRaster])
def test_an_ecg_with_time_along_rows_has_the_same_embedding_and_gradients(
    kind: type[RasterEncoder], generator: torch.Generator
) -> None:
    plain = kind((12, 400), 16).double()
    fast = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    guard_narrow_convolutions(fast, fast=True)
    assert fast.is_transposed
    assert not plain.is_transposed
    signal = torch.randn(4, 12, 400, generator=generator, dtype=torch.float64)
    inputs = [signal.clone().requires_grad_() for _ in range(2)]
    expected, found = plain(inputs[0]), fast(inputs[1])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert fast.feature_map(signal).shape == plain.feature_map(signal).shape
    for output in (expected, found):
        output.square().sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-7, atol=1e-9)
    for one, other in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-9)
    guard_narrow_convolutions(fast)  # back to the plain way
    assert not fast.is_transposed
    torch.testing.assert_close(fast(signal), plain(signal), rtol=1e-9, atol=1e-9)


def test_tokens_of_an_ecg_with_time_along_rows_stay_in_the_order_of_time(
    generator: torch.Generator,
) -> None:
    plain = ResNet18Raster((12, 640), 16, tokens=2).double().eval()
    fast = copy.deepcopy(plain)
    guard_narrow_convolutions(fast, fast=True)
    signal = torch.randn(3, 12, 640, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(fast(signal), plain(signal), rtol=1e-9, atol=1e-9)
    expected = plain.tokens(signal)
    torch.testing.assert_close(fast.tokens(signal), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(expected, expected.flip(1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_kernel_of_one_place_is_a_product_without_another_result(
    bias: bool, generator: torch.Generator
) -> None:
    plain = nn.Conv2d(4, 8, 1, bias=bias).double().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    model = copy.deepcopy(nn.Sequential(plain))
    guard_narrow_convolutions(model, fast=True)
    x = torch.randn(3, 4, 6, 5, generator=generator, dtype=torch.float64)
    for laid in (x, x.to(memory_format=torch.channels_last)):
        inputs = [laid.clone().requires_grad_() for _ in range(2)]
        expected, found = plain(inputs[0]), model(inputs[1])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert found.is_contiguous(memory_format=torch.channels_last)
        for output in (expected, found):
            output.square().sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-10, atol=1e-10)
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10)
        plain.zero_grad()
        model.zero_grad()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize("height", [1, 2, 12])
def test_a_transposed_convolution_over_few_columns_is_computed_in_float32(
    height: int, width: int, generator: torch.Generator
) -> None:
    plain = nn.Conv2d(64, 64, 3, stride=2, padding=1)
    fast = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    guard_narrow_convolutions(fast, fast=True)
    fast.is_transposed = True  # pyright: ignore[reportArgumentType]
    x = torch.randn(8, 64, height, width, generator=generator)
    expected = plain(x.transpose(2, 3)).transpose(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = fast(x)
    exact = 1 < width <= 4
    assert found.dtype == (torch.float32 if exact else torch.bfloat16)
    tolerance = 1e-5 if exact else 0.05
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=tolerance)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("kind", [_Standardized, _Doubled])
def test_a_subclass_keeps_a_computation_of_its_own(
    kind: type[nn.Conv2d], kernel: int, generator: torch.Generator
) -> None:
    plain = kind(4, 8, kernel, padding=kernel // 2)
    fast = copy.deepcopy(plain).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    guard_narrow_convolutions(fast, fast=True)
    for size in ((6, 5), (6, 1)):
        x = torch.randn(3, 4, *size, generator=generator).to(memory_format=torch.channels_last)
        torch.testing.assert_close(fast(x), plain(x))


def test_an_ecg_network_with_other_convolutions_is_not_transposed(
    generator: torch.Generator,
) -> None:
    plain = ResNet18Raster((12, 400), 16).double().eval()
    plain.network.conv1 = _Standardized(1, 64, 7, stride=2, padding=3, bias=False).double()
    fast = copy.deepcopy(plain)
    guard_narrow_convolutions(fast, fast=True)
    signal = torch.randn(2, 12, 400, generator=generator, dtype=torch.float64)
    assert not fast.is_transposed
    torch.testing.assert_close(fast(signal), plain(signal))


def test_parametrized_convolutions_are_fast_too() -> None:
    layer = nn.Conv2d(4, 8, 1)
    parametrize.register_parametrization(layer, "weight", nn.Identity())
    guard_narrow_convolutions(layer, fast=True)
    assert layer.is_fast
