"""Read chest X-rays from JPEG, PNG, TIFF or DICOM as one grey image of fixed size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from clinical_symile.modalities._decoded_image import MIN_EDGE_PX, DecodedImage
from clinical_symile.modalities._grayscale import highest_level, no_statistics, scale_gray_levels
from clinical_symile.modalities._image_io import open_image
from clinical_symile.modalities.base import (
    Note,
    Rejected,
    file_columns,
    file_exists,
    ignore_note,
    is_empty,
    recorded_file,
)

_FRONTAL_VIEWS = ("AP", "PA")
_LEAST_SCALE = 2  # times the stored edge, of a JPEG that is decoded fast


class Cxr:
    """Adapter of chest X-rays: the smaller edge is scaled to `size_px`, then cropped to a square.

    It stores grey levels, air dark and bone bright. Colour becomes grey by luma; transparency is
    put on black. An image of more than 8 bits, and every DICOM, is scaled from its darkest to its
    brightest pixel. This comes after the rescaling, look-up tables and window of the file.
    MONOCHROME1 is inverted.

    Args:
        folder: folder of the cohort; not read.
        path: file pattern under the source folder, with columns in braces.
        size_px: edge of the stored square.
        views: accepted views; others are refused, if the DICOM or the row states the view.
        view: column of the sample's row with the view; if it is empty or not given, only a DICOM
            states the view.
        fast_decode: True to decode a JPEG at the fewest eighths of its size that leave twice
            `size_px`. This takes a half to three quarters of the time and changes grey levels,
            mostly by less than one of 256. The store's manifest says so.
    """

    display_name = "chest X-ray"
    description = "Reads chest X-rays from DICOM, JPEG or PNG files; crops them to a square."

    dtype = "uint8"
    unit = "grey level"
    encoder = "small_cnn"
    axes = ("channel", "row", "column")
    unrecorded = 0  # black, as outside of the collimated field

    fit = staticmethod(no_statistics)
    transform = staticmethod(scale_gray_levels)
    divisor = staticmethod(highest_level)
    noise_scale = staticmethod(highest_level)

    def __init__(
        self,
        folder: Path,
        *,
        path: str,
        size_px: int = 320,
        views: Sequence[str] = _FRONTAL_VIEWS,
        view: str = "",
        fast_decode: bool = False,
    ):
        if not isinstance(size_px, int) or size_px < MIN_EDGE_PX:
            raise ValueError(f"size_px is {size_px!r}; expected {MIN_EDGE_PX} or more")
        if isinstance(views, str) or not views:
            raise ValueError(f'views is {views!r}; expected a list such as ["AP", "PA"]')
        if not isinstance(fast_decode, bool):
            raise ValueError(f"fast_decode is {fast_decode!r}; expected true or false")
        self.path = path
        self.size_px = size_px
        self.fast_decode = fast_decode
        self.decoding = {"fast_decode": True} if fast_decode else {}
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
        """Read the sample's X-ray.

        Notes: `coloured`, `inverted`, `window-ignored`, `view-unknown`, `body-part-unknown`,
        `zero-run`.

        Raises:
            Rejected: `file-missing`, `not-readable`, `decoder-missing`, `truncated`, `damaged`,
                `too-large`, `shape` (too small or too narrow to show a chest), `frames`, `view`,
                `not-chest` or `constant`.
        """
        file = recorded_file(self.path, row, root)
        if file is None:
            return None
        self.check_row(row)
        if not file_exists(file):
            raise Rejected("file-missing", "no such file")
        decoded = open_image(file, note, least_px=_LEAST_SCALE * self.size_px * self.fast_decode)
        if decoded.view:
            self._check_view(decoded.view)
        pixels = _centre_square(decoded, self.size_px)
        if pixels.min() == pixels.max():
            raise Rejected("constant", "every pixel has the same grey level")
        if _looks_inverted(pixels):
            note("inverted")
        return pixels[None]

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Refuse a view that the row states and that is not accepted.

        Raises:
            Rejected: `view`.
        """
        view = row[self.view] if self.view else None
        if not is_empty(view):
            self._check_view(str(view))

    def _check_view(self, view: str) -> None:
        """Refuse other views than the accepted ones; AP AXIAL counts as AP."""
        word = view.strip().upper()
        if not any(word == name or word.startswith(f"{name} ") for name in self.views):
            raise Rejected("view", f"{word[:20]}; expected {' or '.join(self.views)}")


def _looks_inverted(pixels: UInt8[np.ndarray, "h w"]) -> bool:
    """Return True if the spine of a frontal chest is darker than both lungs."""
    size = len(pixels)
    part = size // 16
    spine = pixels[4 * part : 12 * part, 7 * part : 9 * part].mean()
    lungs = [pixels[4 * part : 8 * part, at * part : (at + 3) * part].mean() for at in (3, 10)]
    return bool(spine < min(lungs))


def _centre_square(decoded: DecodedImage, size_px: int) -> UInt8[np.ndarray, "h w"]:
    """Scale and crop with the rounding of torchvision's Resize and CenterCrop."""
    image = decoded.resize(size_px)
    width, height = image.size
    left, top = round((width - size_px) / 2), round((height - size_px) / 2)
    image = image.crop((left, top, left + size_px, top + size_px))
    pixels = np.array(image)
    if pixels.dtype == np.uint8:
        return pixels
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
