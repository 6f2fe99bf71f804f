"""Choose the precision of a training: what the task names, or the fastest that the device has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch

from clinical_symile.config.tasks.pretraining import Pretraining

Precision = Literal["32-true", "bf16-mixed", "64-true"]

AUTO = "auto"
_PLAIN: Precision = "32-true"
_MIXED: Precision = "bf16-mixed"
# Words for instructions on bfloat16 numbers: of PyTorch, and of Linux for x86 and ARM.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")
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
