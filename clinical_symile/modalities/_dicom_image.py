"""Read an X-ray and its view from a DICOM image."""

import unicodedata
import warnings
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt

from clinical_symile.modalities._decoded_image import (
    DecodedImage,
    LevelsInParts,
    check_shape,
    rescale_levels_to_8_bit,
    rescale_to_8_bit,
)
from clinical_symile.modalities._image_damage import (
    check_code_stream,
    check_jpeg,
    check_stated_shape,
    has_hole,
    has_zero_run,
)
from clinical_symile.modalities.base import (
    Note,
    Rejected,
    check_inflated_size,
    decoder_verdict,
    is_file_error,
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
# Beginnings of words for chest or lung in BodyPartExamined, and codes of the chest, in capitals and
# without accents.
_CHEST_WORDS = (
    *("CHEST", "THORA", "TORA", "LUNG", "PULMO", "PULMA", "POUMON", "POITRIN", "PECHO", "PEITO"),
    *("PETTO", "BRUST", "BORST", "BRYST", "BROST", "HRUDN", "KLATKA PIERSIOWA", "GRUDN", "GOGUS"),
    *("T-D3000", "T-28000", "51185008", "39607008"),
)
# Words for other parts, of DICOM PS3.16 (Annex L) and as other languages write them.
_OTHER_PARTS = (
    *("ABDOM", "ANKLE", "ARM", "BREAST", "MAMMA", "CALCANEUS", "CALF", "CLAVIC", "COCCYX"),
    *("CSPINE", "TSPINE", "LSPINE", "SSPINE", "SPINE", "ELBOW", "EXTREMIT", "FEMUR", "FIBULA"),
    *("FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HEEL", "HIP", "HUMERUS", "JAW", "KNEE", "LEG"),
    *("MANDIB", "MAXILLA", "NECK", "NOSE", "ORBIT", "PATELLA", "PELVI", "RADIUS", "SACRUM"),
    *("SCAPULA", "SHOULDER", "SINUS", "SKULL", "THIGH", "THUMB", "TIBIA", "TOE", "TOOTH", "TEETH"),
    *("ULNA", "WRIST", "BECKEN", "BRUSTDRUSE", "ELLENBOGEN", "FUSS", "HALS", "HUFTE"),
    *("KNIE", "KOPF", "SCHADEL", "SCHULTER", "WIRBELSAULE", "BACIN", "BASSIN", "CABEZA", "CADERA"),
    *("COLUMNA", "COLUNA", "CRANEO", "CRANIO", "GENOU", "HOMBRO", "JOELHO", "MAIN", "MANO"),
    *("PIED", "PIEDE", "RODILLA", "GINOCCHIO", "BACINO", "SPALLA", "EPAULE", "HANCHE", "RACHIS"),
)
# SNOMED codes of views, for files without ViewPosition.
_VIEW_CODES = {"R-10206": "AP", "399348003": "AP", "R-10214": "PA", "272479007": "PA"} | {
    code: "LATERAL" for code in ("R-10232", "R-10236", "399198007", "399173006", "R-102CD")
}


# Tags that change what is displayed of a stored value.
_DISPLAY_TAGS = (
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "PixelPaddingValue"),
)
_TABLE_BYTES = 2  # bytes of stored values that are displayed by a table
_PART_PIXELS = 100_000  # pixels that are looked at at once


def open_dicom_image(file: Path, note: Note, *, force: bool) -> DecodedImage:
    """Open a DICOM image.

    Args:
        file: the file.
        note: called with `coloured`, `window-ignored`, `view-unknown`, `body-part-unknown` or
            `zero-run`.
        force: True for a file without a preamble.

    Raises:
        Rejected: `not-readable`, `decoder-missing`, `truncated`, `damaged`, `too-large`, `shape`,
            `frames`, `not-chest` or `constant`.
    """
    import pydicom  # here: it takes a while, and a cohort of JPEGs does not need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values in tags that are not read here
            check_inflated_size(file)
            dataset = pydicom.dcmread(file, force=force)
            if force and not ("SOPClassUID" in dataset and "PixelData" in dataset):
                raise Rejected("not-readable", "neither an image that Pillow knows nor a DICOM")
            _check_dicom(dataset, note)
            image = _dicom_image(dataset, note)
            view = _dicom_view(dataset)
    except Rejected:
        raise
    except Exception as error:  # whatever a broken DICOM makes pydicom and its decoders raise
        if is_file_error(error):
            raise
        raise decoder_verdict("pydicom", error) from None
    if not view:
        note("view-unknown")
    return DecodedImage(image, view)


def _check_dicom(dataset: Any, note: Note) -> None:
    """Refuse a DICOM whose header shows that it is not one readable chest X-ray."""
    modality = str(dataset.get("Modality") or "").upper()
    if modality not in _RADIOGRAPH_MODALITIES:
        raise Rejected("not-chest", f"modality {modality}; expected an X-ray (CR, DX)")
    if "LOCALIZER" in [str(word).upper() for word in dataset.get("ImageType") or ()]:
        raise Rejected("not-chest", "a localiser")
    _check_body_part(str(dataset.get("BodyPartExamined") or ""), note)
    if "PixelData" not in dataset:
        raise Rejected("not-readable", "the DICOM holds no pixels")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise Rejected("frames", "the DICOM holds several frames; expected one")
    check_shape(dataset.Columns, dataset.Rows)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
    _check_decoder(dataset.file_meta.TransferSyntaxUID)


def _check_body_part(part: str, note: Note) -> None:
    """Refuse a part that is not the chest; note a word that is unknown."""
    letters = unicodedata.normalize("NFKD", part.strip().upper())
    word = "".join(letter for letter in letters if not unicodedata.combining(letter))
    if not word or any(chest in word for chest in _CHEST_WORDS):
        return
    words = word.replace("_", " ").replace("-", " ").split()
    if any(one.startswith(other) for one in words for other in _OTHER_PARTS):
        raise Rejected("not-chest", f"body part {part[:16]}; expected the chest")
    note("body-part-unknown")


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


def _dicom_image(dataset: Any, note: Note) -> LevelsInParts:
    """Return the image as it is displayed, air dark: rescaled and windowed as the file states."""
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    _check_frame(dataset, note)
    raw = pixel_array(dataset)
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated and has_hole(
        raw if raw.ndim == 2 else raw[..., 0]
    ):
        note("zero-run")
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        raw = apply_color_lut(raw, dataset)
    if raw.ndim == 3:
        note("coloured")
        luma = np.array([0.299, 0.587, 0.114], dtype=np.float32)
        return rescale_to_8_bit(raw.astype(np.float32) @ luma)
    raw = _without_unused_bits(raw, dataset)
    if not any(tag in dataset for tag in _DISPLAY_TAGS):
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        return rescale_to_8_bit(raw, inverted=inverted)
    if np.issubdtype(raw.dtype, np.integer) and raw.dtype.itemsize <= _TABLE_BYTES:
        # Few values occur often: what is displayed is computed once for each.
        raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
        bits = raw.view(f"u{raw.dtype.itemsize}")
        return rescale_levels_to_8_bit(
            bits, _displayed(_stored_values(bits).view(raw.dtype), dataset, note)
        )
    return rescale_to_8_bit(_displayed(raw, dataset, note))


def _stored_values(bits: UInt[np.ndarray, "h w"]) -> UInt[np.ndarray, " value"]:
    """Return all values of as many bits, with one that occurs for each that does not."""
    occurs = np.zeros(256**bits.dtype.itemsize, dtype=np.int64)
    for rows in np.array_split(bits, max(1, bits.size // _PART_PIXELS)):
        occurs += np.bincount(rows.ravel(), minlength=len(occurs))
    values = np.arange(len(occurs)).astype(bits.dtype)
    values[occurs == 0] = bits.flat[0]
    return values


def _displayed(
    raw: Shaped[np.ndarray, "*pixel"], dataset: Any, note: Note
) -> Float[np.ndarray, "*pixel"]:
    """Return the grey levels of stored values: rescaled, windowed, air dark, padding darkest."""
    from pydicom.pixels.processing import apply_rescale

    padding = _padding(raw, dataset)
    pixels = _windowed(apply_rescale(raw, dataset), dataset, note).astype(np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = -pixels
    if padding.any() and not padding.all():
        pixels[padding] = pixels[~padding].min()
    return pixels


def _check_frame(dataset: Any, note: Note) -> None:
    """Refuse or note damage of a compressed frame that its decoder passes over."""
    from pydicom.encaps import get_frame
    from pydicom.uid import JPEGTransferSyntaxes, RLETransferSyntaxes

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if has_zero_run(frame):
        note("zero-run")
    channels = int(dataset.get("SamplesPerPixel") or 1)
    check_stated_shape(frame, (int(dataset.Columns), int(dataset.Rows), channels))
    if syntax in JPEGTransferSyntaxes:
        check_jpeg(frame)
    if syntax not in RLETransferSyntaxes:
        check_code_stream(frame)


def _without_unused_bits(raw: np.ndarray, dataset: Any) -> np.ndarray:
    """Return the bits that hold pixels; the others may hold overlays (PS3.5, section 8.1.1)."""
    stored, allocated = int(dataset.BitsStored), raw.dtype.itemsize * 8
    if not np.issubdtype(raw.dtype, np.integer) or not 0 < stored < allocated:
        return raw
    low, high = (
        (0, 2**stored - 1)
        if raw.dtype.kind == "u"
        else (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1)
    )
    if raw.min() >= low and raw.max() <= high:
        return raw
    return (raw << (allocated - stored)) >> (allocated - stored)


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
        windowed = apply_voi_lut(pixels, _window_tags(dataset))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        note("window-ignored")  # a width of zero, a table without entries
        return pixels
    if windowed.min() == windowed.max() and pixels.min() != pixels.max():
        note("window-ignored")  # one that leaves nothing to see
        return pixels
    return windowed


def _window_tags(dataset: Any) -> Any:
    """Return what a window needs, without a negative slope.

    A window rises over what the modality LUT puts out, whatever the sign of its slope (PS3.3,
    section C.11.2.1.2). pydicom lets it fall for a negative one. The range of its result does not
    matter here, since every DICOM is stretched.
    """
    if float(dataset.get("RescaleSlope") or 1) > 0:
        return dataset
    rising = copy(dataset)
    del rising.RescaleSlope
    return rising


def _dicom_view(dataset: Any) -> str:
    view = str(dataset.get("ViewPosition") or "").strip().upper()
    codes = dataset.get("ViewCodeSequence")
    if not view and codes:
        view = _VIEW_CODES.get(str(codes[0].get("CodeValue", "")), "")
        view = view or str(codes[0].get("CodeMeaning") or "").strip().upper()
    return view
