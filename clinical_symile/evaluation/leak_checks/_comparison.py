"""Compare what a component computes when hidden slots hold different values."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clinical_symile.errors import DefinitionError

Outputs = Mapping[str, Tensor]

_STATE = "the state "
# Gradients with respect to the slots themselves; they must be zero where hidden.
_SLOT_GRADIENTS = ("the gradient of embeddings", "the gradient of inputs")
_FILLINGS = {"NaN": torch.nan, "values of other subjects": None}


def factory(component: Any) -> Callable[[], Any]:
    """Return a function that gives a fresh component at each call.

    A class is made without arguments. An object is copied, so that state kept by one call never
    reaches the next.
    """
    return component if isinstance(component, type) else lambda: fresh_copy(component)


def fresh_copy(component: Any) -> Any:
    """Return a deep copy.

    Raises:
        DefinitionError: the component cannot be copied.
    """
    try:
        return copy.deepcopy(component)
    except Exception as error:
        raise DefinitionError(
            f"a {type(component).__name__} that cannot be copied: {error}; expected one that "
            "copy.deepcopy takes, because each comparison starts from the same state. Name its "
            "class instead, or define __deepcopy__.",
            code="CS-M021",
        ) from error


def differences(
    outputs: Callable[[Tensor], Outputs],
    values: Tensor,
    available: Tensor,
    *,
    where: str = "hidden slots",
) -> Iterator[str]:
    """Yield a sentence for each output that depends on the content of hidden slots.

    Args:
        outputs: computes named outputs from the slots, from the same state at each call.
        values: the slots, of shape [sample, modality, …].
        available: True where a slot may be read.
        where: names the other slots in the sentences.
    """
    readable = _broadcast(available, values)
    expected = outputs(torch.where(readable, values, torch.zeros_like(values)))
    for name, output in expected.items():
        if name in _SLOT_GRADIENTS and (output[~available] != 0).any():
            yield f"{name} is not zero in {where}."
    for content, filling in _FILLINGS.items():
        others = values.roll(1, dims=0) if filling is None else torch.full_like(values, filling)
        found = outputs(torch.where(readable, values, others))
        for name, output in expected.items():
            if name not in found or not _same(name, output, found[name]):
                yield f"{name} changes when {where} hold {content}."


def with_zeros(values: Tensor, available: Tensor) -> Tensor:
    """Return the slots with zeros where they are hidden."""
    return torch.where(_broadcast(available, values), values, torch.zeros_like(values))


def gradients(loss: Tensor, leaves: Mapping[str, Tensor], module: nn.Module) -> Outputs:
    """Return the gradients of a loss for some tensors and the trained parameters of a module."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    named = {**leaves, **trained}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        f"the gradient of {name}": gradient
        for name, gradient in zip(named, found, strict=True)
        if gradient is not None
    }


def state(module: nn.Module) -> Outputs:
    """Return copies of the buffers of a module, which a call may have changed."""
    return {f"{_STATE}'{name}'": value.clone() for name, value in module.named_buffers()}


def saved_state(module: nn.Module) -> Outputs:
    """Return copies of the buffers that leave with the weights of a module."""
    saved = module.state_dict().keys()
    return {
        f"{_STATE}'{name}'": value.clone()
        for name, value in module.named_buffers()
        if name in saved
    }


def _same(name: str, first: Tensor, second: Tensor) -> bool:
    """Return whether two outputs are equal; an unknown number that is kept is equal to itself."""
    if name.startswith(_STATE) and first.shape == second.shape:
        unknown = first.isnan() & second.isnan()
        first, second = first.masked_fill(unknown, 0), second.masked_fill(unknown, 0)
    return torch.equal(first, second)


def _broadcast(available: Tensor, values: Tensor) -> Tensor:
    return available.reshape(*available.shape, *[1] * (values.ndim - 2))
