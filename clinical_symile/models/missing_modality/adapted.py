"""Adapt frozen encoders to each set of available modalities."""

from collections.abc import Mapping
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.models.adapters.base import (
    OutputUpdate,
    UpdatingAdapter,
    WeightUpdate,
    encode_with,
    refuse_frozen_or_adapted,
)
from clinical_symile.models.adapters.lora import Lora
from clinical_symile.models.adapters.ssf import Ssf
from clinical_symile.models.missing_modality.base import MissingModalityMethod, SetEncodingHandler
from clinical_symile.objectives.arguments import above, refuse

_MOST_MODALITIES = 5  # 31 sets, of which each encoder has 15 adapters
_RANK = 1


class AdaptersOfSets(SetEncodingHandler):
    """An adapter of each encoder for each set of modalities, and a vector for each missing one.

    The encoders, their normalization and the objective keep the weights of the run that training
    starts from. A sample with every modality is encoded as by that run. Each other set has an
    adapter of each of its encoders, which begins as the identity, and learned vectors in place of
    the missing modalities: what a frozen encoder would give for an input of zeros.

    Source: "Robust Multimodal Learning with Missing Modalities via Parameter-Efficient Adaptation",
    https://arxiv.org/abs/2310.03986, from a summary. There missing inputs are zeros.

    Args:
        modalities: the number of modalities, at most 5.
        dim: the width of the embeddings.
        adapter: makes the updates of layers.

    Raises:
        ValueError: there are too many modalities.
    """

    def __init__(self, modalities: int, dim: int, *, adapter: UpdatingAdapter):
        super().__init__(modalities, dim)
        refuse(above(0, _MOST_MODALITIES, modalities=modalities))
        drawn = torch.randn(modalities, dim)
        self.set_substitute = nn.Parameter(drawn.repeat(2**modalities, 1, 1))
        self.adapter = adapter
        self.updates = nn.ModuleDict()
        self.layers = list[tuple[str, ...]]()

    def connect(self, encoders: Mapping[str, nn.Module]) -> None:
        """Make the adapters; see `SetEncodingHandler`.

        Raises:
            ValueError: an encoder is frozen or adapted by its own table, or has no layer.
        """
        for column, (name, encoder) in enumerate(encoders.items()):
            refuse_frozen_or_adapted(encoder, name=name)
            names: tuple[str, ...] = ()
            for code in self._incomplete_sets(column):
                made = self.adapter.updates(encoder, head=None)
                self.updates[_key(column, code)] = nn.ModuleList(made.values())
                names = tuple(made)
            self.layers.append(names)

    def encoder_of_set(self, encoder: nn.Module, *, column: int, code: int) -> nn.Module:
        """Return the encoder, with the adapter of the set unless the set is whole."""
        if code == self._whole:
            return encoder
        return _EncoderWith(encoder, self._adapter(column, code))

    def has_moved(self, code: int) -> bool:
        """Return True if the adapter of each encoder of a set is no identity any more."""
        columns = [c for c in range(self.modalities) if code >> c & 1]
        return code == self._whole or all(
            any(not update.is_identity for update in self._adapter(column, code).values())
            for column in columns
        )

    def parameters_of_set(self, code: int) -> int:
        """Return the number of trained values of a set of modalities."""
        columns = [c for c in range(self.modalities) if code >> c & 1]
        parts = [u for c in columns for u in self._adapter(c, code).values()]
        missing = self.modalities - len(columns)
        vectors = missing * self.set_substitute.shape[2]
        return vectors + sum(p.numel() for part in parts for p in part.parameters())

    def fill(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """See `FillingHandler`."""
        return self.set_substitute[pattern_codes(available)]

    @property
    def _whole(self) -> int:
        return 2**self.modalities - 1

    def _incomplete_sets(self, column: int) -> list[int]:
        """Return the sets with a modality that lack another one."""
        return [code for code in range(self._whole) if code >> column & 1]

    def _adapter(self, column: int, code: int) -> dict[str, WeightUpdate | OutputUpdate]:
        made = self.updates[_key(column, code)]
        assert isinstance(made, nn.ModuleList)
        updates = [one for one in made if isinstance(one, WeightUpdate | OutputUpdate)]
        return dict(zip(self.layers[column], updates, strict=True))


class _EncoderWith(nn.Module):
    """An encoder with updates of its layers, for as long as a batch is encoded."""

    def __init__(self, encoder: nn.Module, updates: Mapping[str, nn.Module]):
        super().__init__()
        self.encoder, self.updates_by_layer = encoder, updates

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return encode_with(self.encoder, self.updates_by_layer, inputs)


def _key(column: int, code: int) -> str:
    return f"set{code}_modality{column}"


ADAPTED = MissingModalityMethod(
    handler=partial(AdaptersOfSets, adapter=Ssf()),
    dropout_rate=0.3,
    needs_start=True,
    display_name="adapters of sets (SSF)",
    description=(
        "Scales and shifts the features of frozen encoders, differently for each set of "
        "modalities that is there."
    ),
    source=(
        '"Robust Multimodal Learning with Missing Modalities via Parameter-Efficient Adaptation", '
        "https://arxiv.org/abs/2310.03986 (from a summary)"
    ),
)
"""An SSF adapter of each frozen encoder for each set of modalities that lacks one."""

ADAPTED_LORA = MissingModalityMethod(
    handler=partial(AdaptersOfSets, adapter=Lora(rank=_RANK)),
    dropout_rate=0.3,
    needs_start=True,
    display_name="adapters of sets (LoRA)",
    description=(
        "Adds low-rank updates to the weights of frozen encoders, others for each set of "
        "modalities that is there."
    ),
    source=(
        '"Robust Multimodal Learning with Missing Modalities via Parameter-Efficient Adaptation", '
        "https://arxiv.org/abs/2310.03986 (from a summary)"
    ),
)
"""A LoRA adapter of each frozen encoder for each set of modalities that lacks one."""
