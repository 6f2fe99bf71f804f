"""Damage that decoders of images pass over is refused or noted."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clinical_symile.modalities import _image_damage as damage
from clinical_symile.modalities._image_io import open_image
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr import Cxr

RNG = np.random.default_rng(5)
ROW, COLUMN = np.indices((320, 320))
CHEST = 150 - 90 * np.exp(-(((COLUMN / 320 - 0.3) / 0.15) ** 2)) + 40 * (COLUMN > 150)
CHEST = np.clip(CHEST + RNG.normal(0, 6, CHEST.shape), 1, 255).astype(np.uint8)


def outcome(file: Path) -> set[str]:
    """The notes on an image that is read, or the reason of its rejection."""
    notes: list[str] = []
    try:
        Cxr(file.parent, path="{file}").read({"file": file.name}, file.parent, notes.append)
    except Rejected as verdict:
        return {verdict.reason}
    return set(notes)


def read(file: Path) -> np.ndarray:
    measured = Cxr(file.parent, path="{file}", size_px=320).read({"file": file.name}, file.parent)
    assert measured is not None
    return measured[0]


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("size", [512, 1024, 4096])
def test_a_jpeg_with_a_hole_is_refused_or_noted(
    tmp_path: Path, options: dict[str, bool], size: int
) -> None:
    pixels = CHEST.copy()
    pixels[:60] = 0  # a border that compresses to nearly nothing
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, **options)
    whole = buffer.getvalue()
    file = tmp_path / "a.jpg"
    file.write_bytes(whole)
    assert outcome(file) <= {"zero-run"}
    for first in RNG.integers(700, len(whole) - size - 2, 25):
        file.write_bytes(whole[:first] + bytes(size) + whole[first + size :])
        assert outcome(file) & {"damaged", "truncated", "zero-run", "not-readable"}


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_tail_of_zeros_is_refused(
    tmp_path: Path, write_image: Callable[..., None], name: str
) -> None:
    write_image(tmp_path / name, CHEST)
    whole = (tmp_path / name).read_bytes()
    for size in (16, 100, 5000):
        (tmp_path / name).write_bytes(whole[:-size] + bytes(size))
        assert outcome(tmp_path / name) & {"truncated", "damaged", "not-readable"}


def test_every_hole_and_every_lost_end_of_a_png_is_refused(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    write_image(tmp_path / "a.png", CHEST)
    whole = (tmp_path / "a.png").read_bytes()
    for first in RNG.integers(50, len(whole) - 600, 25):
        (tmp_path / "a.png").write_bytes(whole[:first] + bytes(512) + whole[first + 512 :])
        assert outcome(tmp_path / "a.png") & {"truncated", "damaged", "not-readable"}
    for lost in (1, 4, 8, 12, 13, 16, 20, 1000):
        (tmp_path / "a.png").write_bytes(whole[:-lost])
        assert outcome(tmp_path / "a.png") & {"truncated", "damaged"}


def test_pixels_of_a_jpeg_are_those_of_pillow(
    tmp_path: Path, write_image: Callable[..., None]
) -> None:
    for name, pixels in {"a": CHEST, "b": np.dstack([CHEST, CHEST // 2, CHEST])}.items():
        write_image(tmp_path / f"{name}.jpg", pixels)
        with Image.open(tmp_path / f"{name}.jpg") as opened:
            expected = np.asarray(opened.convert("L"))
        np.testing.assert_array_equal(read(tmp_path / f"{name}.jpg"), expected)


def test_the_orientation_of_a_jpeg_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(CHEST).save(tmp_path / "a.jpg", quality=100)
    Image.fromarray(CHEST).save(tmp_path / "b.jpg", quality=100, exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "b.jpg"), read(tmp_path / "a.jpg")[::-1, ::-1])


def test_a_jpeg_of_four_inks_is_read_and_its_holes_are_refused(tmp_path: Path) -> None:
    Image.fromarray(CHEST).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read(tmp_path / "a.jpg"), CHEST, atol=12)
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[:9000] + bytes(1024) + whole[10024:])
    assert outcome(tmp_path / "a.jpg") == {"damaged"}


def tiff(pixels: np.ndarray, photometric: int) -> bytes:
    """A TIFF of one uncompressed strip."""
    height, width = pixels.shape
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {
        **{256: width, 257: height, 258: pixels.dtype.itemsize * 8, 259: 1, 262: photometric},
        **{273: 8 + 2 + 10 * 12 + 4, 277: 1, 278: height, 279: pixels.nbytes, 339: kind},
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    return head + entries + struct.pack("<I", 0) + pixels.tobytes()


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<f4"])
def test_a_tiff_in_which_white_is_zero_is_inverted(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(CHEST.astype(dtype), 1))
    (tmp_path / "b.tif").write_bytes(tiff((255 - CHEST.astype(int)).astype(dtype), 0))
    np.testing.assert_allclose(read(tmp_path / "b.tif"), read(tmp_path / "a.tif"), atol=1)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<f4"])
def test_a_lost_block_of_an_uncompressed_tiff_is_noted(
    tmp_path: Path, dtype: str, photometric: int
) -> None:
    whole = tiff(CHEST.astype(dtype), photometric)
    (tmp_path / "a.tif").write_bytes(whole)
    assert "zero-run" not in outcome(tmp_path / "a.tif")
    first = 40_003 * np.dtype(dtype).itemsize
    (tmp_path / "a.tif").write_bytes(whole[:first] + bytes(2048) + whole[first + 2048 :])
    assert "zero-run" in outcome(tmp_path / "a.tif")


def test_a_lost_block_and_a_lost_end_of_a_bmp_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "a.bmp"
    Image.fromarray(CHEST).save(file)
    whole = file.read_bytes()
    assert "zero-run" not in outcome(file)
    for first, size in ((40_003, 2048), (len(whole) - 3001, 3001)):
        file.write_bytes(whole[:first] + bytes(size) + whole[first + size :])
        assert "zero-run" in outcome(file)


def test_zeros_before_the_first_scan_of_a_jpeg_do_not_count() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "\0" * 3000
    Image.fromarray(CHEST).save(buffer, "JPEG", exif=exif)
    assert bytes(256) in buffer.getvalue()
    assert not damage.has_zero_run(buffer.getvalue())


@given(seed=st.integers(0, 2**32 - 1))
def test_a_run_of_zeros_is_found_wherever_it_begins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.integers(1, 256, 3000).astype(np.uint8)
    length, first = int(rng.integers(200, 300)), int(rng.integers(0, 2600))
    data[first : first + length] = 0
    assert damage.has_zero_run(data.tobytes()) == (length >= 256)


@given(seed=st.integers(0, 2**32 - 1))
def test_a_hole_is_found_wherever_it_begins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.integers(1, 256, (40, 300)).astype(np.uint8)
    length, first = int(rng.integers(100, 160)), int(rng.integers(600, 10_000))
    raw.reshape(-1)[first : first + length] = 0
    assert damage.has_hole(raw) == (length >= 128)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_png_whose_chunks_are_sound_is_not_read_by_pillow_to_check_them(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Pillow read the chunks")

    Image.fromarray(CHEST).convert(mode).save(tmp_path / "a.png")
    monkeypatch.setattr(damage.Image, "open", refuse)
    damage.check_png(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(Rejected, match="AssertionError"):
        damage.check_png(tmp_path / "a.png")


@pytest.mark.parametrize("edge", [64, 65])
def test_a_gray_jpeg_of_three_channels_is_read_as_one(edge: int, tmp_path: Path) -> None:
    gray = Image.fromarray(CHEST[:edge, : edge + 9])
    gray.save(tmp_path / "one.jpg")
    gray.convert("RGB").save(tmp_path / "three.jpg", subsampling=0)
    with Image.open(tmp_path / "three.jpg") as opened:
        luma = np.asarray(opened.convert("L"))
    opened = open_image(tmp_path / "three.jpg", lambda word: pytest.fail(word))
    np.testing.assert_array_equal(np.asarray(opened.resize(edge)), luma)
    coloured = np.asarray(gray.convert("RGB")).copy()
    coloured[edge - 1, :, 2] ^= 128  # in the last row alone
    Image.fromarray(coloured).save(tmp_path / "coloured.jpg", quality=95)
    with Image.open(tmp_path / "coloured.jpg") as opened:
        luma = np.asarray(opened.convert("L"))
    opened = open_image(tmp_path / "coloured.jpg", lambda word: None)
    np.testing.assert_array_equal(np.asarray(opened.resize(edge)), luma)
