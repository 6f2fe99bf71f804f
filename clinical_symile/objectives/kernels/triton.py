"""Log-sum-exps over the cube of three matrices by kernels that store no product of rows.

The same as `cube`, whose text says what T, L_m, W, w_o and c are. There a tile of A = x_i ⊙ w_o is
written to memory, and read again by two matrix products. Here each product multiplies x by w_o as
it reads x. Of a slice, some w_o with all x_i and y_j, only exp(T - c) or W is stored:

    W_oij = exp(T - c) · Σ_m g_m exp(c - L_m),

    ∂x_i = Σ_o w_o ⊙ Σ_j W_oij y_j,
    ∂w_o = Σ_i x_i ⊙ Σ_j W_oij y_j,
    ∂y_j = Σ_o Σ_i W_oij x_i ⊙ w_o.

The operations are as many as those of `cube`. The kernels are in Triton, an optional dependency.
They run on a CUDA device, and on a CPU where Triton interprets them (`TRITON_INTERPRET=1`): that is
slow and for tests.
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

from clinical_symile.objectives.kernels.tiled import (
    check_matmul,
    gradients_each,
    is_rescaling_exact,
    logsumexps_each,
    order_by_size,
    refuse_second_derivative,
)

# What Triton calls the precisions of `matmul`.
PRECISIONS = {"highest": "ieee", "high": "tf32"}

# Logits of a slice.
NUMBERS = 2**24


def fused_product_logsumexp(
    matrices: Sequence[Float[Tensor, "_ dim"]],
    scale: float | Float[Tensor, ""],
    *,
    matmul: str = "highest",
) -> tuple[Float[Tensor, " _"], ...]:
    """For each row of each matrix, the log-sum-exp of the logits of all combinations with that row.

    Args:
        matrices: three, in float32.
        scale: the multiplier s of the logits.
        matmul: "highest", or "high" for TensorFloat32.

    Raises:
        ValueError: another number of matrices, another type or precision, Triton is missing, or
            the device is no CUDA device.
        NotImplementedError: on the way back, if the gradient is to have a gradient itself.
    """
    check_matmul(matmul)
    _check(matrices, matmul)
    return order_by_size(
        matrices, scale, lambda *rows: _FusedLogSumExp.apply(PRECISIONS[matmul], *rows)
    )


def _check(matrices: Sequence[Tensor], matmul: str) -> None:
    """Refuse what the kernels cannot do."""
    device, dtype = matrices[0].device.type, matrices[0].dtype
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    reasons = {
        "Triton is not installed": importlib.util.find_spec("triton") is None,
        f"there are {len(matrices)} modalities; expected 3": len(matrices) != 3,
        f"embeddings are {dtype}; expected torch.float32": dtype != torch.float32,
        f"embeddings are on '{device}'; expected 'cuda'": device != "cuda" and not interpreted,
        f"matmul is '{matmul}'; expected {' or '.join(PRECISIONS)}": matmul not in PRECISIONS,
    }
    wrong = [reason for reason, holds in reasons.items() if holds]
    if wrong:
        raise ValueError(
            f"kernel 'fused' cannot run: {'; '.join(wrong)}. Leave objective.kernel out, which "
            "is the same in tiles."
        )


class _FusedLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, precision: str, *matrices: Tensor) -> tuple[Tensor, ...]:
        rows = tuple(z.contiguous() for z in matrices)
        with torch.autocast(rows[0].device.type, enabled=False):
            reference, found = _logsumexps(rows, precision)
            ctx.shared = is_rescaling_exact(found, reference)
            if not ctx.shared:
                found = logsumexps_each(rows)
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
                return None, *gradients_each(matrices, logsumexps, gradients)
            factors = [
                (g * (reference - lse).exp()).to(g.dtype)
                for g, lse in zip(gradients, logsumexps, strict=True)
            ]
            return None, *_gradients(matrices, factors, reference, ctx.precision)


def _slices(matrices: Sequence[Tensor]) -> Iterator[slice]:
    """Rows of the first matrix, some at a time."""
    outer, *others = (len(z) for z in matrices)
    step = max(NUMBERS // max(math.prod(others), 1), 1)
    for first in range(0, outer if all(others) else 0, step):
        yield slice(first, min(first + step, outer))


def _weights(
    matrices: Sequence[Tensor],
    factors: Sequence[Float[Tensor, " _"]],
    reference: Float[Tensor, ""],
    precision: str,
) -> Float[Tensor, "outer row column"]:
    """exp(T - c) times the sum of a factor of each row, of a slice."""
    kernels = _kernels()
    w, x, y = matrices
    of_w, of_x, of_y = factors
    out = x.new_empty(len(w), len(x), len(y))
    rows, columns = (-(-count // kernels.BLOCK) for count in (len(x), len(y)))
    kernels.weights[len(w), rows, columns](
        *(x, y, w, of_x, of_y, of_w, reference, out, len(x), len(y), x.shape[1]),
        block=kernels.BLOCK,
        precision=precision,
    )
    return out


def _logsumexps(
    matrices: Sequence[Tensor], precision: str
) -> tuple[Float[Tensor, ""], list[Float[Tensor, " _"]]]:
    """The reference c, and L_m in float64."""
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
    """The gradient of each matrix."""
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
        kernels.left[rows, dims](weights, x, y, some, of_x, sums, *sizes, **options)
        kernels.right[columns, dims](weights, x, some, of_y, *sizes, **options)
        of_w[part] = sums.sum(dim=0)
    return found


def _kernels() -> Any:
    """The module that needs Triton."""
    return importlib.import_module("clinical_symile.objectives.kernels._triton_kernels")
