"""CLIP with exchanged modalities: some samples give one modality's embedding for another's."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.objectives.arguments import from_0_to_1, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import clip_loss


class SwappedClip(Objective):
    """Contrast every pair of modalities after two embeddings of some samples were exchanged.

    In each step, a share of the samples exchanges the embeddings of two of its available
    modalities, drawn at random. The position of an embedding then does not reveal its modality, so
    the gap between modalities closes. With a share of 0 this is CLIP.

    Source: Yaras et al., "Explaining and Mitigating the Modality Gap in Contrastive Multimodal
    Learning", 2024, https://arxiv.org/abs/2412.07909, for two modalities. This form was not
    checked against its text.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        swapped_share: the share of samples, from 0 to 1.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: the share is out of range, or no two samples have the same two modalities.
    """

    display_name = "swapped CLIP"
    description = "CLIP in which some samples exchange the embeddings of two modalities."
    source = (
        'Yaras et al., "Explaining and Mitigating the Modality Gap in Contrastive Multimodal '
        'Learning", 2024, https://arxiv.org/abs/2412.07909'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        swapped_share: float = 0.5,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(from_0_to_1(swapped_share=swapped_share))
        self.swapped_share = swapped_share

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        places = swapped_places(available.cpu(), share=self.swapped_share, generator=generator)
        places = places.to(z.device)
        # A sample exchanges what it has, so that `available` stays as it is.
        exchanged = z.gather(1, places[:, :, None].expand_as(z))
        return clip_loss(exchanged, self.logit_scale, available=available)


def swapped_places(
    available: Bool[Tensor, "sample modality"],
    *,
    share: float,
    generator: torch.Generator | None,
) -> Int[Tensor, "sample modality"]:
    """Draw the column that each column of a sample is read from.

    Args:
        available: True where a sample has the modality.
        share: the share of samples that exchange two of the modalities that they have.
        generator: the source of draws, on the CPU.
    """
    samples, modalities = available.shape
    places = torch.arange(modalities).repeat(samples, 1)
    draws = torch.rand(samples, modalities + 1, generator=generator)
    chosen = (draws[:, 0] < share) & (available.sum(dim=1) >= 2)
    # The two highest draws among the modalities that a sample has.
    pairs = draws[:, 1:].masked_fill(~available, -1.0).topk(2, dim=1).indices[chosen]
    rows = chosen.nonzero()[:, 0]
    places[rows, pairs[:, 0]], places[rows, pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return places
