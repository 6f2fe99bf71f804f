"""Read chest X-rays from the rows of an array that was scaled for a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from clinical_symile.errors import DataError
from clinical_symile.modalities._array_io import RecordedArray
from clinical_symile.modalities._grayscale import (
    MAX_GRAY_LEVEL,
    highest_level,
    no_statistics,
    scale_gray_levels,
)
from clinical_symile.modalities.base import Note, Rejected, ignore_note

_ROUNDING_TOLERANCE = 0.01  # grey levels by which float32 may differ


class CxrArray:
    """Adapter of chest X-rays in an array of floating-point images, `[sample, channel, h, w]`.

    It stores grey levels, like an X-ray from a file: 255 · (value · sd + mean), rounded, which
    restores an 8-bit image without loss. All channels must hold the same grey.

    Args:
        folder: folder of the cohort; not read.
        path: file pattern of the array under the source folder, with columns in braces.
        ids: file pattern of the array of ids, one id per row.
        id: column of a sample's row with its id.
        size_px: edge of the images.
        mean: value that was subtracted from each channel, of grey levels from 0 to 1.
        sd: value by which each channel was then divided.
    """

    display_name = "chest X-ray"
    description = "Reads chest X-rays from one array of scaled images, `[sample, channel, h, w]`."

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
        ids: str,
        id: str,
        size_px: int = 320,
        mean: Sequence[float] = (0.0,),
        sd: Sequence[float] = (1.0,),
    ):
        if len(mean) != len(sd) or not len(mean):
            raise ValueError(f"{len(mean)} mean and {len(sd)} sd; expected both for each channel")
        self.array = RecordedArray(path=path, ids=ids, id=id)
        self.mean = np.asarray(mean, dtype=np.float64)[:, None, None]
        self.sd = np.asarray(sd, dtype=np.float64)[:, None, None]
        self.shape = (1, size_px, size_px)
        self.parts = ("grey",)
        self.columns = self.array.columns
        self.named_by = self.columns
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> UInt8[np.ndarray, "1 h w"] | None:
        """Read the sample's X-ray.

        Notes: `rounded`, if its grey levels were not whole numbers.

        Raises:
            Rejected: `nan`, `scale`, `colour` or `constant`; or as `RecordedArray.read`.
            DataError: the array's images have another shape; or as `RecordedArray.read`.
        """
        image = self.array.read(row, root)
        if image is None:
            return None
        expected = (len(self.mean), *self.shape[1:])
        if image.shape != expected:
            raise DataError(
                f"{self.array.path}: images of shape {list(image.shape)}; expected "
                f"{list(expected)}. Correct size_px, mean and sd.",
                code="CS-D026",
            )
        levels = MAX_GRAY_LEVEL * (image * self.sd + self.mean)
        if not np.isfinite(levels).all():
            raise Rejected("nan", "some pixels are not numbers")
        if levels.min() < -0.5 or levels.max() > MAX_GRAY_LEVEL + 0.5:
            raise Rejected(
                "scale", f"beyond 0 to {MAX_GRAY_LEVEL} grey levels; are mean and sd right?"
            )
        if np.ptp(levels, axis=0).max() > 1:
            raise Rejected(
                "colour", "the channels differ; expected one grey, are mean and sd right?"
            )
        pixels = np.rint(levels.mean(axis=0, keepdims=True)).astype(np.uint8)
        if pixels.min() == pixels.max():
            raise Rejected("constant", "every pixel has the same grey level")
        if np.abs(levels - pixels).max() > _ROUNDING_TOLERANCE:
            note("rounded")
        return pixels
