"""Compute convolutions on a processor: safe with bfloat16, and fast if the last bits may differ."""

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.models.encoders.waveform import RasterEncoder

_NARROW_STRIDES = 2  # twice the width, in strides, that was seen to go wrong


class _GuardedConvolution(nn.Module):
    """Compute in float32 where the class after this one cannot be trusted with bfloat16.

    Attributes:
        is_fast: also compute in the fastest of the ways that differ by rounding alone. Not of a
            class with a computation of its own, such as one that standardises its weights.
        is_transposed: inputs have rows and columns exchanged, and so has the kernel.
    """

    is_fast = False
    is_transposed = False

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, without autocast if the input is narrow."""
        assert isinstance(self, nn.Conv1d | nn.Conv2d)
        if self.is_fast and isinstance(self, nn.Conv2d):
            output = _convolve_fast(self, input, is_transposed=self.is_transposed)
            if output is not None:
                return output
        if not _is_narrow(input, kernel=self.kernel_size[-1], stride=self.stride[-1]):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())

    def is_plain(self) -> bool:
        """Return True for the computation of PyTorch's `Conv2d`, also with parametrized weights."""
        ways = getattr(super(), "forward", None), getattr(self, "_conv_forward", None)
        plain = nn.Conv2d.forward, nn.Conv2d._conv_forward
        return [getattr(way, "__func__", None) for way in ways] == list(plain)


@cache
def _guarded(kind: type[nn.Module]) -> Any:
    return type(f"Guarded{kind.__name__}", (_GuardedConvolution, kind), {})


def guard_narrow_convolutions(model: nn.Module, *, fast: bool = False) -> None:
    """Compute strided convolutions over narrow inputs in float32, on a processor with bfloat16.

    With the AMX instructions of PyTorch 2.14, a convolution whose stride and kernel are above 1
    reads memory that is not its own, if its input is no wider than the stride: results and
    gradients are any numbers. Such inputs are small, so that float32 costs nothing. Weights keep
    their names and values. Convolutions with an adapter, and those of other packages that are
    subclasses of PyTorch's, are guarded too.

    Args:
        model: the model; its convolutions are changed in place.
        fast: also change what differs in the last bits alone. ECGs that are images lie with time
            along rows, since libraries compute many neighbouring columns at once. What a kernel
            reads of padding beside inputs of one row or column is left out. Kernels of one place
            are products of matrices. Subclasses with a computation of their own stay as they are.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d) and not isinstance(
            module, _GuardedConvolution
        ):
            module.__class__ = _guarded(type(module))
        if isinstance(module, _GuardedConvolution):
            module.is_fast = fast and module.is_plain()
    for module in model.modules():
        if isinstance(module, RasterEncoder):
            layers = [
                one for one in module.network.modules() if isinstance(one, _GuardedConvolution)
            ]
            module.is_transposed = all(layer.is_fast for layer in layers)
            for layer in layers:
                layer.is_transposed = module.is_transposed


def _convolve_fast(convolution: nn.Conv2d, input: Tensor, *, is_transposed: bool) -> Tensor | None:
    """Convolve in a way that differs by rounding alone; None where there is no faster one."""
    if isinstance(convolution.padding, str) or convolution.padding_mode != "zeros":
        assert not is_transposed, "the encoders of images of ECGs pad with zeros"
        return None
    weight, stride = convolution.weight, list(convolution.stride)
    padding, dilation = list(convolution.padding), list(convolution.dilation)
    if is_transposed:
        weight = weight.transpose(2, 3).contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = stride[::-1], padding[::-1], dilation[::-1]
    single = [
        axis
        for axis in (0, 1)
        if _reads_one_place(
            input.shape[2 + axis],
            kernel=weight.shape[2 + axis],
            stride=stride[axis],
            padding=padding[axis],
            dilation=dilation[axis],
        )
    ]
    for axis in single:
        weight = weight.narrow(2 + axis, padding[axis], 1)
        stride[axis], padding[axis] = 1, 0
    if weight.shape[2:] == (1, 1) and _is_product(convolution, input, stride, padding):
        places = input.permute(0, 2, 3, 1)
        output = functional.linear(places, weight[:, :, 0, 0], convolution.bias)
        return output.permute(0, 3, 1, 2)
    if not is_transposed and not single:
        return None
    convolve = partial(
        functional.conv2d,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=convolution.groups,
    )
    if _is_narrow(input, kernel=weight.shape[3], stride=stride[1]):
        with torch.autocast("cpu", enabled=False):
            return convolve(input.float(), weight, convolution.bias)
    return convolve(input, weight, convolution.bias)


def _reads_one_place(size: int, *, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return True if input and output have one place along an axis, and the kernel more."""
    if size != 1 or kernel == 1 or dilation != 1:
        return False
    return padding < kernel and 0 <= 1 + 2 * padding - kernel < stride


def _is_product(
    convolution: nn.Conv2d, input: Tensor, stride: list[int], padding: list[int]
) -> bool:
    """Return True if a kernel of one place is applied to every place of a channels-last input."""
    if convolution.groups != 1 or stride != [1, 1] or padding != [0, 0]:
        return False
    return input.is_contiguous(memory_format=torch.channels_last)


def _is_narrow(input: Tensor, *, kernel: int, stride: int) -> bool:
    """Return True for a strided convolution over an input of few columns under autocast."""
    if stride == 1 or kernel == 1 or input.shape[-1] > _NARROW_STRIDES * stride:
        return False
    return input.device.type == "cpu" and torch.is_autocast_enabled("cpu")
