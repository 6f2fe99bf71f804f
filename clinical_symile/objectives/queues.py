"""MoCo: negatives from a queue of earlier batches, also hard, synthesised or with far positives."""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.arguments import at_least, from_0_to_1, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.hard_keys import kept_score, least_kept, synthesised_keys
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import Excluded, reduce_scores
from clinical_symile.objectives.pairs import Pair, complete_pairs


class QueueClip(Objective):
    """Contrast each embedding with its partner's key and with keys of earlier batches.

    For each ordered pair of modalities the query is an embedding of the first. Its positive is the
    teacher's embedding of the second, its key. Its negatives are the queue of the second: the
    teacher's embeddings of earlier batches, the oldest of which leave it. In the first step the
    keys of other samples of the batch stand in for the queue, and nothing is synthesised. Keys have
    no gradient.

    Sources: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR
    2020, https://arxiv.org/abs/1911.05722; for `synthesised`, Kalantidis et al., "Hard Negative
    Mixing for Contrastive Learning", NeurIPS 2020, https://arxiv.org/abs/2010.01028; for
    `extrapolation`, Zhu et al., "Improving Contrastive Learning by Visualizing Feature
    Transformation", ICCV 2021, https://arxiv.org/abs/2108.02982. The last two were not checked
    against the text of the papers.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        size: the keys of each modality in the queue; at least a batch.
        momentum: the share that the teacher keeps of its weights in each step, from 0 to 1.
        keep: the number of negatives that are kept, the most similar ones; 0 for all.
        synthesised: mixtures of two of the `hardest` negatives that are added for each query, and
            half as many of one of them with the query. Memory grows with this times the width.
        hardest: the most similar negatives that mixtures are made of.
        extrapolation: a positive pair x, y becomes λx + (1 - λ)y, λy + (1 - λ)x, with λ drawn from
            1 to 1 + extrapolation.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, the queue is shorter than a batch, or no two
            samples have the same two modalities.
    """

    display_name = "MoCo"
    description = "Contrasts pairs of modalities with a queue of earlier embeddings."
    source = (
        'He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR '
        "2020, https://arxiv.org/abs/1911.05722"
    )
    keeps_state = True
    queue: Tensor
    entered: Tensor

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        size: int = 1024,
        momentum: float = 0.999,
        keep: int = 0,
        synthesised: int = 0,
        hardest: int = 64,
        extrapolation: float = 0.0,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            at_least(1, size=size),
            from_0_to_1(momentum=momentum),
            at_least(0, keep=keep, synthesised=synthesised, extrapolation=extrapolation),
            at_least(2, hardest=hardest),
            [] if keep <= size else [f"keep is {keep}; expected at most size, {size}."],
        )
        self.size, self.momentum, self.keep = size, momentum, keep
        self.synthesised, self.hardest, self.extrapolation = synthesised, hardest, extrapolation

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Remember the shape of the queues."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.shape = (len(modalities), self.size, dim)

    def begin_training(self, *, rows: int, batch_size: int) -> None:
        """Create an empty queue of each modality.

        Raises:
            ValueError: a single batch would overflow the queue.
        """
        if self.size < batch_size:
            raise ValueError(
                f"size is {self.size}, shorter than a batch of {batch_size}; expected at least "
                "that. Raise objective.size, or lower batch_size."
            )
        self.register_buffer("queue", torch.zeros(self.shape), persistent=False)
        # The number of keys that ever entered, by which the next place and the length are known.
        entered = torch.zeros(self.shape[0], dtype=torch.long)
        self.register_buffer("entered", entered, persistent=False)

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over ordered pairs of modalities."""
        assert inputs.teacher is not None
        keys, has_key = inputs.taught(), inputs.teacher.available
        self.defer(partial(self._enter, keys.detach(), has_key))
        losses = []
        for pair in complete_pairs(z, available, objective="a MoCo step", ordered=True):
            own = keys[pair.samples, pair.b]
            positive = (pair.first * own).sum(dim=1)
            if self.extrapolation:
                assert generator is not None
                drawn = torch.rand(len(own), generator=generator, dtype=z.dtype).to(z.device)
                positive = extrapolated_products(pair.first, own, 1 + self.extrapolation * drawn)
            negatives = self._negatives(pair, own, generator)
            scaled = self.logit_scale.to(z.dtype) * positive
            losses.append((torch.logaddexp(scaled, negatives) - scaled).mean())
        return torch.stack(losses).mean()

    def _enter(
        self,
        keys: Float[Tensor, "sample modality dim"],
        has_key: Bool[Tensor, "sample modality"],
    ) -> None:
        """Put the keys of a batch at the end of the queues, in place of the oldest."""
        for m, has in enumerate(has_key.T):
            new = keys[has, m][-self.size :].to(self.queue.dtype)
            places = (self.entered[m] + torch.arange(len(new), device=new.device)) % self.size
            self.queue[m, places] = new
            self.entered[m] += len(new)

    def _negatives(
        self, pair: Pair, own: Tensor, generator: torch.Generator | None
    ) -> Float[Tensor, " sample"]:
        """Return the log-sum-exp of each query's negatives."""
        scale, excluded = self.logit_scale.to(own.dtype), None
        bank = self.queue[pair.b, : int(self.entered[pair.b].clamp(max=self.size))].to(own.dtype)
        first_step = not len(bank)
        if first_step:
            bank, excluded = own, Excluded(pair.codes, pair.codes)
        least = least_kept(pair.first.detach(), bank, self.keep, excluded)
        left = [pair.first, least]
        found = reduce_scores(
            kept_score, left, [bank], [scale], excluded=excluded, only="rows"
        ).rows
        if not self.synthesised or first_step:
            return found
        assert generator is not None
        mixed = synthesised_keys(
            pair.first.detach(), bank, self.synthesised, hardest=self.hardest, generator=generator
        )
        added = scale * (pair.first[:, None] * mixed).sum(dim=2)
        return torch.logaddexp(found, added.logsumexp(dim=1))


def extrapolated_products(
    queries: Float[Tensor, "sample dim"],
    keys: Float[Tensor, "sample dim"],
    factors: Float[Tensor, " sample"],
) -> Float[Tensor, " sample"]:
    """Compute ⟨λx + (1 - λ)y, λy + (1 - λ)x⟩ of each query x and its key y."""
    own = factors[:, None]
    pushed = own * queries + (1 - own) * keys
    return (pushed * (own * keys + (1 - own) * queries)).sum(dim=1)
