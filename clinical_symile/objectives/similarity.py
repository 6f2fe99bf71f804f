"""Similarities of samples by their labels or by other measurements, as targets of objectives."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clinical_symile.objectives.arguments import one_of, refuse
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import TileScore

SIMILAR_BY = ("labels", "values")
_LEAST_NORM = 1e-12


def check_similar_by(by: str) -> None:
    """Refuse a kind of side information that gives no similarity.

    Raises:
        ValueError: it is neither "labels" nor "values".
    """
    refuse(one_of(SIMILAR_BY, by=by))


def side_vectors(inputs: ObjectiveInput, *, by: str) -> Float[Tensor, "sample side"]:
    """Return the vector of each sample that similarities compare; NaN where unknown.

    A label is 1 where positive and -1 where negative; an uncertain label is unknown. A measurement
    is its percentile.

    Args:
        inputs: the batch.
        by: "labels" or "values".
    """
    if by == "values":
        return inputs.values
    labels = inputs.labels
    return torch.where(labels < 0, torch.nan, 2 * labels - 1)


def similarity_tensors(
    vectors: Float[Tensor, "sample side"], codes: Int[Tensor, " sample"]
) -> list[Tensor]:
    """Return the tensors of one side that `log_weights` compares.

    Args:
        vectors: what is known of each sample; NaN where unknown.
        codes: a number for each sample; a sample with itself is always known.
    """
    known = ~vectors.isnan()
    filled = torch.where(known, vectors, 0.0)
    return [codes, filled, filled.square(), known.to(filled.dtype)]


def log_weights(*, temperature: float | None) -> TileScore:
    """Return the log weights of pairs of samples by the cosine of what is known of both.

    With a temperature a weight is exp(cosine / temperature), as in X-CLR; without, it is
    (1 + cosine) / 2, as in CWCL. Two samples of which nothing is known jointly have no weight, but
    a sample has the weight of a cosine of 1 with itself: its target is then one-hot.

    Args:
        temperature: the temperature of similarities; None for linear weights.
    """
    return partial(_log_weights, temperature)


def _log_weights(
    temperature: float | None,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> Tensor:
    """Compute a tile of log weights; see `log_weights`."""
    del parameters
    codes, vectors, squares, known = left
    other_codes, other_vectors, other_squares, other_known = right
    norms = (squares @ other_known.T) * (known @ other_squares.T)
    cosine = (vectors @ other_vectors.T) / norms.clamp(min=_LEAST_NORM).sqrt()
    own = codes[:, None] == other_codes
    cosine = torch.where(own, 1.0, cosine.clamp(-1, 1))
    weights = ((1 + cosine) / 2).log() if temperature is None else cosine / temperature
    return weights.masked_fill(~own & (norms <= _LEAST_NORM), -math.inf)


@torch.no_grad()
def smoother(
    kernel: Float[Tensor, "sample sample"], ridge: float
) -> Float[Tensor, "sample sample"]:
    """Compute (K + ridge I)^-1 K of a symmetric kernel, in float64.

    Cosines over different measured values need not form a positive kernel: negative eigenvalues
    count as zero, so that the inverse exists.
    """
    values, vectors = torch.linalg.eigh(kernel.double())
    values = values.clamp(min=0)
    return ((vectors * (values / (values + ridge))) @ vectors.T).to(kernel.dtype)
