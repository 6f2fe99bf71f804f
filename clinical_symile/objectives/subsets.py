"""The sum of an objective over subsets of modalities, so that incomplete samples count too."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.base import Objective, query_columns
from clinical_symile.objectives.distributed import Group
from clinical_symile.objectives.inputs import ObjectiveInput, gather_input, more_needed_message
from clinical_symile.objectives.loss import Loss
from clinical_symile.objectives.slots import no_pair, other_columns
from clinical_symile.objectives.views import View


class SubsetSum(Objective):
    """An objective over every subset of two modalities or more.

    The loss is Σ_S n_S L_S / Σ_S n_S over subsets S with n_S ≥ 2 samples that have every modality
    of S. L_S is the objective's loss on the modalities of S alone. With Symile and three modalities
    these are the three pairs, as in CLIP, and the triple. A sample that lacks one modality is an
    anchor of the pair that it has.

    Each size of subset has an objective of its own, since products of more vectors are smaller and
    need a larger scale. `score` averages over the subsets of a query's modalities: each score is
    that of the matching objective times its logit scale, if it has one.

    Args:
        make: makes the objective.
        modalities: the number of modalities.

    Raises:
        ValueError: no two samples of a batch have the same two modalities.
    """

    def __init__(self, make: Callable[[], Objective], modalities: int):
        # The objectives have logit scales; this sum has none of its own.
        nn.Module.__init__(self)
        self.by_size = nn.ModuleDict({str(size): make() for size in range(2, modalities + 1)})
        self.modalities = modalities
        self.reads = self._of_size(modalities).reads
        self.spread = self._of_size(modalities).spread
        self.momentum = self._of_size(modalities).momentum

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """The logit scale of the objective over all modalities."""
        return self._of_size(self.modalities).logit_scale

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Connect the objective of each size.

        Raises:
            ValueError: the objective distinguishes modalities, so that it cannot be shared by all
                subsets of a size, reads the inputs of one, or keeps state from step to step.
        """
        for size in range(2, self.modalities + 1):
            objective = self._of_size(size)
            if objective.learned_score:
                raise ValueError(
                    "its parts belong to single modalities, so that subsets cannot share it. "
                    'Choose another objective, or missing_modality = "drop".'
                )
            if objective.of_one_modality:
                raise ValueError(
                    "it reads the inputs of one modality, which not every subset has. It learns "
                    'from incomplete samples without subsets: choose missing_modality = "drop".'
                )
            if objective.keeps_state:
                raise ValueError(
                    "it keeps state from step to step, which subsets cannot share. It learns from "
                    'incomplete samples without them: choose missing_modality = "drop".'
                )
            objective.connect(modalities=modalities[:size], dim=dim, norm=norm, generator=generator)

    def scalars(self) -> dict[str, float]:
        """Return those of the objective over all modalities."""
        return self._of_size(self.modalities).scalars()

    def after_step(self) -> None:
        """See `Objective`."""
        for size in range(2, self.modalities + 1):
            self._of_size(size).after_step()

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return those of the objective over all modalities."""
        objective = self._of_size(self.modalities)
        return objective.views(batch, generator=generator, progress=progress)

    @property
    def needs(self) -> tuple[str, ...]:
        """Name what the objective over all modalities needs besides embeddings."""
        return self._of_size(self.modalities).needs

    def training_loss(
        self, share: ObjectiveInput, *, group: Group, generator: torch.Generator | None = None
    ) -> Loss:
        """Average the losses of subsets, weighted by their samples; each size is a term.

        Raises:
            ValueError: no two samples of the batch have the same two modalities.
        """
        inputs = gather_input(share, group)
        _, available = inputs.embeddings.with_substitutes()
        losses, weights, sizes = [], [], []
        for size in range(2, self.modalities + 1):
            for subset in combinations(range(self.modalities), size):
                complete = int(available[:, subset].all(dim=1).sum())
                if complete >= 2:
                    objective = self._of_size(size)
                    found = objective.training_loss(
                        inputs.select(subset), group=None, generator=generator
                    )
                    losses.append(found.total)
                    weights.append(complete)
                    sizes.append(size)
        if not losses:
            raise no_pair(len(available), objective="a step")
        every = torch.stack(losses)
        shares = torch.tensor(weights, dtype=every.dtype, device=every.device)
        shares = shares / shares.sum()
        of_size, parts = torch.tensor(sizes, device=every.device), (every * shares).detach()
        terms = {f"subsets_of_{size}": parts[of_size == size].sum() for size in sorted({*sizes})}
        return Loss(every @ shares, terms)

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Compute the loss of a batch from embeddings alone.

        Raises:
            ValueError: the objective reads side information or further views, or no two samples
                have the same two modalities.
        """
        if self.needs:
            raise ValueError(more_needed_message(self.needs))
        inputs = ObjectiveInput(embeddings, SideInformation(embeddings.rows))
        return self.training_loss(inputs, group=None, generator=generator).total

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Average the scores over the subsets of each query's modalities; see the class.

        Raises:
            ValueError: a query has no modality available.
        """
        query_columns(query, target=target)
        _, available = query.with_substitutes()
        total = candidates.new_zeros(len(query.rows), len(candidates))
        terms = torch.zeros(len(query.rows), 1, dtype=total.dtype, device=total.device)
        for subset, index in self._scored_subsets(available, query.modalities.index(target)):
            objective = self._of_size(len(subset))
            scores = objective.score(query.take(index).select(subset), candidates, target=target)
            scaled = objective.log_logit_scale is not None
            total[index] += objective.logit_scale * scores if scaled else scores
            terms[index] += 1
        return total / terms

    def _of_size(self, size: int) -> Objective:
        """Return the objective for subsets of a size."""
        objective = self.by_size[str(size)]
        assert isinstance(objective, Objective)
        return objective

    def _scored_subsets(
        self, available: Bool[Tensor, "query modality"], target: int
    ) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """Yield each subset with the target, and the queries that have its other modalities."""
        others = other_columns(self.modalities, target)
        for size in range(1, self.modalities):
            for known in combinations(others, size):
                index = available[:, known].all(dim=1).nonzero()[:, 0]
                if len(index):
                    yield tuple(sorted((*known, target))), index
