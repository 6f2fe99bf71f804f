"""Small changes of inputs in training, so that no two epochs see the same.

Each is made as `Augmentation(...)` with what a task's `[augment.<modality>]` table sets, and called
with the inputs of a batch, on any device, and a generator on the CPU. What is absent stays zero.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

STORED_RATE_HZ = 500


@runtime_checkable
class Augmentation(Protocol):
    """What is made for a modality; see above."""

    def __call__(
        self, inputs: Float[Tensor, "sample ..."], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample ..."]:
        """The inputs, changed."""
        ...


class ShiftImage:
    """Move each image by whole pixels, up and down and sideways; edges are repeated.

    The same as a random crop of the image with its edges repeated around it.

    Args:
        most_px: how far at most; each way is as likely.

    Raises:
        ValueError: it is not positive.
    """

    def __init__(self, *, most_px: int):
        self.most = _positive("most_px", most_px)

    def __call__(
        self, images: Float[Tensor, "sample channel h w"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample channel h w"]:
        """The images, moved."""
        down, across = _draw((2, len(images)), self.most, generator).to(images.device)
        every = torch.arange(len(images), device=images.device)[:, None, None, None]
        channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
        y = _moved(images.shape[2], down)[:, None, :, None]
        x = _moved(images.shape[3], across)[:, None, None, :]
        return images[every, channels, y, x]


class ShiftSignal:
    """Move each recording in time, all leads together; its ends are repeated.

    Args:
        most_ms: how far at most; each way is as likely.

    Raises:
        ValueError: it is less than the time between two stored values.
    """

    def __init__(self, *, most_ms: int):
        self.most = _positive("most_ms", most_ms * STORED_RATE_HZ // 1000)

    def __call__(
        self, signals: Float[Tensor, "sample lead time"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample lead time"]:
        """The recordings, moved."""
        (later,) = _draw((1, len(signals)), self.most, generator).to(signals.device)
        place = _moved(signals.shape[2], later)[:, None, :]
        return signals.gather(2, place.expand_as(signals))


def _positive(name: str, steps: int) -> int:
    if steps < 1:
        raise ValueError(f"{name} moves by {steps} stored values; expected at least 1.")
    return steps


def _draw(
    size: tuple[int, int], most: int, generator: torch.Generator
) -> Int[Tensor, "axis sample"]:
    return torch.randint(-most, most + 1, size, generator=generator)


def _moved(size: int, by: Int[Tensor, " sample"]) -> Int[Tensor, "sample {size}"]:
    """For each place, the one whose value it gets."""
    return (torch.arange(size, device=by.device) - by[:, None]).clamp(0, size - 1)
