"""Open X-rays from JPEG, PNG, TIFF or DICOM as one grey image."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from clinical_symile.modalities._decoded_image import (
    MAX_PIXELS,
    DecodedImage,
    check_shape,
    rescale_to_8_bit,
)
from clinical_symile.modalities._dicom_image import open_dicom_image
from clinical_symile.modalities._grayscale import MAX_GRAY_LEVEL
from clinical_symile.modalities._image_damage import (
    check_png,
    decode_jpeg,
    has_hole,
    has_zero_run,
)
from clinical_symile.modalities.base import (
    MAX_FILE_BYTES,
    Note,
    Rejected,
    decoder_verdict,
    is_dicom,
    is_file_error,
)

_JPEGS = ("JPEG", "MPO")
_BOTTOM_UP = ("BMP", "DIB")
_UNCOMPRESSED = (*_BOTTOM_UP, "PPM")
_ROWS = 32  # rows of an image that are compared at once
_ORIENTATION, _UPRIGHT = 0x0112, 1  # a tag of EXIF, and its value
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF, and its value
_COLOUR_THRESHOLD = (
    8  # mean difference of red, green and blue, of 255, from which a picture is not grey
)


def open_image(file: Path, note: Note, *, least_px: int = 0) -> DecodedImage:
    """Open an image.

    Args:
        file: DICOM, with or without a preamble, or any format that Pillow reads.
        least_px: a JPEG is decoded at the smallest size whose edges have as many pixels; 0 to
            decode it whole.
        note: called with `coloured`, `window-ignored`, `view-unknown`, `body-part-unknown` or
            `zero-run`.

    Raises:
        Rejected: `not-readable`, `decoder-missing`, `truncated`, `damaged`, `too-large`, `shape`,
            `frames`, `not-chest` or `constant`.
    """
    if file.stat().st_size > MAX_FILE_BYTES:
        raise Rejected("too-large", f"expected a file of at most {MAX_FILE_BYTES} bytes")
    if is_dicom(file):
        return open_dicom_image(file, note, force=False)
    try:
        return _open_image(file, note, least_px)
    except UnidentifiedImageError:
        return open_dicom_image(file, note, force=True)  # some archives leave the preamble out


def _open_image(file: Path, note: Note, least_px: int) -> DecodedImage:
    try:
        with warnings.catch_warnings():
            # Pillow only warns between its limit and twice that; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                check_shape(*opened.size)
                if getattr(opened, "n_frames", 1) != 1:
                    raise Rejected("frames", "several pictures in one file; expected one")
                white_is_zero = _is_white_is_zero(opened)
                plain = _is_uncompressed(opened)
                image, size = _decoded(opened, file, note, least_px), opened.size
                is_reduced = image.size != size
                if plain and _has_raw_hole(image, white_is_zero, opened.format or ""):
                    note("zero-run")
                ImageOps.exif_transpose(image, in_place=True)  # else it copies every image
    except Image.DecompressionBombError:
        raise Rejected("too-large", f"expected at most {MAX_PIXELS} pixels") from None
    except (Rejected, UnidentifiedImageError):
        raise
    except Exception as error:  # whatever a broken file makes Pillow and its decoders raise
        if is_file_error(error):
            raise
        if "truncated" in str(error).lower():
            raise Rejected("truncated", f"Pillow: {type(error).__name__}") from None
        raise decoder_verdict("Pillow", error) from None
    if image.mode == "F" or image.mode.startswith("I"):
        pixels = np.asarray(image)
        # Pillow inverts WhiteIsZero only up to 8 bits.
        pixels = -pixels.astype(np.float64) if white_is_zero else pixels
        return DecodedImage(rescale_to_8_bit(pixels))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode not in ("1", "L"):
        colour = np.asarray(image.convert("RGB").resize((64, 64)), dtype=np.int16)
        if np.ptp(colour, axis=2).mean() > _COLOUR_THRESHOLD:
            note("coloured")
    image = image if image.mode == "L" else image.convert("L")
    return DecodedImage(image, reduced_from=size if is_reduced else None)


def _decoded(opened: Image.Image, file: Path, note: Note, least_px: int) -> Image.Image:
    """Decode an opened image, and refuse damage that Pillow passes over."""
    if opened.format in _JPEGS:
        data = file.read_bytes()
        if least_px and opened.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT:
            least_px = 0  # what is rounded up would come to another side
        pixels = decode_jpeg(data, opened.mode, least_px=least_px)
        if has_zero_run(data):
            note("zero-run")
        if pixels is not None and opened.mode != "CMYK":  # Pillow knows inverted CMYK
            image = Image.fromarray(_without_equal_channels(pixels))
            image.info.update(opened.info)  # the orientation is in there
            return image
    if opened.format == "PNG":
        check_png(file)
    opened.load()
    return opened


def _without_equal_channels(pixels: UInt8[np.ndarray, "h w *channel"]) -> np.ndarray:
    """Return one channel if red, green and blue are equal, as in most X-rays that are stored so.

    The luma of three equal levels is that level.
    """
    if pixels.ndim == 2:
        return pixels
    gray = np.empty(pixels.shape[:2], dtype=np.uint8)
    for first in range(0, len(pixels), _ROWS):  # rows that fit into the processor's cache
        red, green, blue = np.moveaxis(pixels[first : first + _ROWS], 2, 0)
        if not (np.array_equal(red, green) and np.array_equal(red, blue)):
            return pixels
        gray[first : first + _ROWS] = red
    return gray


def _is_white_is_zero(opened: Image.Image) -> bool:
    tags = getattr(opened, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _is_uncompressed(opened: Image.Image) -> bool:
    if opened.format == "TIFF":
        return opened.info.get("compression") == "raw"
    return opened.format in _UNCOMPRESSED


def _has_raw_hole(image: Image.Image, white_is_zero: bool, form: str) -> bool:
    """Return True if zero bytes of an uncompressed file make a hole in its grey levels.

    Of several channels the first counts. Most BMP files begin with the lowest row.
    """
    pixels = np.asarray(image)
    level = MAX_GRAY_LEVEL if white_is_zero and pixels.dtype == np.uint8 else 0
    rows = pixels[..., 0] if pixels.ndim == 3 else pixels
    return has_hole(rows, level) or (form in _BOTTOM_UP and has_hole(rows[::-1], level))
