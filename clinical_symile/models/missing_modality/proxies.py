"""Put the mean of cross-modal proxy tokens in place of a missing modality."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.models.adapters.base import refuse_frozen_or_adapted
from clinical_symile.models.adapters.lora import Lora
from clinical_symile.models.missing_modality.base import (
    FillingHandler,
    MissingModalityMethod,
    TokenHandler,
)
from clinical_symile.models.tokens import token_reader
from clinical_symile.objectives.arguments import above, refuse
from clinical_symile.objectives.token_attention import attend

_MOST_MODALITIES = 8
_WIDTH = 64
_RANK = 1
_WEIGHT = 0.2
_LEAST_LENGTH = 1e-12


class ProxyTokens(TokenHandler, FillingHandler):
    """Replace a missing modality by the mean of the available modalities' proxies for it.

    The proxy of one modality for another is a learned token that attends to the first one's tokens
    and to itself. It approximates the other's embedding from this modality alone, so that a sample
    is encoded once, whatever is hidden later. In training, the squared distance of each proxy to
    the embedding that is there is added to the loss, without a gradient for that embedding.

    The encoders keep the weights of the run that training starts from. Low-rank updates of all
    their layers are trained, and so are the proxies and the objective.

    Source: Reza et al., "Robust Multimodal Learning via Cross-Modal Proxy Tokens", TMLR 2025,
    https://arxiv.org/abs/2501.17823, from the abstract. There the encoders are transformers whose
    class token is approximated; here it is the embedding, and the tokens are those of the last
    feature map. The rank 1 and the weight 0.2 are theirs, the width of the attention is ours.

    Args:
        modalities: the number of modalities, at most 8.
        dim: the width of the embeddings.

    Raises:
        ValueError: there are too many modalities.
    """

    freezes_encoders = True

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        refuse(above(0, _MOST_MODALITIES, modalities=modalities))
        self.summary_width = modalities * dim
        self.readers = nn.ModuleList()
        self.updates = nn.ModuleList()
        self.layers = list[tuple[str, ...]]()
        # By the modality that is read and the one that is missing.
        self.queries = nn.Parameter(torch.randn(modalities, modalities, _WIDTH))
        self.own_keys = nn.Parameter(torch.randn(modalities, modalities, _WIDTH))
        self.own_values = nn.Parameter(torch.zeros(modalities, modalities, _WIDTH))
        self.outputs = nn.ModuleList(nn.Linear(_WIDTH, dim) for _ in range(modalities))
        self.nothing_substitute = nn.Parameter(torch.randn(modalities, dim))

    def connect(self, encoders: Mapping[str, nn.Module]) -> None:
        """See `TokenHandler`.

        Raises:
            ValueError: an encoder gives no tokens, or is frozen or adapted by its own table.
        """
        for name, encoder in encoders.items():
            refuse_frozen_or_adapted(encoder, name=name)
            self.readers.append(token_reader(encoder, name=name, width=_WIDTH))
            made = Lora(rank=_RANK).updates(encoder, head=None)
            self.updates.append(nn.ModuleList(made.values()))
            self.layers.append(tuple(made))

    def updates_of(self, column: int) -> Mapping[str, nn.Module]:
        """Return the low-rank updates of an encoder's layers, by name."""
        made = self.updates[column]
        assert isinstance(made, nn.ModuleList)
        return dict(zip(self.layers[column], made, strict=True))

    def summarize(
        self,
        tokens: Float[Tensor, "sample token width"],
        *,
        column: int,
        exists: Bool[Tensor, "sample token"] | None = None,
    ) -> Float[Tensor, "sample number"]:
        """Return the proxies of a modality for each modality; zero for itself."""
        keys, values = self.readers[column](tokens)
        if exists is not None:
            exists = functional.pad(exists, (0, 1), value=True)  # the proxy reads itself, too
        proxies = []
        for other in range(self.modalities):
            if other == column:
                proxies.append(values.new_zeros(len(values), self.dim))
                continue
            own_key, own_value = (
                own[column, other].expand(len(keys), 1, -1).to(keys.dtype)
                for own in (self.own_keys, self.own_values)
            )
            found, _ = attend(
                self.queries[column, other][None].to(keys.dtype),
                torch.cat([keys, own_key], dim=1),
                torch.cat([values, own_value], dim=1),
                exists,
            )
            proxies.append(self.outputs[other](found[:, 0]))
        return torch.cat(proxies, dim=1)

    def fill(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Return the mean of the available modalities' proxies for each other modality.

        A sample without any other modality has a learned vector.
        """
        proxies = self._proxies(z)
        counts = torch.ones(self.modalities, self.modalities, device=z.device, dtype=z.dtype)
        others = available[:, :, None] * counts.fill_diagonal_(0)
        total = others.sum(dim=1)[..., None]
        mean = (others[..., None] * proxies).sum(dim=1) / total.clamp(min=1)
        return torch.where(total > 0, mean, self.nothing_substitute.to(mean.dtype))

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
        norms: Sequence[Callable[[Tensor], Tensor]],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the squared distance of proxies to embeddings; none if no pair is there.

        It is the mean over samples and pairs of modalities, relative to the mean squared length of
        the embeddings.
        """
        proxies, losses = self._proxies(z), []
        for read in range(self.modalities):
            for missing, norm in enumerate(norms):
                both = available[:, read] & available[:, missing]
                if read == missing or not both.any():
                    continue
                target = z[both, missing, : self.dim].detach()
                error = (norm(proxies[both, read, missing]) - target).square().sum(dim=1).mean()
                length = target.square().sum(dim=1).mean().clamp(min=_LEAST_LENGTH)
                losses.append(error / length)
        return {"alignment": _WEIGHT * torch.stack(losses).mean()} if losses else {}

    def _proxies(
        self, z: Float[Tensor, "sample modality number"]
    ) -> Float[Tensor, "sample read missing dim"]:
        """Return the proxy of each modality that is read for each one that is missing."""
        return z[..., self.dim :].unflatten(2, (self.modalities, self.dim))


PROXIES = MissingModalityMethod(
    handler=ProxyTokens,
    dropout_rate=0.3,
    needs_start=True,
    display_name="cross-modal proxy tokens",
    description=(
        "Lets the tokens of each modality that is there approximate the embedding of a missing "
        "one, on frozen encoders with low-rank updates."
    ),
    source=(
        'Reza et al., "Robust Multimodal Learning via Cross-Modal Proxy Tokens", TMLR 2025, '
        "https://arxiv.org/abs/2501.17823 (from the abstract)"
    ),
)
"""The mean of proxies of the available modalities, on frozen encoders with LoRA."""
