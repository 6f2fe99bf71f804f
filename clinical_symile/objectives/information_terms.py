"""The terms of MCR for what modalities share, and for what tells nothing of the labels."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 0.5  # of the published runs


def label_contrast(
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    labels: Float[Tensor, "sample label"],
    *,
    temperature: float = TEMPERATURE,
) -> Float[Tensor, ""] | None:
    """Attract vectors of one sample, and of samples with the same labels, over all modalities.

    It is the mean over vectors t of -1/|P(t)| Σ_{p ∈ P(t)} log softmax_p(⟨z_t, ·⟩ / temperature),
    with a softmax over all other vectors, each of length 1. P(t) are those of the same sample and
    of samples that agree in every label known of both, at least one. A vector without any is left
    out. It is supervised contrast (Khosla et al., 2020) of a batch.

    Args:
        z: vectors; any finite values where unavailable.
        available: True where a sample has the modality.
        labels: NaN where unknown.
        temperature: divides inner products.

    Returns:
        The loss; None if no vector has a positive.
    """
    samples = available.nonzero()[:, 0]
    tokens = functional.normalize(z[available], dim=1)
    known = ~labels.isnan()
    both = known[:, None] & known[None]
    differs = (both & (labels[:, None] != labels[None])).any(dim=2)
    alike = both.any(dim=2) & ~differs
    alike = alike | torch.eye(len(labels), dtype=torch.bool, device=alike.device)
    own = torch.eye(len(tokens), dtype=torch.bool, device=alike.device)
    positive = alike[samples][:, samples] & ~own
    counts = positive.sum(dim=1)
    if not counts.any():
        return None
    logits = (tokens @ tokens.T / temperature).masked_fill(own, -torch.inf)
    log_shares = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~positive, 0.0)
    losses = -log_shares.sum(dim=1) / counts.clamp(min=1)
    return losses[counts > 0].mean()


class Restoration(nn.Module):
    """Restore the vectors of all modalities from a prediction, by two layers without biases.

    Args:
        labels: the number of labels, of two classes each.
        modalities: the number of modalities.
        dim: the width of a vector and of the hidden layer.
    """

    def __init__(self, labels: int, modalities: int, dim: int):
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(2 * labels, dim, bias=False),
            nn.ReLU(),
            nn.Linear(dim, modalities * dim, bias=False),
        )

    def forward(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        log_odds: Float[Tensor, "sample label"],
    ) -> Float[Tensor, ""]:
        """Compute the mean square of what a prediction does not tell of available vectors.

        The prediction gets no gradient: vectors move towards what it tells.

        Args:
            z: vectors; any finite values where unavailable.
            available: True where a sample has the modality, of at least one.
            log_odds: the prediction of each label.
        """
        positive = log_odds.detach().sigmoid()
        restored = self.network(torch.cat([1 - positive, positive], dim=1)).view_as(z)
        return functional.mse_loss(restored[available], z[available])
