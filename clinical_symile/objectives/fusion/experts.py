"""Flex-MoE: fuse by experts that a router chooses, with a bank of missing vectors."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.objectives.arguments import above, at_least, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights

_MOST_MODALITIES = 6  # 63 experts


class ExpertsFusion(ModalityFusion):
    """The weighted outputs of the experts that a router chooses for a sample.

    A missing vector is a learned one, which depends on the modality and on the set of those that
    are available. A linear router reads all vectors; the softmax of its `top` highest logits weighs
    the outputs of their experts, perceptrons on all vectors side by side. A further loss teaches
    the router to choose, for incomplete samples, the expert of their set, and to use all experts
    alike for complete ones.

    Source: Yun et al., "Flex-MoE: Modeling Arbitrary Modality Combination via the Flexible
    Mixture-of-Experts", NeurIPS 2024, https://arxiv.org/abs/2410.08245; its code,
    UNITES-Lab/flex-moe at 8c82735, has the MIT licence and was read. There experts are the
    feed-forward layers of a transformer over tokens; here they read vectors side by side. The noise
    of its router, its estimate of the load and its warm-up on complete samples are left out; the
    weight 0.01 is that of its code.

    Args:
        modalities: the names of the modalities, at most 6.
        dim: the width of a vector.
        generator: the source of starting weights.
        experts: the number of experts; None for one for each set of modalities.
        top: the experts that a sample is given to; fewer if there are not as many.
        hidden: width of the experts' hidden layer; None for twice the width of a vector.
        balance: the weight of the router's loss.

    Raises:
        ValueError: an argument is out of range, or there are too many modalities.
    """

    display_name = "experts (Flex-MoE)"
    description = "Experts that a router chooses, with a learned vector for what a set lacks."
    source = (
        'Yun et al., "Flex-MoE: Modeling Arbitrary Modality Combination via the Flexible '
        'Mixture-of-Experts", NeurIPS 2024, https://arxiv.org/abs/2410.08245'
    )

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        experts: int | None = None,
        top: int = 2,
        hidden: int | None = None,
        balance: float = 0.01,
    ):
        super().__init__(modalities, dim)
        count = 2 ** len(modalities) - 1 if experts is None else experts
        width = 2 * dim if hidden is None else hidden
        refuse(
            at_least(1, experts=count, top=top, hidden=width),
            at_least(0, balance=balance),
            above(0, _MOST_MODALITIES, modalities=len(modalities)),
        )
        self.top, self.balance = min(top, count), balance
        inputs = len(modalities) * dim
        with starting_weights(generator):
            self.bank = nn.Parameter(torch.randn(2 ** len(modalities), len(modalities), dim))
            self.router = nn.Linear(inputs, count)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, dim))
                for _ in range(count)
            )

    def fuse(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        inputs = self._filled(z, available).flatten(1)
        outputs = torch.stack([expert(inputs) for expert in self.experts], dim=1)
        return (self._weights(self.router(inputs))[:, :, None] * outputs).sum(dim=1)

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the loss of the router; there is none with one expert."""
        if not self.balance or len(self.experts) == 1:
            return {}
        logits = self.router(self._filled(z, available).flatten(1))
        complete, losses = available.all(dim=1), []
        if not complete.all():
            wanted = self.expert_of_set(available[~complete])
            losses.append(functional.cross_entropy(logits[~complete], wanted))
        if complete.any():
            use = self._weights(logits[complete]).sum(dim=0)
            losses.append(use.var() / use.mean().square())
        return {"router": self.balance * torch.stack(losses).sum()}

    def expert_of_set(self, available: Bool[Tensor, "sample modality"]) -> Int[Tensor, " sample"]:
        """Return the expert of each sample's set; the first is that of complete samples.

        With fewer experts than sets, several sets have the same.
        """
        return (2 ** len(self.modalities) - 1 - pattern_codes(available)) % len(self.experts)

    def _filled(
        self, z: Float[Tensor, "sample modality dim"], available: Bool[Tensor, "sample modality"]
    ) -> Float[Tensor, "sample modality dim"]:
        return torch.where(available[:, :, None], z, self.bank[pattern_codes(available)])

    def _weights(self, logits: Float[Tensor, "sample expert"]) -> Float[Tensor, "sample expert"]:
        """Return the softmax over the highest logits of each sample, 0 for other experts."""
        highest, chosen = logits.topk(self.top, dim=1)
        return torch.zeros_like(logits).scatter(1, chosen, highest.softmax(dim=1))
