"""Chest X-ray: JPEG, PNG or DICOM to one grey image of fixed size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from clinical_symile.modalities._grayscale import highest_level, no_statistics, scale_gray_levels
from clinical_symile.modalities._image_io import SMALLEST_EDGE_PX, open_image
from clinical_symile.modalities.base import (
    Note,
    Rejected,
    file_columns,
    file_exists,
    ignore_note,
    is_empty,
    recorded_file,
)

FRONTAL = ("AP", "PA")


class Cxr:
    """A chest X-ray: the smaller edge scaled to `size_px`, then the centre square of it.

    Stored are grey levels, air dark and bone bright. Colour is turned to grey by luma; transparency
    lies on black. An image of more than 8 bits, and every DICOM, is stretched from its darkest to
    its brightest pixel, after rescaling, look-up tables and window where the file has them;
    MONOCHROME1 is inverted.

    Args:
        folder: of the cohort; not read.
        path: file pattern under the source folder, with columns in braces.
        size_px: edge of the stored square.
        views: which are taken; others are refused, where the DICOM or the row says the view.
        view: column of the sample's row that says the view; without it, and where it is empty, only
            DICOM is asked.
    """

    dtype = "uint8"
    unit = "grey level"
    encoder = "small_cnn"

    fit = staticmethod(no_statistics)
    transform = staticmethod(scale_gray_levels)
    divisor = staticmethod(highest_level)

    def __init__(
        self,
        folder: Path,
        *,
        path: str,
        size_px: int = 320,
        views: Sequence[str] = FRONTAL,
        view: str = "",
    ):
        if not isinstance(size_px, int) or size_px < SMALLEST_EDGE_PX:
            raise ValueError(f"size_px is {size_px!r}; expected {SMALLEST_EDGE_PX} or more")
        if isinstance(views, str) or not views:
            raise ValueError(f'views is {views!r}; expected a list such as ["AP", "PA"]')
        self.path = path
        self.size_px = size_px
        self.views = tuple(str(name).upper() for name in views)
        self.view = view
        self.shape = (1, size_px, size_px)
        self.parts = ("grey",)
        self.named_by = file_columns(path)
        self.columns = (*self.named_by, *([view] if view else []))
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> UInt8[np.ndarray, "1 h w"] | None:
        """The sample's X-ray.

        Notes: `coloured`, `inverted`, `window-ignored`, `view-unknown`.

        Raises:
            Rejected: `file-missing`, `not-readable`, `decoder-missing`, `truncated`, `too-large`,
                `shape` (too small or too narrow to show a chest), `frames`, `view`, `not-chest` or
                `constant`.
        """
        file = recorded_file(self.path, row, root)
        if file is None:
            return None
        said = row[self.view] if self.view else None
        if not is_empty(said):
            self._check_view(str(said))
        if not file_exists(file):
            raise Rejected("file-missing", "no such file")
        picture = open_image(file, note)
        if picture.view:
            self._check_view(picture.view)
        pixels = _centre_square(picture.image, self.size_px)
        if pixels.min() == pixels.max():
            raise Rejected("constant", "every pixel has the same grey level")
        if _looks_inverted(pixels):
            note("inverted")
        return pixels[None]

    def _check_view(self, view: str) -> None:
        """Refuse what is not among the views: AP AXIAL is a kind of AP."""
        word = view.strip().upper()
        if not any(word == name or word.startswith(f"{name} ") for name in self.views):
            raise Rejected("view", f"{word[:20]}; expected {' or '.join(self.views)}")


def _looks_inverted(pixels: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether the spine of a frontal chest is darker than both lungs."""
    size = len(pixels)
    part = size // 16
    spine = pixels[4 * part : 12 * part, 7 * part : 9 * part].mean()
    lungs = [pixels[4 * part : 8 * part, at * part : (at + 3) * part].mean() for at in (3, 10)]
    return bool(spine < min(lungs))


def _centre_square(image: Image.Image, size_px: int) -> UInt8[np.ndarray, "h w"]:
    """Scale and crop with the rounding of torchvision's Resize and CenterCrop."""
    width, height = image.size
    smaller = min(width, height)
    width, height = size_px * width // smaller, size_px * height // smaller
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size_px) / 2), round((height - size_px) / 2)
    image = image.crop((left, top, left + size_px, top + size_px))
    return np.clip(np.rint(np.asarray(image)), 0, 255).astype(np.uint8)
