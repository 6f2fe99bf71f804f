"""Predict the embedding of a missing modality from the available ones."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.models.missing_modality.base import FillingHandler, MissingModalityMethod
from clinical_symile.objectives.arguments import above, refuse
from clinical_symile.objectives.vicreg import vicreg_terms

_MOST_MODALITIES = 8  # 256 sets
_VARIANCE, _COVARIANCE = 1.0, 0.04  # VICReg's weights 25, 25 and 1, relative to its first
_LEAST_LENGTH = 1e-12


class PredictedVectors(FillingHandler):
    """Replace a missing modality by a prediction from the embeddings of the available ones.

    The prediction is a network with one hidden layer, of the missing modality. It reads the mean of
    linear functions of the available embeddings, and a learned vector of their set. In training,
    each embedding that is there is also predicted: from all of the sample's others, and from the
    others without each one in turn, since a score replaces modalities without its target. The terms
    of VICReg compare a prediction with it, without a gradient for the embedding that is predicted.

    Source: the joint-embedding prediction of "Missing Modality Prediction for Unpaired Multimodal
    Learning via Joint Embedding of Unimodal Models", ECCV 2024, https://arxiv.org/abs/2407.12616,
    from a summary. There encoders are frozen and prompts are trained; here encoders are trained
    with the objective, and the gradient reaches those that a prediction reads. The terms are
    computed at the scale at which numbers have a mean square of 1; their weights are VICReg's.

    Args:
        modalities: the number of modalities, at most 8.
        dim: the width of the embeddings.

    Raises:
        ValueError: there are too many modalities.
    """

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        refuse(above(0, _MOST_MODALITIES, modalities=modalities))
        self.inputs = nn.ModuleList(nn.Linear(dim, dim) for _ in range(modalities))
        self.set_substitute = nn.Parameter(torch.randn(2**modalities, dim))
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
            for _ in range(modalities)
        )

    def fill(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Predict every modality from the others that are available."""
        read = self._read(z)
        columns = range(self.modalities)
        return torch.stack([self._predicted(read, available, column) for column in columns], dim=1)

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        norms: Sequence[Callable[[Tensor], Tensor]],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the mean of VICReg's terms over predictions; none if nothing can be predicted."""
        read, losses = self._read(z), []
        for column, norm in enumerate(norms):
            for hidden in range(self.modalities):  # the modality itself: nothing else is hidden
                kept = available.clone()
                kept[:, [column, hidden]] = False
                several = available[:, column] & kept.any(dim=1)
                if hidden != column:  # else the same prediction as with nothing hidden
                    several &= available[:, hidden]
                if several.sum() < 2:
                    continue
                target = z[several, column].detach()
                found = norm(self._predicted(read[several], kept[several], column))
                scale = target.square().mean().clamp(min=_LEAST_LENGTH).rsqrt()
                terms = vicreg_terms(scale * found, scale * target)
                losses.append(
                    terms.invariance + _VARIANCE * terms.variance + _COVARIANCE * terms.covariance
                )
        return {"prediction": torch.stack(losses).mean()} if losses else {}

    def _read(
        self, z: Float[Tensor, "sample modality dim"]
    ) -> Float[Tensor, "sample modality dim"]:
        """Return the linear function of each embedding, scaled to a mean square of 1."""
        length = z.square().mean(dim=2, keepdim=True).clamp(min=_LEAST_LENGTH).sqrt()
        scaled = zip(self.inputs, (z / length).unbind(dim=1), strict=True)
        return torch.stack([layer(vectors) for layer, vectors in scaled], dim=1)

    def _predicted(
        self,
        read: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        column: int,
    ) -> Float[Tensor, "sample dim"]:
        """Predict one modality from the others that are available."""
        others = available.clone()
        others[:, column] = False
        known = torch.where(others[:, :, None], read, 0.0).sum(dim=1)
        mean = known / others.sum(dim=1, keepdim=True).clamp(min=1)
        of_set = self.set_substitute[pattern_codes(others)]
        return self.networks[column](torch.cat([mean, of_set], dim=1))


PREDICTED = MissingModalityMethod(
    handler=PredictedVectors,
    display_name="predicted embedding",
    description="Predicts the embedding of a missing modality from those that are there.",
    source=(
        '"Missing Modality Prediction for Unpaired Multimodal Learning via Joint Embedding of '
        'Unimodal Models", ECCV 2024, https://arxiv.org/abs/2407.12616 (from a summary)'
    ),
)
"""A missing modality's embedding is predicted from what is available, after hiding."""
