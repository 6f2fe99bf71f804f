"""`EncoderConfig`: the fields of a task's `[encoders.<modality>]` table that every encoder has."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_serializer

from clinical_symile.config._tables import is_table
from clinical_symile.config.component import WEIGHTS, ComponentConfig, argument_problems
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import keyword_arguments
from clinical_symile.registry.families import ADAPTERS, ENCODERS

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Stated = Annotated[str, Field(min_length=1)]
# What says where weights come from. A correction of it changes no model, and no digest.
SOURCE_FIELDS = ("licence", "training_data", "training_list")
# The fields that a file of weights needs beside it.
_PINNED = ("sha256", "licence", "training_data")


class EncoderConfig(ComponentConfig):
    """An encoder with its arguments, and what is said of its weights.

    Attributes:
        name: a name of the family, or `package.module:Name`.
        frozen: only the last layer is trained, which maps the encoder's features to embeddings.
            Features are computed once per store.
        adapter: name and arguments of an adapter: the encoder's own weights stay as they are, and
            the few weights of the adapter are trained with the last layer.
        sha256: the SHA-256 of the file of weights. Another file is refused.
        licence: the terms of use of the weights.
        training_data: the data sets that the weights were trained on; empty if unknown.
        training_list: a text file of the recordings that the weights were trained on, one name per
            line; `audit` compares it with tuning and held-out recordings.
    """

    frozen: bool = False
    adapter: ComponentConfig | None = None
    sha256: Sha256 | None = None
    licence: Stated | None = None
    training_data: tuple[Stated, ...] | None = None
    training_list: Stated | None = None

    @field_validator("adapter", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Read `adapter = "lora"` as a table with that name."""
        return {"name": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leave out what is not said, so that digests of other tasks stay as they are."""
        unsaid = {name for name in _OWN if getattr(self, name) in (None, False)}
        return {name: value for name, value in handler(self).items() if name not in unsaid}


_OWN = tuple(name for name in EncoderConfig.model_fields if name != "name")


def encoder_problems(encoder: EncoderConfig, *, where: str) -> list[str]:
    """Return what is wrong with an encoder, its arguments and its fields, a sentence each.

    Args:
        encoder: the encoder.
        where: the table, for messages.
    """
    problems = argument_problems(encoder, ENCODERS, where=where, also=_OWN)
    if encoder.adapter is not None:
        problems += argument_problems(encoder.adapter, ADAPTERS, where=f"{where}.adapter")
        if encoder.frozen:
            problems.append(
                f"{where} has frozen = true and an adapter; expected one of them. An adapter keeps "
                "the encoder's own weights as they are. Remove frozen."
            )
    given = [name for name in (*_PINNED, "training_list") if getattr(encoder, name) is not None]
    if WEIGHTS not in encoder.arguments and given:
        problems.append(
            f"{where} has {', '.join(given)} without 'weights', which they describe. Add the file, "
            "or remove them."
        )
    if WEIGHTS in encoder.arguments and (given or encoder_needs_weights(encoder.name)):
        problems += [
            f"{where} has no '{name}'; expected {_MEANING[name]}. Add it."
            for name in _PINNED
            if getattr(encoder, name) is None
        ]
    return problems


_MEANING = {
    "sha256": "the SHA-256 of the weights, as `sha256sum` prints it",
    "licence": "the terms of use of the weights",
    "training_data": "the names of the data sets they were trained on, or [] if unknown",
}


def encoder_source(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a task's dumped encoder says of its weights; empty without any."""
    names = (WEIGHTS, "sha256", *SOURCE_FIELDS)
    return {name: encoder[name] for name in names if name in encoder}


def without_source(encoder: Any) -> Any:
    """Return a dumped encoder without the fields that change no model."""
    if not is_table(encoder):
        return encoder
    return {name: value for name, value in encoder.items() if name not in SOURCE_FIELDS}


def encoder_needs_weights(name: str) -> bool:
    """Return True for an encoder that is nothing without a file of weights."""
    try:
        return WEIGHTS in keyword_arguments(name, ENCODERS)[1]
    except DefinitionError:  # reported with the arguments
        return False
