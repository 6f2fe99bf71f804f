"""Put zeros where a modality is missing."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import (
    Encode,
    MissingModalityMethod,
    Vectors,
    encode_available,
)
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.fused import FusedVsThird


class Zeros(nn.Module):
    """Replace a missing modality by a vector of zeros."""

    encodes_available_only = True
    substitute: Tensor

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.register_buffer("substitute", torch.zeros(dim), persistent=False)

    def forward(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        available: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, Float[Tensor, " dim"]]:
        """See `MissingModalityHandler`."""
        z = encode_available(encoder, norm, inputs, available, dim=len(self.substitute))
        return z, self.substitute.to(z.dtype)


def refuse_products(make: Callable[[], Objective], modalities: int) -> Objective:
    """Return the task's objective, unless its score is a product that zeros would make 0.

    Raises:
        ValueError: the objective multiplies embeddings.
    """
    objective = make()
    by_product = isinstance(objective, FusedVsThird) and objective.fusion == "product"
    if objective.missing_query is not None or by_product:
        raise ValueError(
            "it multiplies embeddings, so that zeros in place of a missing modality make every "
            'score 0. Choose another objective, or missing_modality = "mean" or "learned".'
        )
    return objective


ZERO = MissingModalityMethod(
    handler=Zeros,
    wrap_objective=refuse_products,
    display_name="zeros",
    description="Puts zeros where a modality is missing.",
)
"""A baseline: zeros in place of a missing modality. Objectives of products refuse it."""
