"""CLIP with scores of tokens: an embedding is several vectors, compared each with each."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, one_of, positive, refuse
from clinical_symile.objectives.base import (
    Objective,
    as_given,
    query_availability,
    query_embeddings,
)
from clinical_symile.objectives.kernels.scores import TileScore, own_scores, reduce_scores
from clinical_symile.objectives.pairs import complete_pairs

_POOLS = ("late", "logsumexp", "mean")
_CELLS = 2**17  # products of tokens computed at a time


class TokenClip(Objective):
    """Contrast every pair of modalities by a score of their tokens.

    An embedding of width d holds `tokens` unit vectors of width d / tokens, one after another. The
    score of a query with tokens q and a candidate with tokens p is the mean over q of

    - `late`: max_p ⟨p, q⟩, late interaction;
    - `logsumexp`: (log Σ_p exp(sharpness ⟨p, q⟩) - log tokens) / sharpness, between the others;
    - `mean`: the mean of ⟨p, q⟩ over p.

    It does not depend on the order of tokens. With one token it is the inner product, and the loss
    is that of CLIP. Both modalities of a pair are queries once. The score of a candidate is the sum
    over the modalities of the query.

    Source: the scores of late interaction (Khattab and Zaharia, ColBERT, SIGIR 2020,
    https://arxiv.org/abs/2004.12832) and of pooled products in multiple-instance learning.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        tokens: the number of vectors of an embedding; it divides the width.
        pool: "late", "logsumexp" or "mean".
        sharpness: sharpness of `logsumexp`.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, the width is no multiple of `tokens`, or no two
            samples have the same two modalities.
    """

    display_name = "token CLIP"
    description = "CLIP with embeddings of several vectors, compared each with each."
    source = "Khattab and Zaharia, ColBERT, SIGIR 2020, https://arxiv.org/abs/2004.12832"
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        tokens: int = 2,
        pool: str = "late",
        sharpness: float = 10.0,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(1, tokens=tokens), one_of(_POOLS, pool=pool), positive(sharpness=sharpness))
        self.tokens, self.pool, self.sharpness = tokens, pool, sharpness

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Refuse a width that is no multiple of the number of tokens."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        if dim % self.tokens:
            raise ValueError(
                f"tokens is {self.tokens} and the width of embeddings {dim}; expected a divisor of "
                "it. Change either."
            )

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average the cross-entropies of both directions of every pair of modalities."""
        scale = self.logit_scale.to(z.dtype)
        score, cells = self._score(), max(_CELLS // self.tokens**2, 1)
        losses = []
        for pair in complete_pairs(z, available, objective="a step of token CLIP"):
            first, second = self._split(pair.first), self._split(pair.second)
            for query, candidate in ((first, second), (second, first)):
                found = reduce_scores(score, [query], [candidate], [scale], tile_cells=cells)
                own = own_scores(score, [query], [candidate], [scale])
                losses.append((found.rows - own).mean())
        return torch.stack(losses).mean()

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the sum of the scores over the query's modalities, in float64.

        Raises:
            ValueError: a query has no modality available.
        """
        z = query_embeddings(query, target=target, fill=0.0)
        known = query_availability(query, target=target)
        right, score = self._split(candidates.double()), self._score()
        one = right.new_ones(())
        step = max(_CELLS // (max(len(right), 1) * self.tokens**2), 1)
        scores = right.new_zeros(len(z), len(right))
        for m in range(z.shape[1]):
            for start in range(0, len(z), step):
                rows = slice(start, start + step)
                found = score([self._split(z[rows, m])], [right], [one])
                scores[rows] += torch.where(known[rows, m, None], found, 0.0)
        return as_given(scores, candidates)

    def _split(self, z: Float[Tensor, "row dim"]) -> Float[Tensor, "row token width"]:
        """Return the tokens of embeddings; a single token stays as it is."""
        parts = z.reshape(len(z), self.tokens, -1)
        return parts if self.tokens == 1 else normalize(parts, dim=2)

    def _score(self) -> TileScore:
        """Return the score of a tile: scale times the pooled products of tokens."""

        def tile(left, right, parameters):
            products = torch.einsum("aqd,cpd->acqp", left[0], right[0])
            if self.pool == "late":
                pooled = products.amax(dim=3)
            elif self.pool == "mean":
                pooled = products.mean(dim=3)
            else:
                whole = torch.logsumexp(self.sharpness * products, dim=3)
                pooled = (whole - math.log(self.tokens)) / self.sharpness
            return parameters[0] * pooled.mean(dim=2)

        return tile
