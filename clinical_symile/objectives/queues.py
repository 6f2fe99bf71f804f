"""MoCo: negatives from a queue of earlier batches, also hard, synthesised or with far positives."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.objectives.base import Objective, prepare_slots
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import (
    Excluded,
    inner_product_score,
    reduce_scores,
)
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
    Transformation", ICCV 2021, https://arxiv.org/abs/2108.02982. The last two from knowledge of the
    papers, which were not read again.

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
        problems = []
        if not 0 <= momentum <= 1:
            problems.append(f"momentum is {momentum}; expected a number from 0 to 1.")
        if not 0 <= keep <= size:
            problems.append(f"keep is {keep}; expected a number from 0 to size, {size}.")
        if synthesised < 0 or hardest < 2:
            problems.append(
                f"synthesised is {synthesised} and hardest {hardest}; expected at least 0 and 2."
            )
        if not 0 <= extrapolation < math.inf:
            problems.append(f"extrapolation is {extrapolation}; expected a number of at least 0.")
        if problems:
            raise ValueError(" ".join(problems))
        self.size, self.momentum, self.keep = size, momentum, keep
        self.synthesised, self.hardest, self.extrapolation = synthesised, hardest, extrapolation

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create an empty queue of each modality, which is only for training."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        count = len(modalities)
        self.register_buffer("queue", torch.zeros(count, self.size, dim), persistent=False)
        # The number of keys that ever entered, by which the next place and the length are known.
        entered = torch.zeros(count, dtype=torch.long)
        self.register_buffer("entered", entered, persistent=False)

    def begin_training(self, *, rows: int, batch_size: int) -> None:
        """Refuse a queue that a single batch would overflow."""
        if self.size < batch_size:
            raise ValueError(
                f"size is {self.size}, shorter than a batch of {batch_size}; expected at least "
                "that. Raise objective.size, or lower batch_size."
            )

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
        keys, _ = prepare_slots(*inputs.teacher.with_substitutes())
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

    def after_step(self, inputs: ObjectiveInput | None = None) -> None:
        """Add the teacher's embeddings of the batch to the queues."""
        super().after_step()
        if inputs is None or inputs.teacher is None:
            return
        for m, has in enumerate(inputs.teacher.available.T):
            keys = inputs.teacher.z[has, m].detach()[-self.size :].to(self.queue.dtype)
            places = (self.entered[m] + torch.arange(len(keys), device=keys.device)) % self.size
            self.queue[m, places] = keys
            self.entered[m] += len(keys)

    def _negatives(
        self, pair: Pair, own: Tensor, generator: torch.Generator | None
    ) -> Float[Tensor, " sample"]:
        """Return the log-sum-exp of each query's negatives."""
        scale, codes = self.logit_scale.to(own.dtype), pair.codes
        bank = self.queue[pair.b, : int(self.entered[pair.b].clamp(max=self.size))].to(own.dtype)
        excluded = None
        if not len(bank):
            bank, excluded = own, Excluded(codes, codes)
        if not (self.keep or self.synthesised):
            found = reduce_scores(
                inner_product_score, [pair.first], [bank], [scale], excluded=excluded
            )
            return found.rows
        products = pair.first @ bank.T
        if excluded is not None:
            others = ~torch.eye(len(bank), dtype=torch.bool, device=bank.device)
            products = products[others].reshape(len(bank), -1)
        elif self.synthesised:
            assert generator is not None
            count = min(self.hardest, len(bank))
            hard = bank[products.detach().topk(count, dim=1).indices]
            mixed = synthesised_keys(pair.first.detach(), hard, self.synthesised, generator)
            added = (pair.first[:, None] * mixed).sum(dim=2)
            kept = kept_products(products, self.keep)
            return (scale * torch.cat([kept, added], dim=1)).logsumexp(dim=1)
        return (scale * kept_products(products, self.keep)).logsumexp(dim=1)


def kept_products(products: Float[Tensor, "query key"], keep: int) -> Tensor:
    """Return the `keep` largest products of each query; all of them for 0."""
    return products.topk(min(keep, products.shape[1]), dim=1).values if keep else products


def extrapolated_products(
    queries: Float[Tensor, "sample dim"],
    keys: Float[Tensor, "sample dim"],
    factors: Float[Tensor, " sample"],
) -> Float[Tensor, " sample"]:
    """Compute ⟨λx + (1 - λ)y, λy + (1 - λ)x⟩ of each query x and its key y."""
    own = factors[:, None]
    pushed = own * queries + (1 - own) * keys
    return (pushed * (own * keys + (1 - own) * queries)).sum(dim=1)


def synthesised_keys(
    queries: Float[Tensor, "query dim"],
    hard: Float[Tensor, "query key dim"],
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, "query mixed dim"]:
    """Draw mixtures of two hard keys, and half as many of one with the query, of length 1."""

    def some(number: int) -> Tensor:
        places = torch.randint(hard.shape[1], (len(hard), number), generator=generator)
        return hard.gather(1, places.to(hard.device)[..., None].expand(-1, -1, hard.shape[2]))

    def shares(number: int, most: float) -> Tensor:
        drawn = torch.rand(len(hard), number, 1, generator=generator, dtype=hard.dtype)
        return most * drawn.to(hard.device)

    first, alpha, half = some(count), shares(count, 1.0), (count + 1) // 2
    pairs = alpha * first + (1 - alpha) * some(count)
    beta = shares(half, 0.5)
    with_query = beta * queries[:, None] + (1 - beta) * some(half)
    return normalize(torch.cat([pairs, with_query], dim=1), dim=2)
