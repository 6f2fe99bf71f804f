"""Learn a vector for each set of available modalities and each missing one."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.models.missing_modality.base import FillingHandler, MissingModalityMethod
from clinical_symile.objectives.arguments import above, refuse

_MOST_MODALITIES = 8  # 256 sets


class VectorBank(FillingHandler):
    """Replace a missing modality by a learned vector of the modality and the available set.

    Source: the missing-modality bank of Yun et al., "Flex-MoE", NeurIPS 2024,
    https://arxiv.org/abs/2410.08245; its code, UNITES-Lab/flex-moe at 8c82735, has the MIT licence
    and was read. There it replaces tokens; here it replaces embeddings.

    A contrastive loss reads the vectors of the sets without each target, as scores do. `outcome`
    reads those of the sets that samples have. The vector of a set that no train sample has, with
    or without a target, stays that with which its modality began.

    Args:
        modalities: the number of modalities, at most 8.
        dim: the width of the embeddings.

    Raises:
        ValueError: there are too many modalities.
    """

    reads_vectors = False

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        refuse(above(0, _MOST_MODALITIES, modalities=modalities))
        # One draw for each modality, so that the sets begin with equal vectors.
        drawn = torch.randn(modalities, dim)
        self.bank_substitute = nn.Parameter(drawn.repeat(2**modalities, 1, 1))

    def fill(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """See `FillingHandler`."""
        return self.bank_substitute[pattern_codes(available)]


BANK = MissingModalityMethod(
    handler=VectorBank,
    display_name="bank of learned vectors",
    description=(
        "Puts a learned placeholder where a modality is missing, another one for each set of "
        "those that are there."
    ),
    source='Yun et al., "Flex-MoE", NeurIPS 2024, https://arxiv.org/abs/2410.08245',
)
"""A learned vector for each missing modality and each set of available ones."""
