"""The sum of an objective over subsets of modalities: what is not whole teaches too."""

from collections.abc import Callable, Iterator
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective, query_slots


class SubsetSum(Objective):
    """An objective over every subset of two modalities or more.

    The loss is Σ_S n_S L_S / Σ_S n_S over subsets S of which n_S ≥ 2 samples have every modality,
    where L_S is the objective's loss on the modalities of S alone. With Symile and three modalities
    that is the three pairs, as in CLIP, and the triple: a sample that lacks one modality is an
    anchor of the pair that it has.

    The objective is made once for each size of subset, since products of more vectors are smaller
    and need a larger scale. In `score`, a query with some modalities has the mean, over the subsets
    of these, of the scores that the matching objectives give, each times its logit scale.

    Args:
        make: makes the objective.
        modalities: how many there are.

    Raises:
        ValueError: no two samples of a batch have the same two modalities.
    """

    def __init__(self, make: Callable[[], Objective], modalities: int):
        # The scales are those of the objectives within; this one has none of its own.
        nn.Module.__init__(self)
        self.by_size = nn.ModuleDict({str(size): make() for size in range(2, modalities + 1)})
        self.modalities = modalities

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """Of the objective over all modalities."""
        return self._of(self.modalities).logit_scale

    def limit_logit_scale(self) -> None:
        """See `Objective`."""
        for size in range(2, self.modalities + 1):
            self._of(size).limit_logit_scale()

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of a batch."""
        _, counts = embeddings.filled()
        losses, weights = [], []
        for size in range(2, self.modalities + 1):
            for subset in combinations(range(self.modalities), size):
                whole = int(counts[:, subset].all(dim=1).sum())
                if whole >= 2:
                    part = embeddings.of(subset)
                    losses.append(self._of(size)(part, generator=generator))
                    weights.append(whole)
        if not losses:
            raise ValueError(
                f"a step needs at least 2 samples with the same two modalities; this batch of "
                f"{len(embeddings.rows)} has no such pair. Raise batch_size, or train on a cohort "
                "where more samples have two modalities."
            )
        share = torch.tensor(weights, dtype=losses[0].dtype, device=losses[0].device)
        return torch.stack(losses) @ (share / share.sum())

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """See the class.

        Raises:
            ValueError: a query has nothing present.
        """
        query_slots(query, target=target)
        _, counts = query.filled()
        total = candidates.new_zeros(len(query.rows), len(candidates))
        terms = torch.zeros(len(query.rows), 1, dtype=total.dtype, device=total.device)
        for subset, has in self._asked(counts, query.modalities.index(target)):
            objective = self._of(len(subset))
            part = query.take(has).of(subset)
            scores = objective.score(part, candidates, target=target)
            total[has] += objective.logit_scale * scores
            terms[has] += 1
        return total / terms

    def candidates_per_anchor(self, samples: int, *, modalities: int) -> int | None:
        """None: a mean over subsets says nothing of the total correlation."""
        return None

    def _of(self, size: int) -> Objective:
        objective = self.by_size[str(size)]
        assert isinstance(objective, Objective)
        return objective

    def _asked(
        self, counts: Bool[Tensor, "query modality"], target: int
    ) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """Each subset with the target, and the queries that have the rest of it."""
        others = [place for place in range(self.modalities) if place != target]
        for size in range(1, self.modalities):
            for known in combinations(others, size):
                has = counts[:, known].all(dim=1).nonzero()[:, 0]
                if len(has):
                    yield tuple(sorted((*known, target))), has
