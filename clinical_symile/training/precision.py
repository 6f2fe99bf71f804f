"""Choose the precision of a training: what the task names, or the fastest that the device has."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from clinical_symile.config.tasks.pretraining import Pretraining

Precision = Literal["32-true", "bf16-mixed", "64-true"]

AUTO = "auto"
_PLAIN: Precision = "32-true"
_MIXED: Precision = "bf16-mixed"
# Words for instructions on bfloat16 numbers: of PyTorch, and of Linux for x86 and ARM.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")
_NARROW_STRIDES = 2  # twice the width, in strides, that was seen to go wrong
_LINUX_PROCESSOR = Path("/proc/cpuinfo")


def chosen_precision(
    task: Pretraining, record: Mapping[str, Any], *, accelerator: str
) -> Precision:
    """Return the precision that a run is trained in, as Lightning Fabric names it.

    With `precision = "auto"`, a run that goes on keeps its own, on whatever device. A new one
    takes bfloat16 for its encoders if the device has instructions for it, else single precision.

    Args:
        task: the pretraining task.
        record: the record of the run; empty for steps that are only measured.
        accelerator: `cpu`, `cuda` or `auto`.
    """
    if task.precision != AUTO:
        return task.precision
    if "precision" in record:
        return cast(Precision, record["precision"])
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    has_bf16 = _gpu_has_bf16() if on_gpu else processor_has_bf16()
    return _MIXED if has_bf16 else _PLAIN


def favors_speed(task: Pretraining, device: torch.device) -> bool:
    """Return True if images have their channels last in memory, and AdamW is fused.

    Both are faster and change the last bits. On a processor `precision = "auto"` alone has them, so
    that other trainings keep the bits of earlier versions.
    """
    return device.type == "cuda" or task.precision == AUTO


class _GuardedConvolution(nn.Module):
    """Compute in float32 where the class after this one cannot be trusted with bfloat16."""

    skips_padding = False

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, without autocast if the input is narrow."""
        assert isinstance(self, nn.Conv1d | nn.Conv2d)
        if self.skips_padding and isinstance(self, nn.Conv2d) and _reads_one_column(self, input):
            return _convolve_column(self, input)
        if not _is_narrow(self, input):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


@cache
def _guarded(kind: type[nn.Module]) -> Any:
    return type(f"Guarded{kind.__name__}", (_GuardedConvolution, kind), {})


def guard_narrow_convolutions(model: nn.Module, *, skip_padding: bool = False) -> None:
    """Compute strided convolutions over narrow inputs in float32, on a processor with bfloat16.

    With the AMX instructions of PyTorch 2.14, a convolution whose stride and kernel are above 1
    reads memory that is not its own, if its input is no wider than the stride: results and
    gradients are any numbers. Such inputs are small, so that float32 costs nothing. Weights keep
    their names and values. Convolutions with an adapter, and those of other packages that are
    subclasses of PyTorch's, are guarded too.

    Args:
        model: the model; its convolutions are changed in place.
        skip_padding: leave out what a kernel reads of padding beside inputs of one column, such as
            the late layers of a ResNet over 12 x 5000. It changes the last bits.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d) and not isinstance(
            module, _GuardedConvolution
        ):
            module.__class__ = _guarded(type(module))
        if isinstance(module, _GuardedConvolution):
            module.skips_padding = skip_padding


def _reads_one_column(convolution: nn.Conv2d, input: Tensor) -> bool:
    """Return True if input and output have one column, and the kernel more."""
    kernel, padding = convolution.kernel_size[-1], convolution.padding
    if input.shape[-1] != 1 or kernel == 1 or convolution.padding_mode != "zeros":
        return False
    if isinstance(padding, str) or convolution.dilation[-1] != 1:
        return False
    return padding[-1] < kernel and 1 + 2 * padding[-1] - kernel < convolution.stride[-1]


def _convolve_column(convolution: nn.Conv2d, input: Tensor) -> Tensor:
    """Convolve with the one column of the kernel that lies over the input's."""
    assert not isinstance(convolution.padding, str)
    (rows, column), (stride, _) = convolution.padding, convolution.stride
    weight = convolution.weight[..., column : column + 1]
    return nn.functional.conv2d(
        input,
        weight,
        convolution.bias,
        stride=(stride, 1),
        padding=(rows, 0),
        dilation=(convolution.dilation[0], 1),
        groups=convolution.groups,
    )


def _is_narrow(convolution: nn.Conv1d | nn.Conv2d, input: Tensor) -> bool:
    """Return True for a strided convolution over an input of few columns under autocast."""
    stride, kernel = convolution.stride[-1], convolution.kernel_size[-1]
    if stride == 1 or kernel == 1 or input.shape[-1] > _NARROW_STRIDES * stride:
        return False
    return input.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def processor_has_bf16() -> bool:
    """Return True if the processor has instructions for bfloat16: AVX-512, AMX or those of ARM.

    This is looked up, not timed, so that a busy machine chooses as an idle one does.
    """
    look_up = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest PyTorch
    if look_up is not None:
        return any(look_up().get(name) for name in _BF16_INSTRUCTIONS)
    if not _LINUX_PROCESSOR.is_file():
        return False
    words = set(_LINUX_PROCESSOR.read_text(encoding="utf-8", errors="replace").split())
    return not words.isdisjoint(_BF16_INSTRUCTIONS)


def _gpu_has_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)
