"""Compute log-sum-exps over combinations of rows of three matrices with Triton kernels.

The results are those of `tiled`, which defines T, L_m, W, w_o and c. There a tile of A = x_i ⊙ w_o
is written to memory, and two matrix products read it again. Here each product multiplies x by w_o
as it reads x. Of a slice, some w_o with all x_i and y_j, only exp(T - c) or W is stored:

    W_oij = exp(T - c) · Σ_m g_m exp(c - L_m),

    ∂x_i = Σ_o w_o ⊙ Σ_j W_oij y_j,
    ∂w_o = Σ_i x_i ⊙ Σ_j W_oij y_j,
    ∂y_j = Σ_o Σ_i W_oij x_i ⊙ w_o.

The number of operations is that of `tiled`. Triton is an optional dependency. The kernels run on a
CUDA device, and on a CPU if Triton interprets them (`TRITON_INTERPRET=1`), slowly and for tests.
"""

import importlib
import importlib.util
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.kernels._separate_exponentials import (
    separate_gradients,
    separate_logsumexps,
)
from clinical_symile.objectives.kernels.base import (
    check_matmul,
    is_rescaling_exact,
    order_by_size,
    refuse_second_derivative,
)
from clinical_symile.registry.source import describe_as

# Triton's names of the precisions of `matmul`.
_PRECISIONS = {"highest": "ieee", "high": "tf32"}

SLICE_LOGITS = 2**24


@describe_as(
    display_name="fused kernel",
    description=("Computes the logits of all combinations of three modalities in one GPU kernel."),
    needs=("a CUDA device", "the package triton"),
)
def fused_product_logsumexp(
    matrices: Sequence[Float[Tensor, "_ dim"]],
    scale: float | Float[Tensor, ""],
    *,
    matmul: str = "highest",
) -> tuple[Float[Tensor, " _"], ...]:
    """Compute, for each row of each matrix, the log-sum-exp of its combinations' logits.

    Args:
        matrices: three, in float32.
        scale: the multiplier s of the logits.
        matmul: "highest", or "high" for TensorFloat32.

    Raises:
        ValueError: another number of matrices, another type or precision, Triton is missing, or
            the device is no CUDA device.
        NotImplementedError: in the backward pass, if the gradient shall have a gradient itself.
    """
    check_matmul(matmul)
    _check(matrices, matmul)
    return order_by_size(
        matrices, scale, lambda *rows: _FusedLogSumExp.apply(_PRECISIONS[matmul], *rows)
    )


def _check(matrices: Sequence[Tensor], matmul: str) -> None:
    """Refuse arguments that the kernels cannot compute with, with every reason."""
    device, dtype = matrices[0].device.type, matrices[0].dtype
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    reasons = {
        "Triton is not installed": importlib.util.find_spec("triton") is None,
        f"there are {len(matrices)} modalities; expected 3": len(matrices) != 3,
        f"embeddings are {dtype}; expected torch.float32": dtype != torch.float32,
        f"embeddings are on '{device}'; expected 'cuda'": device != "cuda" and not interpreted,
        f"matmul is '{matmul}'; expected {' or '.join(_PRECISIONS)}": matmul not in _PRECISIONS,
    }
    wrong = [reason for reason, holds in reasons.items() if holds]
    if wrong:
        raise ValueError(
            f"kernel 'fused' cannot run: {'; '.join(wrong)}. Leave objective.kernel out to compute "
            "the same loss in tiles."
        )


class _FusedLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, precision: str, *matrices: Tensor) -> tuple[Tensor, ...]:
        rows = tuple(z.contiguous() for z in matrices)
        with torch.autocast(rows[0].device.type, enabled=False):
            reference, found = _logsumexps(rows, precision)
            ctx.shared = is_rescaling_exact(found, reference)
            if not ctx.shared:
                found = separate_logsumexps(rows)
        ctx.precision = precision
        ctx.save_for_backward(reference, *rows, *found)
        return tuple(values.to(rows[0].dtype) for values in found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        reference, *saved = ctx.saved_tensors
        matrices, logsumexps = saved[:3], saved[3:]
        with torch.autocast(reference.device.type, enabled=False):
            if not ctx.shared:
                return None, *separate_gradients(matrices, logsumexps, gradients)
            factors = [
                (g * (reference - lse).exp()).to(g.dtype)
                for g, lse in zip(gradients, logsumexps, strict=True)
            ]
            return None, *_gradients(matrices, factors, reference, ctx.precision)


def _slices(matrices: Sequence[Tensor]) -> Iterator[slice]:
    """Yield slices of the first matrix's rows, each with at most `SLICE_LOGITS` logits."""
    outer, *others = (len(z) for z in matrices)
    step = max(SLICE_LOGITS // max(math.prod(others), 1), 1)
    for first in range(0, outer if all(others) else 0, step):
        yield slice(first, min(first + step, outer))


def _weights(
    matrices: Sequence[Tensor],
    factors: Sequence[Float[Tensor, " _"]],
    reference: Float[Tensor, ""],
    precision: str,
) -> Float[Tensor, "outer row column"]:
    """Compute exp(T - c) times the sum of a factor of each row, for a slice."""
    kernels = _kernels()
    w, x, y = matrices
    of_w, of_x, of_y = factors
    out = x.new_empty(len(w), len(x), len(y))
    rows, columns = (-(-count // kernels.BLOCK) for count in (len(x), len(y)))
    kernels.weights_kernel[len(w), rows, columns](
        *(x, y, w, of_x, of_y, of_w, reference, out, len(x), len(y), x.shape[1]),
        block=kernels.BLOCK,
        precision=precision,
    )
    return out


def _logsumexps(
    matrices: Sequence[Tensor], precision: str
) -> tuple[Float[Tensor, ""], list[Float[Tensor, " _"]]]:
    """Compute the reference c, and L_m in float64."""
    w, x, y = matrices
    sums = [torch.zeros_like(z[:, 0], dtype=torch.float64) for z in matrices]
    reference = x.new_zeros(())
    plain = [torch.ones_like(w[:, 0]), torch.zeros_like(x[:, 0]), torch.zeros_like(y[:, 0])]
    for part in _slices(matrices):
        if part.start == 0:
            reference = ((w[0] * x) @ y.T).max()
        shares = _weights((w[part], x, y), (plain[0][part], *plain[1:]), reference, precision)
        sums[0][part] += shares.sum(dim=2).double().sum(dim=1)
        sums[1] += shares.sum(dim=2).double().sum(dim=0)
        sums[2] += shares.sum(dim=1).double().sum(dim=0)
    return reference, [reference + total.log() for total in sums]


def _gradients(
    matrices: Sequence[Tensor],
    factors: Sequence[Float[Tensor, " _"]],
    reference: Float[Tensor, ""],
    precision: str,
) -> list[Tensor]:
    """Compute the gradient of each matrix."""
    kernels = _kernels()
    w, x, y = matrices
    of_w, of_x, of_y = found = [torch.zeros_like(z) for z in matrices]
    options = {"block": kernels.BLOCK, "precision": precision}
    for part in _slices(matrices):
        some = w[part]
        weights = _weights((some, x, y), (factors[0][part], *factors[1:]), reference, precision)
        sizes = (*weights.shape, x.shape[1])
        rows, columns, dims = (-(-count // kernels.BLOCK) for count in sizes[1:])
        sums = x.new_empty(rows, len(some), x.shape[1])
        kernels.left_gradient_kernel[rows, dims](weights, x, y, some, of_x, sums, *sizes, **options)
        kernels.right_gradient_kernel[columns, dims](weights, x, some, of_y, *sizes, **options)
        of_w[part] = sums.sum(dim=0)
    return found


def _kernels() -> Any:
    """Import the module that needs Triton."""
    return importlib.import_module("clinical_symile.objectives.kernels._triton_kernels")
