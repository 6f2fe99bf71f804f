"""Chest X-ray: JPEG, PNG or DICOM to one grey image of fixed size."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from clinical_symile.modalities.modality import (
    Rejected,
    file_columns,
    is_fault,
    is_there,
    recorded_file,
)

LARGEST_PX = 100_000_000  # pixels of one image; a detector has about 20 million
SMALLEST_EDGE_PX = 32
LARGEST_ASPECT = 4


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
    """

    dtype = "uint8"
    unit = "grey level"
    encoder = "small_cnn"

    def __init__(self, folder: Path, *, path: str, size_px: int = 320):
        if not isinstance(size_px, int) or size_px < SMALLEST_EDGE_PX:
            raise ValueError(f"size_px is {size_px!r}; expected {SMALLEST_EDGE_PX} or more")
        self.path = path
        self.size_px = size_px
        self.shape = (1, size_px, size_px)
        self.parts = ("grey",)
        self.columns = file_columns(path)
        self.numbers = ()

    def read(self, row: Mapping[str, Any], root: Path) -> UInt8[np.ndarray, "1 h w"] | None:
        """The sample's X-ray.

        Raises:
            Rejected: `file-missing`, `not-readable`, `decoder-missing`, `truncated`, `too-large`,
                `shape` (too small or too narrow to show a chest) or `constant`.
        """
        file = recorded_file(self.path, row, root)
        if file is None:
            return None
        if not is_there(file):
            raise Rejected("file-missing", "no such file")
        image = _open_dicom(file) if _is_dicom(file) else _open_image(file)
        pixels = _centre_square(image, self.size_px)
        if pixels.min() == pixels.max():
            raise Rejected("constant", "every pixel has the same grey level")
        return pixels[None]

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Nothing: grey levels are scaled by their range."""
        return {}

    @staticmethod
    def transform(
        measurements: UInt8[np.ndarray, "sample 1 h w"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample 1 h w"]:
        """Grey levels from 0 to 1."""
        return measurements.astype(np.float32) / np.float32(255)


def _is_dicom(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _open_image(file: Path) -> Image.Image:
    """A grey image, of mode L or, with more than 8 bits, F from 0 to 255."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns between its limit and twice that; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                _check_shape(*opened.size)
                image = ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError:
        raise Rejected("too-large", f"expected at most {LARGEST_PX} pixels") from None
    except UnidentifiedImageError:
        raise Rejected("not-readable", "neither an image that Pillow knows nor a DICOM") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if is_fault(error):
            raise
        reason = "truncated" if "truncated" in str(error).lower() else "not-readable"
        raise Rejected(reason, f"Pillow: {type(error).__name__}") from None
    if image.mode == "F" or image.mode.startswith("I"):
        return _stretched(np.asarray(image))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("L")


def _open_dicom(file: Path) -> Image.Image:
    import pydicom  # here: it takes a while, and a cohort of JPEGs does not need it
    from pydicom.pixels.processing import apply_rescale, apply_voi_lut

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values in tags that are not read here
            dataset = pydicom.dcmread(file)
            if "PixelData" not in dataset:
                raise Rejected("not-readable", "the DICOM holds no pixels")
            if int(dataset.get("NumberOfFrames") or 1) != 1:
                raise Rejected("not-readable", "the DICOM holds several frames; expected one")
            _check_shape(dataset.Columns, dataset.Rows)
            _check_decoder(dataset.file_meta.TransferSyntaxUID)
            pixels = dataset.pixel_array
            if pixels.ndim == 3:
                return Image.fromarray(pixels.astype(np.uint8)).convert("L")
            pixels = apply_voi_lut(apply_rescale(pixels, dataset), dataset)
    except Rejected:
        raise
    except Exception as error:  # whatever a broken DICOM makes pydicom and its decoders raise
        if is_fault(error):
            raise
        raise Rejected("not-readable", f"pydicom: {type(error).__name__}") from None
    pixels = pixels.astype(np.float32)
    return _stretched(-pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels)


def _check_decoder(transfer_syntax: Any) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    if not get_decoder(transfer_syntax).is_available:
        raise Rejected(
            "decoder-missing", f"pydicom has no decoder of {transfer_syntax.name}: add pylibjpeg"
        )


def _check_shape(width: int, height: int) -> None:
    smaller, larger = sorted((width, height))
    if width * height > LARGEST_PX:
        raise Rejected("too-large", f"{width} x {height} pixels; expected at most {LARGEST_PX}")
    if smaller < SMALLEST_EDGE_PX or larger > LARGEST_ASPECT * smaller:
        raise Rejected(
            "shape",
            f"{width} x {height} pixels; expected edges of at least {SMALLEST_EDGE_PX} and an "
            f"aspect of at most {LARGEST_ASPECT} : 1",
        )


def _stretched(pixels: np.ndarray) -> Image.Image:
    """An image of mode F whose darkest pixel is 0 and whose brightest is 255."""
    pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise Rejected("not-readable", "some pixels are not numbers")
    low, high = pixels.min(), pixels.max()
    if low == high:
        raise Rejected("constant", "every pixel has the same grey level")
    return Image.fromarray((pixels - low) * (np.float32(255) / (high - low)))


def _centre_square(image: Image.Image, size_px: int) -> UInt8[np.ndarray, "h w"]:
    """Scale and crop with the rounding of torchvision's Resize and CenterCrop."""
    width, height = image.size
    smaller = min(width, height)
    width, height = size_px * width // smaller, size_px * height // smaller
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size_px) / 2), round((height - size_px) / 2)
    image = image.crop((left, top, left + size_px, top + size_px))
    return np.clip(np.rint(np.asarray(image)), 0, 255).astype(np.uint8)
