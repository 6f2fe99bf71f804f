"""Build the encoder of a modality as a task says, and find why it cannot run in chunks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from clinical_symile.config.component import WEIGHTS
from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.models.adapters.base import AdaptedEncoder, FrozenEncoder
from clinical_symile.models.encoders.weights import check_weights
from clinical_symile.models.gradient_cache import batch_dependent_modules
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import ADAPTERS, ENCODERS


def build_encoder(named: EncoderConfig, shape: tuple[int, ...], dim: int) -> nn.Module:
    """Build an encoder with new weights or those of its file, frozen or adapted as its task says.

    Args:
        named: its name, arguments and fields.
        shape: the shape of one input.
        dim: width of the output.

    Raises:
        DefinitionError: the file of weights is missing or not the one of the task's digest.
        ValueError: the encoder or its adapter does not accept its arguments, or a network that
            modalities share shall be frozen or adapted.
    """
    weights = named.arguments.get(WEIGHTS)
    if isinstance(weights, str):
        check_weights(Path(weights), named.sha256)
    encoder: nn.Module = resolve(named.name, ENCODERS)(shape, dim, **named.arguments)
    if getattr(encoder, "is_frozen", False) and not named.frozen:
        raise ValueError(
            f"'{named.name}' computes no gradients of its weights; expected frozen = true. Add it."
        )
    if isinstance(encoder, SharedNetwork) and (named.frozen or named.adapter is not None):
        field = "frozen" if named.frozen else "adapter"
        raise ValueError(
            f"'{named.name}' has one network for all modalities, which {field} does not share; "
            f"expected neither frozen nor adapter. Leave {field} out, or choose another encoder."
        )
    if named.frozen:
        arguments = {key: value for key, value in named.arguments.items() if key != WEIGHTS}
        definition = json.dumps({"name": named.name, **arguments}, sort_keys=True)
        return FrozenEncoder(encoder, shape, definition=definition)
    if named.adapter is not None:
        adapter = resolve(named.adapter.name, ADAPTERS)(**named.adapter.arguments)
        return AdaptedEncoder(encoder, adapter)
    return encoder


def share_networks(encoders: Mapping[str, nn.Module]) -> None:
    """Let encoders that say so, by `share_with`, have one network: that of the first of a kind."""
    first: dict[type, SharedNetwork] = {}
    for encoder in encoders.values():
        if isinstance(encoder, SharedNetwork):
            kind = first.setdefault(type(encoder), encoder)
            if kind is not encoder:
                encoder.share_with(kind)


@runtime_checkable
class SharedNetwork(Protocol):
    """Protocol of an encoder whose network all modalities that name it have in common."""

    def share_with(self, first: Any) -> None:
        """Use the network of another modality's encoder of the same class."""
        ...


def chunking_problems(task: Pretraining, encoders: Mapping[str, nn.Module]) -> list[str]:
    """List the reasons why the encoders cannot run in chunks; empty if they can."""
    if task.encode_at_a_time is None or task.batch_statistics == "parts":
        return []
    layers = {name: batch_dependent_modules(encoder) for name, encoder in encoders.items()}
    return [
        f"task '{task.name}': encoders.{name} normalises over the batch, in {', '.join(found[:3])}"
        f"{f' and {len(found) - 3} other layers' if len(found) > 3 else ''}; expected none, since "
        f"encode_at_a_time = {task.encode_at_a_time} would change its gradients. Take an encoder "
        'without it, leave encode_at_a_time out, or set batch_statistics = "parts" to have each '
        "part normalised by its own statistics. That is not what a whole batch learns."
        for name, found in layers.items()
        if found
    ]
