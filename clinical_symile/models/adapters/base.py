"""The contract of an adapter, and the encoders of which only a part is trained.

An adapter is made from the arguments of a task's `[encoders.<modality>.adapter]` table. It changes
an encoder whose own weights stay as they are. The encoder has a `head`: the module that maps its
features to embeddings, which is trained in any case.
"""

from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Samples that a frozen encoder reads at a time on a CPU. Alone, a sample's features depend on no
# other sample, to the bit; then training is the same with features that were computed before.
_AT_A_TIME_ON_CPU = 1


@runtime_checkable
class Adapter(Protocol):
    """Protocol of an adapter."""

    def adapt(self, encoder: nn.Module, *, head: nn.Module) -> int:
        """Change an encoder in place; return the number of changed layers.

        Args:
            encoder: all its own parameters keep their values and need no gradient.
            head: a module of it that is left as it is.

        Raises:
            ValueError: no layer can be changed, or a setting fits none.
        """
        ...


class HeadlessEncoderError(ValueError):
    """An encoder without a `head` cannot be frozen or adapted."""


class _FeaturesReached(Exception):  # noqa: N818, no error
    """The forward pass has come to the head."""


class AdaptedEncoder(nn.Module):
    """An encoder whose own weights are kept, with an adapter and a head that are trained.

    Its running statistics stay, and layers that drop values in training drop none.

    Args:
        encoder: the encoder, with a `head`; its parameters are frozen in place.
        adapter: changes the encoder.

    Raises:
        HeadlessEncoderError: the encoder has no `head`.
        ValueError: see `Adapter.adapt`.
    """

    def __init__(self, encoder: nn.Module, adapter: Adapter):
        super().__init__()
        self.encoder = encoder
        freeze(encoder)
        adapter.adapt(encoder, head=head_of(encoder))
        self.train(self.training)

    def train(self, mode: bool = True) -> "AdaptedEncoder":
        """Set the mode of the head alone; the rest encodes as in evaluation."""
        return _train_head(self, self.encoder, mode)

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self.encoder(inputs)


class FrozenEncoder(nn.Module):
    """An encoder of which only the head is trained.

    It reads measurements, or features of them that were computed before: inputs of another shape
    than a measurement's are features.

    Args:
        encoder: the encoder, with a `head`; its parameters are frozen in place.
        shape: the shape of one measurement.
        definition: name and arguments of the encoder, as text; part of the digest of its features.

    Attributes:
        width: the number of features.

    Raises:
        HeadlessEncoderError: the encoder has no `head`.
    """

    def __init__(self, encoder: nn.Module, shape: tuple[int, ...], *, definition: str = ""):
        super().__init__()
        self.encoder = encoder
        self.shape = tuple(shape)
        self.definition = definition
        freeze(encoder)
        self.train(self.training)
        dtype = next(encoder.parameters()).dtype
        self.width = self.features(torch.zeros(1, *shape, dtype=dtype)).shape[1]

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Set the mode of the head alone; the rest encodes as in evaluation."""
        return _train_head(self, self.encoder, mode)

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch of measurements, or of their features."""
        is_measured = tuple(inputs.shape[1:]) == self.shape
        return head_of(self.encoder)(self.features(inputs) if is_measured else inputs)

    @torch.no_grad()
    def features(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample feature"]:
        """Compute the features of measurements, in the precision of the weights.

        On a CPU each sample is encoded alone.
        """
        parts = inputs.split(_AT_A_TIME_ON_CPU) if inputs.device.type == "cpu" else (inputs,)
        with torch.autocast(inputs.device.type, enabled=False):
            return torch.cat([self._features(part) for part in parts])

    def frozen_state(self) -> dict[str, Tensor]:
        """Return the weights and buffers that the features depend on: all but the head's."""
        of_head = {
            id(tensor) for tensor in head_of(self.encoder).state_dict(keep_vars=True).values()
        }
        state = self.encoder.state_dict(keep_vars=True)
        return {name: t.detach() for name, t in state.items() if id(t) not in of_head}

    def _features(self, inputs: Tensor) -> Tensor:
        """Return what the head would read."""
        found: list[Tensor] = []

        def stop(head: nn.Module, arguments: tuple[Any, ...]) -> None:
            found.append(arguments[0])
            raise _FeaturesReached

        hook = head_of(self.encoder).register_forward_pre_hook(stop)
        try:
            self.encoder(inputs)
        except _FeaturesReached:
            pass
        finally:
            hook.remove()
        (features,) = found
        return features.flatten(1)


def head_of(encoder: nn.Module) -> nn.Module:
    """Return the module that maps an encoder's features to embeddings.

    Raises:
        HeadlessEncoderError: the encoder says none.
    """
    head = getattr(encoder, "head", None)
    if not isinstance(head, nn.Module):
        raise HeadlessEncoderError(
            f"{type(encoder).__name__} has no module `head`, which is trained while the rest is "
            "kept. Leave out frozen and adapter, or give the encoder one."
        )
    return cast(nn.Module, head)


def freeze(encoder: nn.Module) -> None:
    """Let no parameter of an encoder need a gradient, except those of its head.

    Raises:
        HeadlessEncoderError: the encoder has no `head`.
    """
    head = head_of(encoder)
    encoder.requires_grad_(False)
    head.requires_grad_(True)


def _train_head(module: Any, encoder: nn.Module, mode: bool) -> Any:
    """Set the mode of a module; of the encoder in it, of the head alone."""
    nn.Module.train(module, mode)
    encoder.eval()
    head_of(encoder).train(mode)
    return module
