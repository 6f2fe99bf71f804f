"""Distil what a model predicts from all modalities into what it predicts from some of them.

Each sample keeps a random subset of the modalities that it has. The prediction from the subset
learns from the prediction from all of them, which gets no gradient.

Source: McKinzie et al., "On robustness in multimodal learning", 2023,
https://arxiv.org/abs/2304.04385 (MASD, modality-augmented self-distillation), from a summary: the
draw of subsets and the divergence are ours.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def draw_subsets(
    available: Bool[Tensor, "sample modality"],
    rows: Int[Tensor, " sample"],
    *,
    generator: torch.Generator | None,
) -> Bool[Tensor, "sample modality"]:
    """Draw a subset of each sample's modalities: every one that is not empty is equally likely.

    Args:
        available: True where a sample has the modality. A sample without any keeps none.
        rows: the samples. Draws follow their order, since several processes gather a batch in
            another order than one has it.
        generator: the source of the draws, on the CPU.
    """
    drawn = torch.rand(len(rows), generator=generator, dtype=torch.float64).to(rows.device)
    draws = torch.empty_like(drawn).scatter_(0, rows.argsort(stable=True), drawn)
    count = available.sum(dim=1)
    # The subsets of k modalities have the numbers 1 to 2^k - 1; a bit is one of those modalities.
    number = 1 + (draws * (2**count - 1)).long()
    place = available.cumsum(dim=1) - 1
    return available & ((number[:, None] >> place.clamp(min=0)) & 1).bool()


def distillation_loss(
    teacher: Float[Tensor, "sample label"], student: Float[Tensor, "sample label"]
) -> Float[Tensor, ""]:
    """Compute the mean divergence KL(teacher ‖ student) over samples and labels.

    Args:
        teacher: log odds from all modalities; no gradient reaches them.
        student: log odds from some of them.
    """
    teacher = teacher.detach()
    positive = functional.logsigmoid(teacher) - functional.logsigmoid(student)
    negative = functional.logsigmoid(-teacher) - functional.logsigmoid(-student)
    return (teacher.sigmoid() * positive + (-teacher).sigmoid() * negative).mean()
