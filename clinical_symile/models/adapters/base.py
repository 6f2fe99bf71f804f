"""The contract of an adapter, and the encoders of which only a part is trained.

An adapter is made from the arguments of a task's `[encoders.<modality>.adapter]` table. It changes
an encoder whose own weights stay as they are. The encoder has a `head`: the module that maps its
features to embeddings, which is trained in any case.

What an adapter adds to a layer is a `WeightUpdate` or an `OutputUpdate`. `attach_updates` adds them
for good, and `encode_with` for one batch.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

# Samples that a frozen encoder reads at a time on a CPU. Alone, a sample's features depend on no
# other sample, to the bit; then training is the same with features that were computed before.
_AT_A_TIME_ON_CPU = 1
_ATTACHED = "output_update"  # the name of an update within its layer


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


class LayerUpdate(nn.Module):
    """A module that an adapter adds to a layer; at the start it changes nothing."""

    @property
    def is_identity(self) -> bool:
        """True if it still changes nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no `is_identity`; define it.")


class WeightUpdate(LayerUpdate):
    """A module that maps the weight of a layer to another one."""


class OutputUpdate(LayerUpdate):
    """A module that maps the output of a layer to another one."""


class UpdatingAdapter:
    """An adapter that adds an update to each of some layers; see `Adapter`."""

    def adapt(self, encoder: nn.Module, *, head: nn.Module) -> int:
        """Adapt the layers; see `Adapter`."""
        updates = self.updates(encoder, head=head)
        attach_updates(encoder, updates)
        return len(updates)

    def updates(
        self, encoder: nn.Module, *, head: nn.Module | None
    ) -> Mapping[str, WeightUpdate | OutputUpdate]:
        """Return an update of each layer that is adapted, by name, without adding it.

        Args:
            encoder: has the layers.
            head: a module whose layers are left out; None for none.

        Raises:
            ValueError: see `Adapter.adapt`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `updates`; define it.")


def adaptable_layers(
    encoder: nn.Module,
    kinds: tuple[type[nn.Module], ...],
    *,
    head: nn.Module | None,
    patterns: Sequence[str],
    what: str,
) -> dict[str, nn.Module]:
    """Return the layers of some kinds whose names match a pattern, by name.

    Args:
        encoder: has the layers; it may be one itself, with an empty name.
        kinds: the classes of layers that an adapter changes.
        head: a module whose layers are left out; None for none.
        patterns: such as `*.qkv`; `*` for all.
        what: the kinds, for the message.

    Raises:
        ValueError: there is no such layer, or a pattern matches none.
    """
    own = {id(module) for module in head.modules()} if head is not None else set[int]()
    known = {
        name: module
        for name, module in encoder.named_modules()
        if isinstance(module, kinds) and id(module) not in own
    }
    unused = [p for p in patterns if not any(fnmatchcase(name, p) for name in known)]
    if unused or not known:
        names = ", ".join([*known][:5]) or "none"
        raise ValueError(
            f"no {what} layer is named like {', '.join(unused) or '*'}; the first layers are "
            f"{names}. Correct 'layers' of the adapter, or leave it out."
        )
    return {
        name: module
        for name, module in known.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def attach_updates(encoder: nn.Module, updates: Mapping[str, nn.Module]) -> None:
    """Add updates to the layers of an encoder for good.

    Args:
        encoder: is changed in place.
        updates: a `WeightUpdate` or an `OutputUpdate` for each name of a layer.
    """
    for name, update in updates.items():
        layer = encoder.get_submodule(name)
        if isinstance(update, WeightUpdate):
            parametrize.register_parametrization(layer, "weight", update)
        else:
            layer.add_module(_ATTACHED, update)
            layer.register_forward_hook(_update_output)


def encode_with(
    encoder: nn.Module, updates: Mapping[str, nn.Module], inputs: Float[Tensor, "sample ..."]
) -> Float[Tensor, "sample dim"]:
    """Encode a batch with updates of the layers, and leave the encoder as it was.

    Args:
        encoder: the encoder.
        updates: a `WeightUpdate` or an `OutputUpdate` for each name of a layer.
        inputs: the inputs of the samples.
    """
    weights = dict[str, Tensor]()
    with ExitStack() as hooks:
        for name, update in updates.items():
            layer = encoder.get_submodule(name)
            if isinstance(update, WeightUpdate):
                weight = cast(Tensor, layer.weight)
                weights[f"{name}.weight" if name else "weight"] = update(weight)
            else:
                hooks.enter_context(layer.register_forward_hook(_updating(update)))
        return functional_call(encoder, weights, (inputs,))


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


def refuse_frozen_or_adapted(encoder: nn.Module, *, name: str) -> None:
    """Refuse an encoder that its own table freezes or adapts, for a method that adapts it itself.

    Raises:
        ValueError: it is frozen or adapted.
    """
    if isinstance(encoder, AdaptedEncoder | FrozenEncoder):
        raise ValueError(
            f"encoders.{name} is frozen or has an adapter; expected neither, since the method "
            "freezes every encoder and adapts it. Remove it, and start from a run without it."
        )


def freeze(encoder: nn.Module) -> None:
    """Let no parameter of an encoder need a gradient, except those of its head.

    Raises:
        HeadlessEncoderError: the encoder has no `head`.
    """
    head = head_of(encoder)
    encoder.requires_grad_(False)
    head.requires_grad_(True)


def _update_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Change the output of a layer by the update that is attached to it."""
    return layer.get_submodule(_ATTACHED)(output)


def _updating(update: nn.Module) -> Any:
    """Return a hook that changes the output of a layer."""
    return lambda layer, inputs, output: update(output)


def _train_head(module: Any, encoder: nn.Module, mode: bool) -> Any:
    """Set the mode of a module; of the encoder in it, of the head alone."""
    nn.Module.train(module, mode)
    encoder.eval()
    head_of(encoder).train(mode)
    return module
