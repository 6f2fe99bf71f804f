"""CoMM: contrast a fusion of all modalities with that of each alone, in two views of a batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import at_least, between_0_and_1, multiple_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import nt_xent_losses
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import rows_of
from clinical_symile.objectives.slots import FewSamplesError, filled_slots
from clinical_symile.objectives.token_fusion import (
    FusionTransformer,
    fuse_alone,
    fuse_in_type,
    score_by_fusion,
)
from clinical_symile.objectives.views import View, partly_hidden


class CoMm(Objective):
    """Contrast the fusion of all modalities with the fusion of each alone, in two views.

    f is a transformer over the tokens of the modalities that it sees; an embedding of width d holds
    `tokens` of width d / tokens. Two views of the batch, ' and '', are encoded, each with a stretch
    of every input hidden. The loss is the mean over each modality k and "all" of
    ½ [NT-Xent(f_k', f_all'') + NT-Xent(f_k'', f_all')]. f_k sees modality k alone, f_all what the
    sample has. Term k uses the samples that have k; one with fewer than two is left out.

    `score` is ⟨f(what a query has), f(candidate alone)⟩. Training compares f_k with f_all, of which
    k is a part. Only incomplete samples train f of some of several modalities.

    Source: Dufumier et al., "What to Align in Multimodal Contrastive Learning?", ICLR 2025,
    https://arxiv.org/abs/2409.07402, not checked against its text. The hidden stretch in place of
    augmentations, the tokens, the widths and the linear layer after the fusion are this project's.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        tokens: the tokens of an embedding; it divides the width.
        width: width of the transformer, a multiple of `heads`.
        heads: heads of attention.
        layers: layers of the transformer.
        hidden: the share of an input that each view hides.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, the widths cannot be divided, or a batch has fewer
            than two samples with a modality.
    """

    display_name = "CoMM"
    description = "Contrasts a fusion of all modalities with that of each alone, in two views."
    source = (
        'Dufumier et al., "What to Align in Multimodal Contrastive Learning?", ICLR 2025, '
        "https://arxiv.org/abs/2409.07402"
    )
    learned_score = True

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        tokens: int = 2,
        width: int = 64,
        heads: int = 4,
        layers: int = 1,
        hidden: float = 0.25,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            at_least(1, tokens=tokens, width=width, heads=heads, layers=layers),
            between_0_and_1(hidden=hidden),
            multiple_of(heads, width=width),
        )
        self.tokens, self.hidden = tokens, hidden
        self.width, self.heads, self.layers = width, heads, layers

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the transformer."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        refuse(multiple_of(self.tokens, dim=dim))
        self.modalities = len(modalities)
        self.fusion = FusionTransformer(
            len(modalities),
            dim,
            tokens=self.tokens,
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            generator=generator,
        )

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batch twice, each time with other stretches of its inputs hidden."""
        return [View(partly_hidden(batch, self.hidden, generator=generator)) for _ in range(2)]

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Average over modalities and their fusion; see the class."""
        (view,) = inputs.further
        views, scale = (z, filled_slots(view.embeddings)), self.logit_scale.to(z.dtype)
        known = available.any(dim=1)
        if known.sum() < 2:
            raise FewSamplesError(
                f"a CoMM step needs at least 2 samples with a modality; this batch of "
                f"{len(known)} has {int(known.sum())}.",
                "Raise batch_size.",
            )
        views, available = [rows_of(one, known) for one in views], available[known]
        first, second = (self._fused(one, available) for one in views)
        # Exchanging the views changes nothing here.
        fused, losses = nt_xent_losses(first, second, scale).mean(), []
        for k, has in enumerate(available.T):
            if has.sum() >= 2:
                own, other = (self._alone(one[has, k], k) for one in views)
                forth = nt_xent_losses(own, second[has], scale).mean()
                losses.append((forth + nt_xent_losses(other, first[has], scale).mean()) / 2)
        count = len(losses) + 1
        single = torch.stack(losses).sum() if losses else 0.0 * fused
        return sum_of_terms(single=single / count, fused=fused / count)

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compare the fusion of what a query has with that of each candidate alone.

        Raises:
            ValueError: a query has no modality available.
        """
        return score_by_fusion(self._fused, query, candidates, target=target)

    def _fused(
        self, z: Float[Tensor, "sample modality dim"], visible: Bool[Tensor, "sample modality"]
    ) -> Float[Tensor, "sample dim"]:
        """Fuse what is visible, with the transformer's weights in the type of the embeddings."""
        return fuse_in_type(self.fusion, z, visible)

    def _alone(self, z: Float[Tensor, "sample dim"], column: int) -> Float[Tensor, "sample dim"]:
        """Fuse embeddings of one modality, each by itself."""
        return fuse_alone(self._fused, z, column=column, modalities=self.modalities)
