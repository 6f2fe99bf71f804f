"""Train with algorithms that give the same bits every time, on a CPU and on CUDA."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clinical_symile.errors import ClinicalSymileError

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
# With these, cuBLAS gives the same bits every time; other values let it choose among buffers.
_REPEATABLE = (":4096:8", ":16:8")


@contextmanager
def deterministic_algorithms(wanted: bool = True) -> Iterator[None]:
    """Let PyTorch use deterministic algorithms alone inside the block, and restore its settings.

    Matrix products of cuBLAS and convolutions of cuDNN are covered. An operation that has no
    deterministic algorithm ends the training.

    Args:
        wanted: False to change nothing.

    Raises:
        ClinicalSymileError: the environment lets cuBLAS choose, the process has used cuBLAS
            before, or an operation has no deterministic algorithm on the device.
    """
    if not wanted:
        yield
        return
    workspace = os.environ.get(_WORKSPACE)
    if workspace not in (None, *_REPEATABLE):
        raise ClinicalSymileError(
            f"{_WORKSPACE} is '{workspace}' in the environment; expected "
            f"{' or '.join(_REPEATABLE)} for deterministic training. Set one of them, or unset the "
            "variable.",
            code="CS-R021",
        )
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ[_WORKSPACE] = workspace or _REPEATABLE[0]
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if _WORKSPACE in str(error):
            raise ClinicalSymileError(
                "cuBLAS was used in this process before deterministic training. Start a new "
                f"process, or set {_WORKSPACE}={_REPEATABLE[0]} before it.",
                code="CS-R021",
            ) from error
        if "does not have a deterministic implementation" not in str(error):
            raise
        operation = str(error).partition(" does not have")[0]
        raise ClinicalSymileError(
            f"{operation} has no deterministic algorithm on this device. Train without "
            "--deterministic, on the CPU, or with encoders that do not use it.",
            code="CS-R021",
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        if workspace is None:
            del os.environ[_WORKSPACE]
