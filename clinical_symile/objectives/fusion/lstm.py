"""MedFuse: fuse by a recurrent network over the available vectors."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights


class LstmFusion(ModalityFusion):
    """The last state of an LSTM that reads the available vectors in a fixed order.

    A missing modality is no step of the sequence.

    Source: Hayat et al., "MedFuse: Multi-modal fusion with clinical time-series data and chest
    X-ray images", MLHC 2022, https://arxiv.org/abs/2207.07027. Its code, nyuad-cai/MedFuse at
    3f8b54e, has no licence; it was read, and nothing of it is used. There the sequence has two
    vectors, of which one is projected to the width of the other. Here all have one width and are
    not projected. Its order puts the modality that the labels need first; here it is a setting.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector.
        generator: the source of starting weights.
        order: the modalities in the order of the steps; None for that of the task.

    Raises:
        ValueError: `order` does not name each modality once.
    """

    display_name = "LSTM (MedFuse)"
    description = "The last state of an LSTM that reads the available vectors in a fixed order."
    source = (
        'Hayat et al., "MedFuse: Multi-modal fusion with clinical time-series data and chest X-ray '
        'images", MLHC 2022, https://arxiv.org/abs/2207.07027'
    )

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        order: Sequence[str] | None = None,
    ):
        super().__init__(modalities, dim)
        self.order = modalities if order is None else tuple(order)
        if sorted(self.order) != sorted(modalities):
            raise ValueError(
                f"order is {', '.join(self.order)}; expected each of {', '.join(modalities)} once."
            )
        with starting_weights(generator):
            self.cell = nn.LSTMCell(dim, dim)

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        output = memory = z.new_zeros(len(z), self.dim)
        for name in self.order:
            column = self.modalities.index(name)
            has = available[:, column, None]
            step = self.cell(z[:, column], (output, memory))
            output, memory = torch.where(has, step[0], output), torch.where(has, step[1], memory)
        return output
