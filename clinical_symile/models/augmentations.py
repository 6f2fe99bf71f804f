"""Augmentations: random changes of the inputs in training.

An augmentation is made with the arguments of a task's `[augment.<modality>]` table. It is called
with the inputs of a batch, on any device, and a generator on the CPU. Unavailable inputs stay zero.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

_STORED_RATE_HZ = 500


@runtime_checkable
class Augmentation(Protocol):
    """Protocol of an augmentation of one modality."""

    def __call__(
        self, inputs: Float[Tensor, "sample ..."], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample ..."]:
        """Return changed inputs."""
        ...


class ShiftImage:
    """Shift each image vertically and horizontally by whole pixels; edges are repeated.

    This equals a random crop of the image padded with its edges.

    Args:
        most_px: the largest shift, in pixels; all shifts are equally likely.

    Raises:
        ValueError: it is not positive.
    """

    display_name = "shift of the image"
    description = (
        "Shifts each image vertically and horizontally by whole pixels; edges are repeated."
    )

    def __init__(self, *, most_px: int):
        self.most = _positive("most_px", most_px)

    def __call__(
        self, images: Float[Tensor, "sample channel h w"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample channel h w"]:
        """Return shifted images."""
        down, across = _draw((2, len(images)), self.most, generator).to(images.device)
        every = torch.arange(len(images), device=images.device)[:, None, None, None]
        channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
        y = _source_index(images.shape[2], down)[:, None, :, None]
        x = _source_index(images.shape[3], across)[:, None, None, :]
        return images[every, channels, y, x]


class ShiftSignal:
    """Shift each recording in time, all leads together; its ends are repeated.

    Args:
        most_ms: the largest shift, in milliseconds; all shifts are equally likely.

    Raises:
        ValueError: the largest shift is less than the time between two stored values.
    """

    display_name = "shift of the signal"
    description = "Shifts each recording in time, all leads together; its ends are repeated."

    def __init__(self, *, most_ms: int):
        self.most = _positive("most_ms", most_ms * _STORED_RATE_HZ // 1000)

    def __call__(
        self, signals: Float[Tensor, "sample lead time"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample lead time"]:
        """Return shifted recordings."""
        (shift,) = _draw((1, len(signals)), self.most, generator).to(signals.device)
        source = _source_index(signals.shape[2], shift)[:, None, :]
        return signals.gather(2, source.expand_as(signals))


def _positive(name: str, steps: int) -> int:
    if steps < 1:
        raise ValueError(f"{name} moves by {steps} stored values; expected at least 1.")
    return steps


def _draw(
    size: tuple[int, int], most: int, generator: torch.Generator
) -> Int[Tensor, "axis sample"]:
    return torch.randint(-most, most + 1, size, generator=generator)


def _source_index(size: int, by: Int[Tensor, " sample"]) -> Int[Tensor, "sample {size}"]:
    """Return for each position the position that its value comes from."""
    return (torch.arange(size, device=by.device) - by[:, None]).clamp(0, size - 1)
