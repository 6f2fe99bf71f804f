"""Augmentations: random changes of the inputs in training.

An augmentation is made with the arguments of a task's `[augment.<modality>]` table. It is called
with the inputs of a batch, on any device, and a generator on the CPU. Unavailable inputs stay zero.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

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


class VaryImage:
    """Shift, rotate and re-expose each image, each by a random amount.

    All amounts are uniform between their limits; beyond its edges an image repeats them.

    Args:
        shift: largest shift in each direction, as a share of the side.
        degrees: largest rotation.
        contrast: largest relative change of the differences from the image's mean.
        brightness: largest change of the mean, as a share of the image's standard deviation.

    Raises:
        ValueError: a limit is out of range.
    """

    display_name = "varied image"
    description = "Shifts, rotates and re-exposes each image, each by a random amount."

    def __init__(
        self,
        *,
        shift: float = 0.05,
        degrees: float = 5.0,
        contrast: float = 0.1,
        brightness: float = 0.1,
    ):
        _check(shift=(shift, 1.0), contrast=(contrast, 1.0), degrees=(degrees, 180.0))
        _check(brightness=(brightness, math.inf))
        self.shift, self.degrees = shift, degrees
        self.contrast, self.brightness = contrast, brightness

    def __call__(
        self, images: Float[Tensor, "sample channel h w"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample channel h w"]:
        """Return varied images."""
        draws = (2 * torch.rand(5, len(images), generator=generator) - 1).to(images)
        angle = draws[0] * math.radians(self.degrees)
        shift = 2 * self.shift * draws[1:3]  # `affine_grid` has sides of length 2
        turns = torch.stack(
            [angle.cos(), -angle.sin(), shift[0], angle.sin(), angle.cos(), shift[1]], dim=1
        )
        shape = list(images.shape)
        grid = functional.affine_grid(turns.reshape(-1, 2, 3), shape, align_corners=False)
        moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        spread, mean = (
            of.reshape(-1, 1, 1, 1) for of in torch.std_mean(moved.flatten(1), dim=1, correction=0)
        )
        factor = 1 + self.contrast * draws[3].reshape(-1, 1, 1, 1)
        offset = self.brightness * draws[4].reshape(-1, 1, 1, 1) * spread
        return (moved - mean) * factor + mean + offset


class VarySignal:
    """Shift each recording in time, scale it, and silence some of its leads.

    Args:
        most_ms: the largest shift, in milliseconds.
        scale: largest relative change of the amplitude.
        silent: the share of leads that are set to zero at random; one at least is kept.

    Raises:
        ValueError: a limit is out of range.
    """

    display_name = "varied signal"
    description = "Shifts each recording in time, scales it, and silences some of its leads."

    def __init__(self, *, most_ms: int = 100, scale: float = 0.1, silent: float = 0.1):
        _check(scale=(scale, 1.0), silent=(silent, 1.0))
        self.move = ShiftSignal(most_ms=most_ms)
        self.scale, self.silent = scale, silent

    def __call__(
        self, signals: Float[Tensor, "sample lead time"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample lead time"]:
        """Return varied recordings."""
        moved = self.move(signals, generator=generator)
        amplitude = 1 + self.scale * (2 * torch.rand(len(signals), 1, generator=generator) - 1)
        draws = torch.rand(signals.shape[:2], generator=generator)
        heard = (draws >= self.silent) | (draws == draws.max(dim=1, keepdim=True).values)
        return moved * (amplitude * heard).to(signals)[:, :, None]


class VaryValues:
    """Add noise to percentiles and hide some of the measured values.

    A hidden value has the middle percentile and counts as not measured.

    Args:
        noise: standard deviation of the noise; percentiles stay between 0 and 1.
        hidden: the share of measured values that are hidden at random.

    Raises:
        ValueError: a limit is out of range.
    """

    display_name = "varied values"
    description = "Adds noise to percentiles and hides some of the measured values."

    def __init__(self, *, noise: float = 0.02, hidden: float = 0.1):
        _check(noise=(noise, 1.0), hidden=(hidden, 1.0))
        self.noise, self.hidden = noise, hidden

    def __call__(
        self, values: Float[Tensor, "sample 2 analyte"], /, *, generator: torch.Generator
    ) -> Float[Tensor, "sample 2 analyte"]:
        """Return varied percentiles and, below them, 1 for values that count as measured."""
        percentiles, measured = values[:, 0], values[:, 1] > 0
        shape = percentiles.shape
        noise = self.noise * torch.randn(shape, generator=generator).to(values)
        hidden = (torch.rand(shape, generator=generator) < self.hidden).to(values.device) & measured
        noisy = torch.where(measured, (percentiles + noise).clamp(0, 1), percentiles)
        return torch.stack(
            [torch.where(hidden, 0.5, noisy), (measured & ~hidden).to(values)], dim=1
        )


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


def _check(**limits: tuple[float, float]) -> None:
    """Refuse limits that are negative or too large.

    Raises:
        ValueError: a limit is out of range.
    """
    wrong = [
        f"{name} is {value}; expected a number from 0 to {most:g}."
        for name, (value, most) in limits.items()
        if not 0 <= value <= most or math.isinf(value)
    ]
    if wrong:
        raise ValueError(" ".join(wrong))
