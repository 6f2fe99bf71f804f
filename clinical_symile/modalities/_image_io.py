"""Open X-rays from JPEG, PNG, TIFF or DICOM as one grey image, and read a DICOM's view."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clinical_symile.modalities.base import Note, Rejected, decoder_verdict, is_dicom, is_file_error

_MAX_PIXELS = 100_000_000  # pixels of one image; a detector has about 20 million
_MAX_FILE_BYTES = 500_000_000
MIN_EDGE_PX = 32
_MAX_ASPECT_RATIO = 4
_COLOUR_THRESHOLD = (
    8  # mean difference of red, green and blue, of 255, from which a picture is not grey
)

_RADIOGRAPH_MODALITIES = (
    "CR",
    "DX",
    "RG",
    "RF",
    "OT",
    "SC",
    "",
)  # DICOM modalities that may be an X-ray
_CHEST_WORDS = (
    "CHEST",
    "THORAX",
    "TORAX",
    "LUNG",
)  # one of these is in BodyPartExamined, where it is filled
# SNOMED codes of views, for files without ViewPosition.
_VIEW_CODES = {"R-10206": "AP", "399348003": "AP", "R-10214": "PA", "272479007": "PA"} | {
    code: "LATERAL" for code in ("R-10232", "R-10236", "399198007", "399173006", "R-102CD")
}


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        image: image of mode L or, with more than 8 bits, of mode F from 0 to 255.
        view: the view that the file states, in capitals; empty if none.
    """

    image: Image.Image
    view: str = ""


def open_image(file: Path, note: Note) -> DecodedImage:
    """Open an image.

    Args:
        file: DICOM, with or without a preamble, or any format that Pillow reads.
        note: called with `coloured`, `window-ignored` or `view-unknown`.

    Raises:
        Rejected: `not-readable`, `decoder-missing`, `truncated`, `too-large`, `shape`, `frames`,
            `not-chest` or `constant`.
    """
    if file.stat().st_size > _MAX_FILE_BYTES:
        raise Rejected("too-large", f"expected a file of at most {_MAX_FILE_BYTES} bytes")
    if is_dicom(file):
        return _open_dicom(file, note, force=False)
    try:
        return DecodedImage(_open_image(file, note))
    except UnidentifiedImageError:
        return _open_dicom(file, note, force=True)  # some archives leave the preamble out


def _open_image(file: Path, note: Note) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow only warns between its limit and twice that; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                check_shape(*opened.size)
                if getattr(opened, "n_frames", 1) != 1:
                    raise Rejected("frames", "several pictures in one file; expected one")
                image = ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError:
        raise Rejected("too-large", f"expected at most {_MAX_PIXELS} pixels") from None
    except (Rejected, UnidentifiedImageError):
        raise
    except Exception as error:  # whatever a broken file makes Pillow and its decoders raise
        if is_file_error(error):
            raise
        if "truncated" in str(error).lower():
            raise Rejected("truncated", f"Pillow: {type(error).__name__}") from None
        raise decoder_verdict("Pillow", error) from None
    if image.mode == "F" or image.mode.startswith("I"):
        return rescale_to_8_bit(np.asarray(image))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode not in ("1", "L"):
        colour = np.asarray(image.convert("RGB").resize((64, 64)), dtype=np.int16)
        if np.ptp(colour, axis=2).mean() > _COLOUR_THRESHOLD:
            note("coloured")
    return image.convert("L")


def _open_dicom(file: Path, note: Note, *, force: bool) -> DecodedImage:
    import pydicom  # here: it takes a while, and a cohort of JPEGs does not need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values in tags that are not read here
            dataset = pydicom.dcmread(file, force=force)
            if force and not ("SOPClassUID" in dataset and "PixelData" in dataset):
                raise Rejected("not-readable", "neither an image that Pillow knows nor a DICOM")
            _check_dicom(dataset)
            pixels = _dicom_pixels(dataset, note)
    except Rejected:
        raise
    except Exception as error:  # whatever a broken DICOM makes pydicom and its decoders raise
        if is_file_error(error):
            raise
        raise decoder_verdict("pydicom", error) from None
    view = _dicom_view(dataset)
    if not view:
        note("view-unknown")
    return DecodedImage(rescale_to_8_bit(pixels), view)


def _check_dicom(dataset: Any) -> None:
    """Refuse a DICOM whose header shows that it is not one readable chest X-ray."""
    modality = str(dataset.get("Modality") or "").upper()
    if modality not in _RADIOGRAPH_MODALITIES:
        raise Rejected("not-chest", f"modality {modality}; expected an X-ray (CR, DX)")
    if "LOCALIZER" in [str(word).upper() for word in dataset.get("ImageType") or ()]:
        raise Rejected("not-chest", "a localiser")
    part = str(dataset.get("BodyPartExamined") or "").upper()
    if part and not any(word in part for word in _CHEST_WORDS):
        raise Rejected("not-chest", f"body part {part[:16]}; expected the chest")
    if "PixelData" not in dataset:
        raise Rejected("not-readable", "the DICOM holds no pixels")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise Rejected("frames", "the DICOM holds several frames; expected one")
    check_shape(dataset.Columns, dataset.Rows)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
    _check_decoder(dataset.file_meta.TransferSyntaxUID)


def _guessed_syntax(dataset: Any) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check_decoder(transfer_syntax: Any) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    if not transfer_syntax.is_encapsulated:
        return
    try:
        available = get_decoder(transfer_syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise Rejected(
            "decoder-missing",
            f"no decoder of {transfer_syntax.name}; convert the files, or install what pydicom "
            "names for it",
        )


def _dicom_pixels(dataset: Any, note: Note) -> np.ndarray:
    """Return pixels as they are displayed, air dark: rescaled and windowed as the file states."""
    from pydicom.pixels.processing import apply_color_lut, apply_rescale
    from pydicom.pixels.utils import pixel_array

    photometric = dataset.PhotometricInterpretation
    raw = pixel_array(dataset)
    if photometric == "PALETTE COLOR":
        raw = apply_color_lut(raw, dataset)
    if raw.ndim == 3:
        note("coloured")
        return raw.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    padding = _padding(raw, dataset)
    pixels = _windowed(apply_rescale(raw, dataset), dataset, note).astype(np.float32)
    if photometric == "MONOCHROME1":
        pixels = -pixels
    if padding.any() and not padding.all():
        pixels[padding] = pixels[~padding].min()
    return pixels


def _padding(raw: np.ndarray, dataset: Any) -> np.ndarray:
    """Return True for pixels that the file declares as padding."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(raw.shape, dtype=bool)
    last = dataset.get("PixelPaddingRangeLimit", first)
    return (raw >= min(first, last)) & (raw <= max(first, last))


def _windowed(pixels: np.ndarray, dataset: Any, note: Note) -> np.ndarray:
    from pydicom.pixels.processing import apply_voi_lut

    try:
        windowed = apply_voi_lut(pixels, dataset)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        note("window-ignored")  # a width of zero, a table without entries
        return pixels
    if windowed.min() == windowed.max() and pixels.min() != pixels.max():
        note("window-ignored")  # one that leaves nothing to see
        return pixels
    return windowed


def _dicom_view(dataset: Any) -> str:
    view = str(dataset.get("ViewPosition") or "").strip().upper()
    codes = dataset.get("ViewCodeSequence")
    if not view and codes:
        view = _VIEW_CODES.get(str(codes[0].get("CodeValue", "")), "")
        view = view or str(codes[0].get("CodeMeaning") or "").strip().upper()
    return view


def check_shape(width: int, height: int) -> None:
    """Refuse an image that is too large, too small or too narrow.

    Raises:
        Rejected: `too-large` or `shape`.
    """
    smaller, larger = sorted((width, height))
    if width * height > _MAX_PIXELS:
        raise Rejected("too-large", f"{width} x {height} pixels; expected at most {_MAX_PIXELS}")
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
