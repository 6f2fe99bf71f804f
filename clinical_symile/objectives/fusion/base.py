"""The contract of a fusion: the vectors of a sample's available modalities make one vector.

A fusion of your own is a `ModalityFusion`, named `package.module:NAME`. The objective `outcome`
makes it with the names of the modalities, their width and a generator; its other arguments are
keywords of the table `objective.fusion`.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.token_attention import TokenQueries


class ModalityFusion(nn.Module):
    """A network from the vectors of a sample's available modalities to one vector.

    Every fusion keeps one promise. The vector of an unavailable modality may hold any value, such
    as NaN; neither the output nor a gradient changes. Samples do not influence each other.

    A fusion gives `fuse`. One with a loss of its own gives `extra_losses`. One that reads tokens
    of encoders sets `token_queries`: each vector is then followed by the summary of its modality's
    tokens.

    Attributes:
        token_queries: the queries whose attention to each modality's tokens it reads; None if it
            reads vectors alone.

    Args:
        modalities: the names of the modalities, in the order of the columns.
        dim: the width of a vector and of the output.
    """

    token_queries: TokenQueries | None = None

    def __init__(self, modalities: tuple[str, ...], dim: int):
        super().__init__()
        self.modalities = modalities
        self.dim = dim

    @property
    def summary_width(self) -> int:
        """The numbers that follow each vector; 0 unless the fusion reads tokens."""
        return 0 if self.token_queries is None else self.token_queries.summary_width

    def forward(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"] | None = None,
    ) -> Float[Tensor, "sample dim"]:
        """Fuse the available vectors of each sample.

        Args:
            z: the vectors, whose numbers have a mean square of about 1, each followed by
                `summary_width` numbers.
            available: True where a sample has the modality; None if all have all.

        Raises:
            ValueError: a sample has no modality available.
        """
        if available is None:
            available = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
        empty = int((~available.any(dim=1)).sum())
        if empty:
            raise ValueError(
                f"{empty} of {len(z)} samples have no modality available; expected at least one "
                "each. Leave them out before they are fused."
            )
        if not len(z):
            return z[..., : self.dim].sum(dim=1)
        return self.fuse(torch.where(available[:, :, None], z, torch.zeros_like(z)), available)

    def fuse(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """Fuse the available vectors of each sample; there is at least one sample.

        Args:
            z: the vectors and what follows them; zero where unavailable.
            available: True where a sample has the modality; each has at least one.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `fuse`; define it.")

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return further terms of the loss by name, with their weights; by default none.

        Args:
            z: the vectors and what follows them; zero where unavailable.
            available: True where a sample has the modality; each has at least one.
        """
        return {}
