"""Checks and conventions that all kernels of log-sum-exps over row combinations share.

A kernel is a function of several matrices, a scale and a matmul precision, such as
`tiled.product_logsumexp`, which defines what every kernel computes.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

MATMUL_PRECISIONS = ("highest", "high", "medium")


def check_matmul(matmul: str) -> None:
    """Refuse a precision that PyTorch does not know.

    Raises:
        ValueError: the precision is unknown.
    """
    if matmul not in MATMUL_PRECISIONS:
        raise ValueError(
            f"unknown matmul precision '{matmul}'; expected one of {', '.join(MATMUL_PRECISIONS)}."
        )


def order_by_size(
    matrices: Sequence[Float[Tensor, "_ dim"]],
    scale: float | Float[Tensor, ""],
    logsumexps: Callable[..., tuple[Tensor, ...]],
) -> tuple[Float[Tensor, " _"], ...]:
    """Compute with the smallest matrix first, times the scale; return results in the given order.

    The rows of the first matrix vary slowest, and a product of few rows is computed once.
    """
    order = sorted(range(len(matrices)), key=lambda m: len(matrices[m]))
    smallest, *others = (matrices[m] for m in order)
    scale = torch.as_tensor(scale, dtype=smallest.dtype, device=smallest.device)
    found = logsumexps(scale * smallest, *others)
    return tuple(found[order.index(m)] for m in range(len(matrices)))


def refuse_second_derivative() -> None:
    """Refuse to compute a gradient that shall have a gradient itself.

    Raises:
        NotImplementedError: gradients are recorded in a backward pass.
    """
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "the gradient of log-sum-exps has no gradient itself, since no tile is kept; "
            "expected create_graph=False. Compute all scores at once, such as with torch.einsum, "
            "where a second derivative is needed."
        )


def is_rescaling_exact(
    logsumexps: Sequence[Float[Tensor, " _"]], reference: Float[Tensor, ""]
) -> bool:
    """Return whether exp(T - c) is exact for every L_m.

    What underflows is below the smallest number of the type. It does not matter if no L_m is
    further from c than the logarithm of that number's square root.
    """
    depth = -math.log(torch.finfo(reference.dtype).tiny) / 2
    return bool(((torch.cat([*logsumexps]) - reference).abs() <= depth).all())


def multilinear_products(
    factors: Sequence[Float[Tensor, "sample dim"]],
) -> Float[Tensor, " sample"]:
    """Multiply the embeddings of each sample and sum over dimensions: its positive logit, unscaled.

    Args:
        factors: the embeddings of each modality.
    """
    return reduce(torch.mul, factors).sum(dim=1)
