"""`Loss`: what a step minimizes, and the named terms that add up to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, repr=False)
class Loss:
    """The loss of a batch.

    Attributes:
        total: what the step minimizes.
        terms: each term as it enters the total, with its weight and without gradient; their sum is
            the total. Empty for a loss of one term.
        parts: the same terms with gradient, for a balance; empty if they were not kept.
        scores: for each modality, how well it predicts alone; see `training.balance`. Empty where
            nothing is predicted by one modality.
    """

    total: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    parts: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    scores: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


def sum_of_terms(**terms: Float[Tensor, ""]) -> Loss:
    """Return the loss that is the sum of named terms."""
    total = reduce(add, terms.values())
    return Loss(total, {name: value.detach() for name, value in terms.items()}, terms)


def as_loss(found: Float[Tensor, ""] | Loss) -> Loss:
    """Return a loss of one term as `Loss`."""
    return found if isinstance(found, Loss) else Loss(found)
