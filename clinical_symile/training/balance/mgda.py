"""MGDA: the shortest vector among all averages of the terms' gradients."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clinical_symile.training.balance.base import (
    Balance,
    Gradients,
    StepGradients,
    inner_product,
    summed,
)

_STEPS = 250  # of Frank and Wolfe's method
_SMALL = 1e-12


class Mgda(Balance):
    """Give encoders the shortest vector among all averages of the terms' gradients.

    Its inner product with the gradient of every term is at least its squared length, so that a
    small step worsens no term. It is zero where no step improves them all. Other parameters, such
    as heads, get the sum. The vector is an average, so that it is shorter than the sum.

    Source: Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018,
    https://arxiv.org/abs/1810.04650, algorithm 2; two terms have the closed form.
    """

    display_name = "MGDA"
    description = "Gives encoders the shortest average of the gradients of the loss's terms."
    source = (
        'Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018, '
        "https://arxiv.org/abs/1810.04650"
    )
    separate = True

    def combine(self, step: StepGradients) -> Gradients:
        """See `Balance`.

        Raises:
            ValueError: the loss has one term.
        """
        terms = list(step.terms.values())
        if len(terms) < 2:
            raise ValueError(
                "it averages the gradients of terms, and the loss of this objective has one term. "
                "Choose an objective with several terms, or remove [balance]."
            )
        products = np.array(
            [[inner_product(a, b, step.owners) for b in terms] for a in terms], dtype=np.float64
        )
        weights = shortest_average(products)
        plain, averaged = summed(terms), summed(terms, weights)
        return [
            whole if owner is None else shared
            for whole, shared, owner in zip(plain, averaged, step.owners, strict=True)
        ]


def shortest_average(products: Float[np.ndarray, "term term"]) -> Sequence[float]:
    """Return weights from 0 to 1 that add up to 1, of the shortest average of some vectors.

    Args:
        products: the inner products of the vectors.
    """
    count = len(products)
    weights = np.full(count, 1 / count)
    if count == 2:
        share = _share(products[0, 0], products[0, 1], products[1, 1])
        return [share, 1 - share]
    for _ in range(_STEPS):
        with_each = products @ weights
        nearest = int(np.argmin(with_each))
        own = float(weights @ with_each)
        share = _share(products[nearest, nearest], with_each[nearest], own)
        weights = (1 - share) * weights
        weights[nearest] += share
        if share < _SMALL:
            break
    return weights.tolist()


def _share(first: float, both: float, second: float) -> float:
    """Return the share of the first of two vectors in their shortest average.

    Args:
        first: the squared length of the first.
        both: their inner product.
        second: the squared length of the second.
    """
    distance = first - 2 * both + second
    if distance <= _SMALL * max(first, second, _SMALL):
        return 0.5
    return float(min(max((second - both) / distance, 0.0), 1.0))
