"""SigLIP, its form over tuples, and CLIP-Lite: judge each combination by itself, no softmax."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.kernels.base import multilinear_products
from clinical_symile.objectives.kernels.scores import Excluded, reduce_scores
from clinical_symile.objectives.missing_query import Bank, check_rule, multilinear_score
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.slots import complete_samples


def siglip_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute (1/n) Σ_ij log(1 + exp(-y_ij (s ⟨x_i, y_j⟩ + b))); y is 1 for i = j, else -1.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023,
    https://arxiv.org/abs/2303.15343.
    """
    codes = torch.arange(len(first), device=first.device)
    negatives = reduce_scores(
        _softplus_score,
        [first],
        [second],
        [logit_scale, bias],
        excluded=Excluded(codes, codes),
        only="row_sums",
    ).row_sums.sum()
    positives = softplus(-(logit_scale * (first * second).sum(dim=1) + bias)).sum()
    return (positives + negatives) / len(first)


class SigLip(Objective):
    """Judge each pair of measurements: of the same sample or not.

    A pair of modalities uses the samples that have both; pairs have equal weights.

    Source: see `siglip_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        bias: starting value of the learned bias; about -log of the batch size is neutral.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: no two samples of the batch have the same two modalities.
    """

    display_name = "SigLIP"
    description = "Judges each pair of measurements by itself, with a sigmoid."
    source = (
        'Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, '
        "https://arxiv.org/abs/2303.15343"
    )

    def __init__(
        self, *, temperature: float = 0.1, bias: float = -10.0, logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average `siglip_loss` over pairs of modalities."""
        scale, bias = self.logit_scale.to(z.dtype), self.bias.to(z.dtype)
        losses = [
            siglip_loss(pair.first, pair.second, scale, bias)
            for pair in complete_pairs(z, available, objective="a SigLIP step")
        ]
        return torch.stack(losses).mean()

    def scalars(self) -> dict[str, float]:
        """Return the scale and the bias."""
        return {**super().scalars(), "bias": float(self.bias.detach())}


class SigmoidSymile(Objective):
    """Judge each combination of one measurement of every modality: of one sample or not.

    The loss is (1/n) Σ log(1 + exp(-y (s Σ_d Π_m z_m,d + b))) over all combinations of the batch
    whose members are available. y is 1 if all belong to one sample. n counts complete samples.

    Source: the sigmoid loss of Zhai et al. (see `siglip_loss`) with the logits of Saporta et al.,
    "Contrasting with Symile", NeurIPS 2024; the combination is this project's.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        bias: starting value of the learned bias.
        logit_scale_max: limit of the learned scale.
        missing_query: "marginalize", "mean_bank", or "drop", as in `symile`. The sigmoid's optimum
            is a log density ratio too.
        bank_size: train embeddings of each modality in the bank.

    Raises:
        ValueError: fewer than two complete samples in the batch.
    """

    display_name = "sigmoid Symile"
    description = "Judges each combination of all modalities by itself, with a sigmoid."
    source = (
        'Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, with the product '
        'of Saporta et al., "Contrasting with Symile", NeurIPS 2024'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.02,
        bias: float = -10.0,
        logit_scale_max: float = math.inf,
        missing_query: str = "marginalize",
        bank_size: int = 512,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.bias = nn.Parameter(torch.tensor(float(bias)))
        refuse(at_least(1, bank_size=bank_size))
        self.missing_query = check_rule(missing_query)
        self.bank_size = bank_size

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        complete = complete_samples(available, objective="a sigmoid Symile step")
        scale, bias = self.logit_scale.to(z.dtype), self.bias.to(z.dtype)
        rows = [available[:, m].nonzero()[:, 0] for m in range(z.shape[1])]
        # A left row stands for one combination of all modalities but the first.
        grid = torch.meshgrid(*rows[1:], indexing="ij")
        left = [places.flatten() for places in grid]
        total = reduce_scores(
            _combination_score, left, [z[rows[0], 0]], [scale, bias, z], only="row_sums"
        ).row_sums.sum()
        # A positive logit is in the sum as a negative: log(1 + e^t) - log(1 + e^-t) = t.
        positives = scale * multilinear_products(z[complete].unbind(dim=1)) + bias
        return (total - positives.sum()) / complete.sum()

    def score(
        self,
        query: Embeddings,
        candidates: Float[Tensor, "*query candidate dim"],
        *,
        target: str,
        bank: Bank | None = None,
    ) -> Float[Tensor, "query candidate"]:
        """Compute the multilinear inner product, as `Symile.score`."""
        return multilinear_score(
            query,
            candidates,
            target=target,
            bank=bank,
            logit_scale=float(self.logit_scale.detach()),
            rule=self.missing_query or "drop",
        )

    def scalars(self) -> dict[str, float]:
        """Return the scale and the bias."""
        return {**super().scalars(), "bias": float(self.bias.detach())}


class ClipLite(Objective):
    """Judge each pair of measurements against one wrong partner.

    For a pair of modalities the loss is mean log(1 + exp(-T(x_i, y_i))) + mean log(1 +
    exp(T(x_i, y_π(i)))) with T = s ⟨x, y⟩ and one random cyclic permutation π, which has no fixed
    point. It bounds the Jensen-Shannon divergence between the joint and the independent pairs.

    Source: Shrivastava et al., "CLIP-Lite", AISTATS 2023, https://arxiv.org/abs/2112.07133. The
    critic there may be any network; here it is the inner product that is also the score.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: no two samples have the same two modalities, or there is no generator.
    """

    display_name = "CLIP-Lite"
    description = "Judges each pair of measurements against one wrong partner."
    source = 'Shrivastava et al., "CLIP-Lite", AISTATS 2023, https://arxiv.org/abs/2112.07133'

    def __init__(self, *, temperature: float = 0.1, logit_scale_max: float = 100.0):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over pairs of modalities; each pair draws its own permutation."""
        if generator is None:
            raise ValueError("CLIP-Lite draws wrong partners; expected a generator.")
        losses = []
        for pair in complete_pairs(z, available, objective="a CLIP-Lite step"):
            order = torch.randperm(len(pair.first), generator=generator).to(z.device)
            wrong = torch.empty_like(order)
            wrong[order] = order.roll(1)
            losses.append(clip_lite_loss(pair.first, pair.second, self.logit_scale, wrong))
        return torch.stack(losses).mean()


def clip_lite_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: float | Float[Tensor, ""],
    wrong: Tensor,
) -> Float[Tensor, ""]:
    """Compute the loss of `ClipLite` for one pair, with the wrong partner of each sample given."""
    right = logit_scale * (first * second).sum(dim=1)
    other = logit_scale * (first * second[wrong]).sum(dim=1)
    return softplus(-right).mean() + softplus(other).mean()


def _softplus_score(left, right, parameters):
    """Return log(1 + exp(s ⟨x, y⟩ + b))."""
    scale, bias = parameters
    return softplus(scale * (left[0] @ right[0].T) + bias)


def _combination_score(left, right, parameters):
    """Return log(1 + exp(s Σ_d Π_m z_m,d + b)) of combinations given by rows of each modality."""
    scale, bias, z = parameters
    product = z[left[0], 1]
    for column, places in enumerate(left[1:], start=2):
        product = product * z[places, column]
    return softplus(scale * (product @ right[0].T) + bias)
