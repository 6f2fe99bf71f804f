"""`Embeddings`: vectors out of a model, with which of them are real."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Embeddings:
    """One vector per sample and modality.

    `z` is never read without `present`: the slots of absent modalities are zero as the model makes
    them, and may hold anything in a test.

    Attributes:
        z: the vectors.
        present: True where the modality was measured and may be used.
        modalities: the columns of `present`.
        rows: rows of the store.
        substitute: what stands in for an absent modality, where the model learned such a vector;
            None where an absent modality is left out.
    """

    z: Float[Tensor, "sample modality dim"]
    present: Bool[Tensor, "sample modality"]
    modalities: tuple[str, ...]
    rows: Int[Tensor, " sample"]
    substitute: Float[Tensor, "modality dim"] | None = None

    def hide(self, visible: Bool[Tensor, "sample modality"]) -> "Embeddings":
        """These embeddings with only what is both present and `visible`; the rest is zeroed."""
        present = self.present & visible
        z = torch.where(present[:, :, None], self.z, torch.zeros_like(self.z))
        return replace(self, z=z, present=present)

    def take(self, index: Int[Tensor, " taken"]) -> "Embeddings":
        """The embeddings of some samples, in the order of `index`."""
        return replace(self, z=self.z[index], present=self.present[index], rows=self.rows[index])

    def to(self, device: torch.device | str) -> "Embeddings":
        """The same on another device."""
        z, present, rows = (value.to(device) for value in (self.z, self.present, self.rows))
        substitute = None if self.substitute is None else self.substitute.to(device)
        return replace(self, z=z, present=present, rows=rows, substitute=substitute)

    def of(self, columns: tuple[int, ...]) -> "Embeddings":
        """The embeddings of some modalities alone, by their columns."""
        kept = list(columns)
        return replace(
            self,
            z=self.z[:, kept],
            present=self.present[:, kept],
            modalities=tuple(self.modalities[column] for column in kept),
            substitute=None if self.substitute is None else self.substitute[kept],
        )

    def filled(
        self,
    ) -> tuple[Float[Tensor, "sample modality dim"], Bool[Tensor, "sample modality"]]:
        """What an objective computes with: `z` and which slots of it count.

        With a substitute every slot counts, and the absent ones hold it; without one only the
        present slots count.
        """
        if self.substitute is None:
            return self.z, self.present
        z = torch.where(self.present[:, :, None], self.z, self.substitute[None])
        return z, torch.ones_like(self.present)
