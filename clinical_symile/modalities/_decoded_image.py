"""Hold a decoded image; check its shape and scale its grey levels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num, UInt
from PIL import Image

from clinical_symile.modalities.base import Rejected

# Pixels of one image. A detector has about 20 million; more than this takes over 1 GB to scale.
MAX_PIXELS = 40_000_000
MIN_EDGE_PX = 32
_MAX_ASPECT_RATIO = 4
_PART_PIXELS = 100_000  # pixels that are scaled at once


@dataclass(frozen=True, eq=False)
class LevelsInParts:
    """Grey levels of more than 8 bits from 0 to 255, computed a few rows at a time.

    Attributes:
        size: width and height.
        part: returns the levels of some rows.
    """

    size: tuple[int, int]
    part: Callable[[slice], Float[np.ndarray, "row w"]]

    def resize(self, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
        """Scale as `Image.resize` scales the whole image of mode F, to the bit.

        Pillow scales rows first and columns then, so that rows need not be there together.
        """
        width, height = self.size
        narrow = Image.new("F", (size[0], height), None)
        step = max(1, _PART_PIXELS // width)
        for first in range(0, height, step):
            rows = Image.fromarray(self.part(slice(first, first + step)))
            narrow.paste(rows.resize((size[0], rows.height), resample), (0, first))
        return narrow.resize(size, resample)


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        image: image of mode L, or levels of more than 8 bits.
        view: the view that the file states, in capitals; empty if none.
        reduced_from: width and height of an image that was decoded at a fraction of its size; None
            for one that was decoded whole.
    """

    image: Image.Image | LevelsInParts
    view: str = ""
    reduced_from: tuple[int, int] | None = None

    def resize(self, smaller_px: int) -> Image.Image:
        """Scale the image, with bilinear interpolation, so that its smaller edge is `smaller_px`.

        The size of an image that was decoded at a fraction of its size is rounded up. Its surplus
        is left aside, so that nothing is shifted.
        """
        width, height = self.reduced_from or self.image.size
        smaller = min(width, height)
        size = smaller_px * width // smaller, smaller_px * height // smaller
        if self.reduced_from is None or isinstance(self.image, LevelsInParts):
            return self.image.resize(size, Image.Resampling.BILINEAR)
        eighths = next(
            count for count in range(1, 9) if self.image.size == _reduced(width, height, count)
        )
        box = 0, 0, width * eighths / 8, height * eighths / 8
        return self.image.resize(size, Image.Resampling.BILINEAR, box=box)


def _reduced(width: int, height: int, eighths: int) -> tuple[int, int]:
    """Return the size of a JPEG that is decoded at some eighths of its size."""
    return -(-width * eighths // 8), -(-height * eighths // 8)


def check_shape(width: int, height: int) -> None:
    """Refuse an image that is too large, too small or too narrow.

    Raises:
        Rejected: `too-large` or `shape`.
    """
    smaller, larger = sorted((width, height))
    if width * height > MAX_PIXELS:
        raise Rejected("too-large", f"{width} x {height} pixels; expected at most {MAX_PIXELS}")
    if smaller < MIN_EDGE_PX or larger > _MAX_ASPECT_RATIO * smaller:
        raise Rejected(
            "shape",
            f"{width} x {height} pixels; expected edges of at least {MIN_EDGE_PX} and an "
            f"aspect of at most {_MAX_ASPECT_RATIO} : 1",
        )


def rescale_to_8_bit(pixels: Num[np.ndarray, "h w"], *, inverted: bool = False) -> LevelsInParts:
    """Scale an image with the darkest pixel at 0 and the brightest at 255.

    Args:
        pixels: integers or floating-point numbers.
        inverted: True to swap dark and bright.

    Raises:
        Rejected: `not-readable` or `constant`.
    """
    low, factor = _scale(pixels, inverted=inverted)

    def part(rows: slice) -> Float[np.ndarray, "row w"]:
        levels = pixels[rows].astype(np.float32)
        if inverted:
            np.negative(levels, out=levels)
        levels -= low
        levels *= factor
        return levels

    return LevelsInParts((pixels.shape[1], pixels.shape[0]), part)


def rescale_levels_to_8_bit(
    bits: UInt[np.ndarray, "h w"], grays: Num[np.ndarray, " level"]
) -> LevelsInParts:
    """Scale an image as `rescale_to_8_bit` does, given the grey level of each stored value.

    Args:
        bits: stored values, as places in `grays`.
        grays: grey level of each value. A value that does not occur has the level of one that does.

    Raises:
        Rejected: `not-readable` or `constant`.
    """
    low, factor = _scale(grays, inverted=False)
    table = (grays.astype(np.float32) - low) * factor
    return LevelsInParts(
        (bits.shape[1], bits.shape[0]), lambda rows: table.take(bits[rows], mode="clip")
    )


def _scale(pixels: Num[np.ndarray, "..."], *, inverted: bool) -> tuple[np.float32, np.float32]:
    """Return the darkest level, in single precision, and the factor that takes the range to 255.

    Raises:
        Rejected: `not-readable` or `constant`.
    """
    with np.errstate(over="ignore"):  # a number beyond single precision is refused below
        low, high = np.float32(pixels.min()), np.float32(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # the least of numbers with a NaN is NaN
        raise Rejected("not-readable", "some pixels are not numbers")
    if low == high:
        raise Rejected("constant", "every pixel has the same grey level")
    if inverted:
        low, high = -high, -low
    return low, np.float32(255) / (high - low)
