"""Hold a decoded image; check its shape and scale its grey levels."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from clinical_symile.modalities.base import Rejected

# Pixels of one image. A detector has about 20 million; more than this takes over 1 GB to scale.
MAX_PIXELS = 40_000_000
MIN_EDGE_PX = 32
_MAX_ASPECT_RATIO = 4


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        image: image of mode L or, with more than 8 bits, of mode F from 0 to 255.
        view: the view that the file states, in capitals; empty if none.
    """

    image: Image.Image
    view: str = ""


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


def rescale_to_8_bit(pixels: np.ndarray) -> Image.Image:
    """Scale an image to mode F with the darkest pixel at 0 and the brightest at 255.

    Raises:
        Rejected: `not-readable` or `constant`.
    """
    pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise Rejected("not-readable", "some pixels are not numbers")
    low, high = pixels.min(), pixels.max()
    if low == high:
        raise Rejected("constant", "every pixel has the same grey level")
    return Image.fromarray((pixels - low) * (np.float32(255) / (high - low)))
