from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from clinical_symile.modalities import base
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr import Cxr
from tests.helpers.dicom_files import compress, write_dicom

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


def notes(file: Path) -> list[str]:
    heard: list[str] = []
    Cxr(file.parent, path="{file}", size_px=64).read({"file": file.name}, file.parent, heard.append)
    return heard


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


def test_a_dicom_that_needs_a_decoder_is_rejected_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress(tmp_path / "a.dcm", RAMP, JPEGLSLossless)
    monkeypatch.setattr(Decoder, "is_available", False)
    verdict = rejection(tmp_path / "a.dcm")
    assert verdict.reason == "decoder-missing"
    assert "JPEG-LS Lossless" in verdict.detail


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_lossless_transfer_syntax_reads_as_the_plain_file(
    tmp_path: Path, syntax: UID, dtype: type
) -> None:
    pixels = RAMP.astype(dtype) * (1 if dtype == np.uint8 else 16)
    write_dicom(tmp_path / "a.dcm", pixels)
    compress(tmp_path / "b.dcm", pixels, syntax)
    assert dcmread(tmp_path / "b.dcm").file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), read(tmp_path / "b.dcm"))


def test_a_compressed_file_that_was_cut_off_is_rejected(tmp_path: Path) -> None:
    compress(tmp_path / "a.dcm", RAMP, JPEGLSLossless)
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-60])
    assert rejection(tmp_path / "a.dcm").reason == "not-readable"


def test_a_dicom_without_preamble_is_read(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP)
    expected = read(tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(content[132:])
    np.testing.assert_array_equal(read(tmp_path / "b.dcm"), expected)


def test_padding_of_a_dicom_is_dark_and_does_not_stretch(tmp_path: Path) -> None:
    pixels = RAMP.astype(np.int16) + 1000
    pixels[:4] = -2000
    tags = {"PixelRepresentation": 1, "PixelPaddingValue": -2000}
    for photometric, expected in (
        ("MONOCHROME2", np.rint(RAMP * (255 / 252))),
        ("MONOCHROME1", np.rint((252 - RAMP) * (255 / 252))),
    ):
        write_dicom(tmp_path / "a.dcm", pixels, PhotometricInterpretation=photometric, **tags)
        image = read(tmp_path / "a.dcm")
        assert (image[:4] == 0).all()
        np.testing.assert_array_equal(image[4:], expected[4:])


def test_slope_and_intercept_come_before_the_window(tmp_path: Path) -> None:
    # 0 … 252 is rescaled to -100 … 404; the window holds 100 to 228 of that, 100 to 164 before
    write_dicom(
        tmp_path / "a.dcm",
        RAMP.astype(np.uint16),
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=164.5,
        WindowWidth=129,
    )
    image = read(tmp_path / "a.dcm")[0]
    assert (image[: 25 + 1] == 0).all()
    assert (image[41:] == 255).all()
    assert (np.diff(image[25:42].astype(int)) > 0).all()


@pytest.mark.parametrize("window", [(5000, 10), (100, 0)])
def test_a_window_that_leaves_nothing_to_see_is_ignored_and_noted(
    tmp_path: Path, window: tuple[int, int]
) -> None:
    write_dicom(
        tmp_path / "a.dcm", RAMP.astype(np.uint16), WindowCenter=window[0], WindowWidth=window[1]
    )
    assert "window-ignored" in notes(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), np.rint(RAMP * (255 / 252)))


def test_a_colour_dicom_becomes_grey(tmp_path: Path) -> None:
    colour = np.dstack([RAMP, RAMP, RAMP])
    write_dicom(
        tmp_path / "a.dcm",
        RAMP,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        PixelData=colour.tobytes(),
    )
    np.testing.assert_allclose(read(tmp_path / "a.dcm"), np.rint(RAMP * (255 / 252)), atol=1)


@pytest.mark.parametrize(
    ("tags", "reason", "detail"),
    [
        ({"ViewPosition": "LL"}, "view", "LL; expected AP or PA"),
        ({"ViewPosition": "LATERAL"}, "view", "LATERAL; expected"),
        ({"BodyPartExamined": "KNEE"}, "not-chest", "body part KNEE"),
        ({"Modality": "CT"}, "not-chest", "modality CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "not-chest", "a localiser"),
        ({"NumberOfFrames": 3}, "frames", "several frames"),
        ({"Rows": 20_000, "Columns": 20_000}, "too-large", "20000 x 20000 pixels"),
    ],
)
def test_a_dicom_that_says_it_is_no_frontal_chest_is_rejected(
    tmp_path: Path, tags: dict[str, object], reason: str, detail: str
) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP, **tags)
    verdict = rejection(tmp_path / "a.dcm")
    assert verdict.reason == reason
    assert detail in verdict.detail


@pytest.mark.parametrize("code", ["R-10236", "399348003"])
def test_the_view_may_be_told_by_a_code(tmp_path: Path, code: str) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SRT", "a view"
    write_dicom(tmp_path / "a.dcm", RAMP, ViewCodeSequence=[item])
    if code == "R-10236":
        assert rejection(tmp_path / "a.dcm").reason == "view"
    else:
        assert "view-unknown" not in notes(tmp_path / "a.dcm")


@pytest.mark.parametrize("view", ["AP", "PA", "AP AXIAL"])
def test_frontal_views_are_taken(tmp_path: Path, view: str) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP, ViewPosition=view, BodyPartExamined="PORT CHEST")
    assert "view-unknown" not in notes(tmp_path / "a.dcm")


def test_a_dicom_without_a_view_is_taken_and_noted(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP)
    assert notes(tmp_path / "a.dcm") == ["view-unknown"]


def test_the_view_may_stand_in_the_row(tmp_path: Path, write_image: Callable[..., None]) -> None:
    write_image(tmp_path / "a.png", RAMP)
    adapter = Cxr(tmp_path, path="{file}", size_px=64, view="view", views=["AP", "LATERAL"])
    assert set(adapter.columns) == {"file", "view"}
    for view in ("AP", "lateral", None, ""):
        assert adapter.read({"file": "a.png", "view": view}, tmp_path) is not None
    with pytest.raises(Rejected, match="view") as caught:
        adapter.read({"file": "a.png", "view": "PA"}, tmp_path)
    assert caught.value.detail == "PA; expected AP or LATERAL"


@pytest.mark.parametrize("views", ["AP", []])
def test_views_that_are_no_list_of_words_are_refused(tmp_path: Path, views: Any) -> None:
    with pytest.raises(ValueError, match="expected a list such as"):
        Cxr(tmp_path, path="{file}", views=views)


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(RAMP), Image.fromarray(RAMP.T.copy())]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert rejection(tmp_path / "a.tif").reason == "frames"


def test_a_picture_that_is_not_grey_is_noted(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    write_image(tmp_path / "a.png", np.dstack([RAMP, RAMP // 2, RAMP // 4]))
    write_image(tmp_path / "b.png", np.dstack([RAMP] * 3))
    assert notes(tmp_path / "a.png") == ["coloured"]
    assert notes(tmp_path / "b.png") == []


def test_a_chest_whose_spine_is_darker_than_its_lungs_is_noted(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    chest = np.full((64, 64), 120, dtype=np.uint8)
    chest[:, 28:36] = 200  # the spine
    chest[16:32, 12:24] = chest[16:32, 40:52] = 40  # two lungs
    write_image(tmp_path / "a.png", chest)
    write_image(tmp_path / "b.png", 255 - chest)
    assert notes(tmp_path / "a.png") == []
    assert notes(tmp_path / "b.png") == ["inverted"]


def test_a_truncated_dicom_is_rejected(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", RAMP)
    (tmp_path / "a.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:-1000])
    assert rejection(tmp_path / "a.dcm").reason == "not-readable"


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_that_is_no_image_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert rejection(tmp_path / "a.jpg").reason == "not-readable"


def test_what_is_told_of_a_broken_file_names_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(f"cannot seek in {tmp_path}")

    (tmp_path / "a").write_bytes(b"not a DICOM")
    monkeypatch.setattr("PIL.Image.open", fail)
    assert rejection(tmp_path / "a").detail == "Pillow: OSError"


@pytest.mark.parametrize("edge", [6_400, 10_500, 20_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, edge: int) -> None:
    header = f"P5 {edge} {edge} 255\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + b"\0" * 100)
    assert rejection(tmp_path / "a.pgm").reason == "too-large"


def test_a_deflated_dicom_that_unpacks_to_far_more_is_refused_and_a_whole_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48), dtype=np.uint8)
    write_dicom(tmp_path / "plain.dcm", pixels)
    dataset = dcmread(tmp_path / "plain.dcm")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm"), read(tmp_path / "plain.dcm"))
    monkeypatch.setattr(base, "MAX_FILE_BYTES", 1500)
    assert rejection(tmp_path / "a.dcm").reason == "too-large"


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_a_compressed_image_of_another_shape_than_its_dicom_is_refused(
    tmp_path: Path, syntax: UID
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48), dtype=np.uint8)
    compress(tmp_path / "a.dcm", pixels, syntax)
    assert read(tmp_path / "a.dcm").shape == (64, 64)
    dataset = dcmread(tmp_path / "a.dcm")
    dataset.Rows = 48
    dataset.save_as(tmp_path / "a.dcm")
    assert rejection(tmp_path / "a.dcm").reason == "damaged"


def test_inputs_run_from_zero_to_one() -> None:
    inputs = Cxr.transform(np.array([[[[0, 51, 255]]]], dtype=np.uint8), {})
    np.testing.assert_allclose(inputs.ravel(), [0, 0.2, 1])


def test_a_size_that_is_no_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size_px is 16; expected 32 or more"):
        Cxr(tmp_path, path="{file}", size_px=16)
