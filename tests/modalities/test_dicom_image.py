"""A DICOM image is displayed as its own statements say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.processing import apply_rescale, apply_voi_lut
from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from clinical_symile.modalities._decoded_image import LevelsInParts
from clinical_symile.modalities._dicom_image import open_dicom_image
from clinical_symile.modalities.base import Rejected, ignore_note
from clinical_symile.modalities.cxr import Cxr
from tests.helpers.dicom_files import compress, write_dicom

RAMP = np.tile(np.arange(64, dtype=np.uint16) * 4, (64, 1))  # dark left, bright right
NOISE = np.random.default_rng(4).integers(1, 4000, (300, 300)).astype(np.uint16)


def read(file: Path, size_px: int = 64) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
    adapter = Cxr(file.parent, path="{file}", size_px=size_px)
    measured = adapter.read({"file": file.name}, file.parent, notes.append)
    assert measured is not None
    return measured[0], notes


def rejection(file: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(file)
    return caught.value


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_a_window_rises_over_the_rescaled_values_whatever_the_sign_of_the_slope(
    tmp_path: Path, function: str, photometric: str
) -> None:
    window = {
        **{"WindowCenter": 126, "WindowWidth": 100, "VOILUTFunction": function},
        **{"PhotometricInterpretation": photometric, "BitsStored": 12, "HighBit": 11},
    }
    write_dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=1, RescaleIntercept=0, **window)
    negative = (252 - RAMP.astype(int)).astype(np.uint16)  # 252 - stored is the ramp again
    write_dicom(tmp_path / "b.dcm", negative, RescaleSlope=-1, RescaleIntercept=252, **window)
    expected, actual = read(tmp_path / "a.dcm")[0], read(tmp_path / "b.dcm")[0]
    np.testing.assert_allclose(actual, expected, atol=1)
    rises = expected[0, -1] > expected[0, 0]
    assert rises == (photometric == "MONOCHROME2")


@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_overlay_bits_above_the_stored_bits_are_no_part_of_the_image(
    tmp_path: Path, syntax: UID | None
) -> None:
    write_dicom(tmp_path / "plain.dcm", RAMP, BitsStored=12, HighBit=11)
    overlay = RAMP.copy()
    overlay[10:20, 10:50] |= 1 << 14
    if syntax is None:
        write_dicom(tmp_path / "a.dcm", overlay)
    else:
        compress(tmp_path / "a.dcm", overlay, syntax)
    dataset = dcmread(tmp_path / "a.dcm")
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm")[0], read(tmp_path / "plain.dcm")[0])


def test_the_sign_of_values_in_fewer_bits_than_allocated_is_kept(tmp_path: Path) -> None:
    signed = RAMP.astype(np.int16) - 126
    write_dicom(tmp_path / "a.dcm", signed, PixelRepresentation=1)
    unused = (signed.astype(np.uint16) & 0x0FFF) | 0x4000
    write_dicom(tmp_path / "b.dcm", unused, PixelRepresentation=1, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read(tmp_path / "a.dcm")[0], read(tmp_path / "b.dcm")[0])


def write_part(file: Path, part: str, *, encoding: str = "latin-1") -> None:
    """A DICOM with a body part as real files have it, although the standard allows no accents."""
    coded = part.encode(encoding)
    coded += b" " * (len(coded) % 2)
    placeholder = "Q" * len(coded)
    sets = {"latin-1": "ISO_IR 100", "utf-8": "ISO_IR 192"}
    write_dicom(file, RAMP, SpecificCharacterSet=sets[encoding], BodyPartExamined=placeholder[:16])
    assert len(coded) <= 16
    file.write_bytes(file.read_bytes().replace(placeholder.encode(), coded))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
@pytest.mark.parametrize(
    "part",
    [
        *("CHEST", "PORT CHEST", "TÓRAX", "tórax", "TORACE", "PECHO", "BRUST", "BRUSTKORB"),
        *("T-D3000", "THORAX PA", "POUMONS", "Poitrine", "51185008", "PULMÃO", "BRÖST"),
    ],
)
def test_a_chest_is_one_in_every_language(tmp_path: Path, part: str, encoding: str) -> None:
    write_part(tmp_path / "a.dcm", part, encoding=encoding)
    _, notes = read(tmp_path / "a.dcm")
    if encoding == "latin-1" or part.isascii():
        assert "body-part-unknown" not in notes


@pytest.mark.parametrize("part", ["UNKNOWN", "T?RAX", "X1", "OTHER", "ÿþ"])
def test_an_unknown_word_for_a_part_is_taken_and_noted(tmp_path: Path, part: str) -> None:
    write_part(tmp_path / "a.dcm", part)
    assert "body-part-unknown" in read(tmp_path / "a.dcm")[1]


@pytest.mark.parametrize("part", ["KNEE", "HAND", "ABDOMEN", "LSPINE", "PELVIS", "SKULL", "KNIE"])
def test_a_known_other_part_is_refused(tmp_path: Path, part: str) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP, BodyPartExamined=part)
    assert rejection(tmp_path / "a.dcm").reason == "not-chest"


@pytest.mark.parametrize("place", ["hole", "tail"])
def test_lost_blocks_of_plain_pixels_are_noted(tmp_path: Path, place: str) -> None:
    write_dicom(tmp_path / "a.dcm", NOISE)
    assert "zero-run" not in read(tmp_path / "a.dcm")[1]
    content = bytearray((tmp_path / "a.dcm").read_bytes())
    first, size = {"hole": (90_001, 4096), "tail": (len(content) - 30_123, 30_123)}[place]
    content[first : first + size] = bytes(size)
    (tmp_path / "a.dcm").write_bytes(content)
    assert "zero-run" in read(tmp_path / "a.dcm")[1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_black_borders_boxes_and_tilted_collimators_are_no_lost_blocks(
    tmp_path: Path, dtype: type
) -> None:
    pixels = NOISE // 16 + 1
    row, column = np.indices(pixels.shape)
    for black in (
        row < 40,
        row > 250,
        (column < 70) | (column > 200),
        (row > 100) & (row < 130) & (column > 60) & (column < 230),
        (column > 180) & (row > 200),
        row + 0.02 * column > 240,
        (row - 150) ** 2 + (column - 150) ** 2 > 120**2,
    ):
        write_dicom(tmp_path / "a.dcm", np.where(black, 0, pixels).astype(dtype))
        assert "zero-run" not in read(tmp_path / "a.dcm")[1]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("place", ["hole", "tail"])
def test_lost_blocks_of_a_compressed_dicom_are_refused_or_noted(
    tmp_path: Path, syntax: UID, place: str
) -> None:
    compress(tmp_path / "a.dcm", NOISE, syntax)
    _, notes = read(tmp_path / "a.dcm")
    assert "zero-run" not in notes
    content = bytearray((tmp_path / "a.dcm").read_bytes())
    first, size = {"hole": (40_001, 1024), "tail": (len(content) - 20_001, 20_001)}[place]
    content[first : first + size] = bytes(size)
    (tmp_path / "a.dcm").write_bytes(content)
    try:
        _, notes = read(tmp_path / "a.dcm")
    except Rejected as verdict:
        notes = [verdict.reason]
    assert {"zero-run", "truncated", "damaged", "not-readable"} & set(notes)


def test_a_hole_in_the_jpeg_of_a_dicom_is_refused(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    write_image(tmp_path / "a.jpg", (NOISE // 16).astype(np.uint8))
    frame = (tmp_path / "a.jpg").read_bytes()
    for name, data in {"whole": frame, "hole": frame[:9000] + bytes(1024) + frame[10024:]}.items():
        write_dicom(tmp_path / f"{name}.dcm", (NOISE // 16).astype(np.uint8))
        dataset = dcmread(tmp_path / f"{name}.dcm")
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.PixelData = encapsulate([data])
        dataset["PixelData"].VR = "OB"
        dataset.save_as(tmp_path / f"{name}.dcm")
    assert "zero-run" not in read(tmp_path / "whole.dcm")[1]
    assert rejection(tmp_path / "hole.dcm").reason == "damaged"


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"RescaleSlope": "0.37", "RescaleIntercept": "-1000.5"},
        {"WindowCenter": 900, "WindowWidth": 800},
        {"WindowCenter": 900, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"},
        {"RescaleSlope": 2, "RescaleIntercept": 7, "WindowCenter": 900, "WindowWidth": 800},
    ],
)
def test_an_image_has_the_bits_of_what_pydicom_displays_of_every_pixel(
    photometric: str, tags: dict[str, object], tmp_path: Path
) -> None:
    write_dicom(tmp_path / "a.dcm", NOISE, PhotometricInterpretation=photometric, **tags)
    dataset = dcmread(tmp_path / "a.dcm")
    shown = apply_voi_lut(apply_rescale(NOISE, dataset), dataset).astype(np.float32)
    shown = -shown if photometric == "MONOCHROME1" else shown
    shown = (shown - shown.min()) * (np.float32(255) / (shown.max() - shown.min()))
    opened = open_dicom_image(tmp_path / "a.dcm", ignore_note, force=False)
    assert isinstance(opened.image, LevelsInParts)
    np.testing.assert_array_equal(opened.image.part(slice(None)), shown)
