import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    generate_uid,
)

from clinical_symile.modalities.cxr import Cxr
from clinical_symile.modalities.modality import Rejected

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))  # dark left, bright right


def read(file: Path, *, size_px: int = 64) -> np.ndarray:
    measured = Cxr(file.parent, path="{file}", size_px=size_px).read(
        {"file": file.name}, file.parent
    )
    assert measured is not None
    return measured[0]


def rejection(file: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(file)
    return caught.value


def write_dicom(file: Path, pixels: np.ndarray, **tags: object) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(file, enforce_file_format=True)


def test_a_lossless_grey_image_of_the_right_size_is_stored_as_it_is(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    write_image(tmp_path / "a.png", RAMP)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), RAMP)


@pytest.mark.parametrize("name", ["grey.jpg", "colour.jpg", "colour.png", "deep.png", "clear.png"])
def test_every_form_of_the_same_image_reads_alike(
    tmp_path: Path, write_image: Callable[..., None], name: str
) -> None:
    forms = {
        "grey.jpg": RAMP,
        "colour.jpg": np.dstack([RAMP] * 3),
        "colour.png": np.dstack([RAMP] * 3),
        "deep.png": RAMP.astype(np.uint16) * 16,  # 12 of 16 bits: stretched to its own range
        "clear.png": np.dstack([RAMP] * 3 + [np.full_like(RAMP, 255)]),
    }
    write_image(tmp_path / name, forms[name], quality=100)
    scale = 255 / 252 if name == "deep.png" else 1
    np.testing.assert_allclose(read(tmp_path / name), np.rint(RAMP * scale), atol=2)


def test_a_transparent_pixel_is_black(tmp_path: Path, write_image: Callable[..., None]) -> None:
    pixels = np.dstack([np.full((64, 64), 200, dtype=np.uint8)] * 3 + [RAMP])
    write_image(tmp_path / "a.png", pixels)
    np.testing.assert_allclose(read(tmp_path / "a.png"), RAMP * (200 / 255.0), atol=1)


def test_the_smaller_edge_is_scaled_and_the_centre_kept(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    pixels = np.zeros((100, 300), dtype=np.uint8)  # the centre third of it is white
    pixels[:, 100:200] = 255
    pixels[:50, 100:200] = 254
    write_image(tmp_path / "a.png", pixels)
    assert read(tmp_path / "a.png", size_px=50)[:, 2:-2].min() >= 254


def test_a_dicom_is_stretched_to_the_full_range(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP.astype(np.uint16) * 10 + 300)
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), np.rint(RAMP * (255 / 252)))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), np.rint((252 - RAMP) * (255 / 252)))


def test_the_window_of_a_dicom_is_applied(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=63.5, WindowWidth=127)
    pixels = read(tmp_path / "a.dcm")
    assert (pixels[:, 33:] == 255).all()  # brighter than the window
    assert (np.diff(pixels[0, :31].astype(int)) > 0).all()


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((64, 64), 7, dtype=np.uint8), "constant"),
        (np.full((64, 64), 7, dtype=np.uint16), "constant"),
        (RAMP[:20, :20], "shape"),
        (np.tile(RAMP, (1, 5)), "shape"),
    ],
)
def test_an_image_that_shows_no_chest_is_rejected(
    tmp_path: Path, write_image: Callable[..., None], pixels: np.ndarray, reason: str
) -> None:
    write_image(tmp_path / "a.png", pixels)
    assert rejection(tmp_path / "a.png").reason == reason


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_truncated_file_is_rejected(
    tmp_path: Path, write_image: Callable[..., None], rng: np.random.Generator, name: str
) -> None:
    write_image(tmp_path / name, rng.integers(0, 256, (300, 300), dtype=np.uint8))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert rejection(tmp_path / name).reason == "truncated"


def test_a_dicom_that_needs_a_decoder_is_rejected_with_its_name(tmp_path: Path) -> None:
    if get_decoder(JPEGLSLossless).is_available:
        pytest.skip("this environment has a decoder of JPEG-LS")
    write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = dcmread(tmp_path / "a.dcm")
    dataset.PixelData = encapsulate([RAMP.tobytes()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    dataset.save_as(tmp_path / "a.dcm")
    verdict = rejection(tmp_path / "a.dcm")
    assert verdict.reason == "decoder-missing"
    assert "JPEG-LS Lossless" in verdict.detail


def test_a_truncated_dicom_is_rejected(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP)
    (tmp_path / "a.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:-1000])
    assert rejection(tmp_path / "a.dcm").reason == "not-readable"


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_that_is_no_image_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert rejection(tmp_path / "a.jpg").reason == "not-readable"


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.EIO, "input/output error"), PermissionError(errno.EACCES, "no"), MemoryError()],
)
@pytest.mark.parametrize("function", ["PIL.Image.open", "pydicom.dcmread"])
def test_a_fault_of_the_machine_is_no_verdict_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, function: str
) -> None:
    def fail(*_: object) -> None:
        raise fault

    write_dicom(tmp_path / "a", RAMP)
    if function == "PIL.Image.open":
        (tmp_path / "a").write_bytes(b"not a DICOM")
    monkeypatch.setattr(function, fail)
    with pytest.raises(type(fault)):
        read(tmp_path / "a")


def test_what_is_told_of_a_broken_file_names_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(f"cannot seek in {tmp_path}")

    (tmp_path / "a").write_bytes(b"not a DICOM")
    monkeypatch.setattr("PIL.Image.open", fail)
    assert rejection(tmp_path / "a").detail == "Pillow: OSError"


def test_a_name_that_no_file_can_have_is_a_missing_file(tmp_path: Path) -> None:
    assert rejection(tmp_path / ("a" * 300)).reason == "file-missing"


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    assert rejection(tmp_path / "a.jpg").reason == "file-missing"


@pytest.mark.parametrize("edge", [10_500, 20_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, edge: int) -> None:
    header = f"P5 {edge} {edge} 255\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + b"\0" * 100)
    assert rejection(tmp_path / "a.pgm").reason == "too-large"


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png"])
def test_a_name_that_leaves_the_source_folder_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected) as caught:
        Cxr(tmp_path, path="{file}").read({"file": name}, tmp_path)
    assert caught.value.reason == "outside-source"


def test_inputs_run_from_zero_to_one() -> None:
    inputs = Cxr.transform(np.array([[[[0, 51, 255]]]], dtype=np.uint8), {})
    np.testing.assert_allclose(inputs.ravel(), [0, 0.2, 1])


def test_a_size_that_is_no_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size_px is 16; expected 32 or more"):
        Cxr(tmp_path, path="{file}", size_px=16)
