"""Fuse by an expert for each set of available modalities."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.objectives.arguments import above, at_least, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights

_MOST_MODALITIES = 6  # 63 experts


class MixtureFusion(ModalityFusion):
    """A perceptron for each set of available modalities, which reads the vectors of this set alone.

    No weight is shared between sets: each expert learns from the samples of its own set, and one
    that occurs in no train sample keeps its starting weights.

    Args:
        modalities: the names of the modalities, at most 6.
        dim: the width of a vector.
        generator: the source of starting weights.
        hidden: width of the hidden layers; None for twice the width of a vector.

    Raises:
        ValueError: `hidden` is below 1, or there are too many modalities.
    """

    display_name = "mixture"
    description = "A perceptron of its own for each set of available modalities."

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        hidden: int | None = None,
    ):
        super().__init__(modalities, dim)
        width = 2 * dim if hidden is None else hidden
        refuse(at_least(1, hidden=width), above(0, _MOST_MODALITIES, modalities=len(modalities)))
        self.experts = nn.ModuleDict()
        with starting_weights(generator):
            for code in range(1, 2 ** len(modalities)):
                self.experts[str(code)] = nn.Sequential(
                    nn.Linear(code.bit_count() * dim, width), nn.GELU(), nn.Linear(width, dim)
                )

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        codes, parts, places = pattern_codes(available), [], []
        for code in codes.unique().tolist():
            of_code = (codes == code).nonzero()[:, 0]
            known = available[of_code[0]].nonzero()[:, 0]
            parts.append(self.experts[str(code)](z[of_code][:, known].flatten(1)))
            places.append(of_code)
        return torch.cat(parts)[torch.cat(places).argsort()]
