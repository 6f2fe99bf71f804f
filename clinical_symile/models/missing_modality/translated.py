"""Translate the embedding of a missing modality from those that are there."""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.missing_modality.base import (
    FillingHandler,
    MissingModalityMethod,
    scaled_vectors,
)


class Translator(nn.Module):
    """A linear map of an embedding, plus a network with one hidden layer.

    Args:
        dim: the width of the embeddings.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.network = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, z: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample dim"]:
        """Translate embeddings whose numbers have a mean square of about 1."""
        return self.linear(z) + self.network(z)


class TranslatedVectors(FillingHandler):
    """Replace a missing modality by translations of the available ones.

    A translator t_ab of each ordered pair of modalities learns from samples with both:
    ‖t_ab(z_a) - z_b‖², without a gradient for z_b, plus the cycle ‖t_ba(t_ab(z_a)) - z_a‖², as
    means over numbers. A replacement is the mean of the translations of what is available. It is
    made of sources alone: neither the missing embedding nor a way back is read in use.

    Source: Pham et al., "Found in Translation" (MCTN), AAAI 2019, https://arxiv.org/abs/1812.07809,
    from its abstract, and the cycle in a latent space of LaT. MCTN translates sequences and
    predicts from what the translation passes through; here embeddings are translated, each modality
    into each other one. Embeddings are scaled to numbers with a mean square of 1 before.

    Args:
        modalities: the number of modalities.
        dim: the width of the embeddings.
    """

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        pairs = permutations(range(modalities), 2)
        self.translators = nn.ModuleDict({f"{a}_{b}": Translator(dim) for a, b in pairs})

    def translate(
        self, z: Float[Tensor, "sample dim"], source: int, target: int
    ) -> Float[Tensor, "sample dim"]:
        """Translate scaled embeddings of the column `source` into those of `target`."""
        return self.translators[f"{source}_{target}"](z)

    def fill(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Return the mean of the translations from the other modalities that are available."""
        scaled, made = scaled_vectors(z), []
        for target in range(self.modalities):
            sources = [source for source in range(self.modalities) if source != target]
            has = available[:, sources, None]
            every = [self.translate(scaled[:, source], source, target) for source in sources]
            known = torch.where(has, torch.stack(every, dim=1), 0.0).sum(dim=1)
            made.append(known / has.sum(dim=1).clamp(min=1))
        return torch.stack(made, dim=1)

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        norms: Sequence[Callable[[Tensor], Tensor]],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the losses of translations and of cycles, each a mean over ordered pairs."""
        scaled, translations, cycles = scaled_vectors(z), [], []
        for source, target in permutations(range(self.modalities), 2):
            both = available[:, source] & available[:, target]
            if not both.any():
                continue
            given, wanted = scaled[both, source], scaled[both, target].detach()
            found = self.translate(given, source, target)
            translations.append((found - wanted).square().mean())
            cycles.append((self.translate(found, target, source) - given).square().mean())
        if not translations:
            return {}
        return {
            "translation": torch.stack(translations).mean(),
            "cycle": torch.stack(cycles).mean(),
        }


TRANSLATED = MissingModalityMethod(
    handler=TranslatedVectors,
    display_name="cyclic translation",
    description="Translates the embeddings that are there into that of a missing modality.",
    source='Pham et al., "Found in Translation", AAAI 2019, https://arxiv.org/abs/1812.07809',
)
"""A missing embedding is the mean translation of those that are there."""
