"""Grey levels are scaled as one formula says, in whatever way they are computed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clinical_symile.modalities import _decoded_image as decoded_image
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr import Cxr


def plain(pixels: np.ndarray) -> np.ndarray:
    """The formula, over the whole image and step by step in single precision."""
    pixels = pixels.astype(np.float32)
    return (pixels - pixels.min()) * (np.float32(255) / (pixels.max() - pixels.min()))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_an_image_scaled_in_parts_has_the_bits_of_one_scaled_whole(
    dtype: type, inverted: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded_image, "_PART_PIXELS", 700)
    pixels = (rng.normal(100, 30, (61, 43)) * (1.001 if dtype(0.5) else 1)).astype(dtype)
    scaled = decoded_image.rescale_to_8_bit(pixels, inverted=inverted)
    expected = plain(-pixels.astype(np.float32) if inverted else pixels)
    np.testing.assert_array_equal(scaled.part(slice(None)), expected)
    for size in ((17, 24), (43, 20), (50, 70)):
        whole = Image.fromarray(expected).resize(size, Image.Resampling.BILINEAR)
        in_parts = scaled.resize(size, Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(np.asarray(in_parts), np.asarray(whole))


@given(seed=st.integers(0, 2**32 - 1))
def test_levels_of_stored_values_give_the_bits_of_every_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown = rng.normal(0, 1e4, 256).astype(np.float32)
    bits = rng.integers(0, 256, (9, 11)).astype(np.uint8)
    bits[0, :2] = shown.argmin(), shown.argmax()
    scaled = decoded_image.rescale_levels_to_8_bit(bits, shown)
    np.testing.assert_array_equal(scaled.part(slice(None)), plain(shown[bits]))
    np.testing.assert_array_equal(scaled.part(slice(2, 5)), plain(shown[bits])[2:5])


@pytest.mark.parametrize(
    ("level", "reason"),
    [(np.nan, "not-readable"), (np.inf, "not-readable"), (1e300, "not-readable"), (5, "constant")],
)
def test_levels_that_are_no_numbers_or_all_alike_are_refused(level: float, reason: str) -> None:
    pixels = np.full((40, 40), 5.0)
    pixels[7, 3] = level
    with pytest.raises(Rejected) as caught:
        decoded_image.rescale_to_8_bit(pixels)
    assert caught.value.reason == reason


@pytest.mark.parametrize("size", [(700, 801), (333, 1201), (999, 643)])
def test_fast_decoding_keeps_the_place_and_nearly_the_level_of_every_pixel(
    size: tuple[int, int], tmp_path: Path, rng: np.random.Generator
) -> None:
    row, column = np.indices(size)
    chest = 120 + 60 * np.sin(row / 37) * np.cos(column / 23) + rng.normal(0, 3, size)
    Image.fromarray(np.clip(chest, 0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=90)
    exact, fast = (
        Cxr(tmp_path, path="{file}", size_px=64, fast_decode=fast).read({"file": "a.jpg"}, tmp_path)
        for fast in (False, True)
    )
    assert exact is not None
    assert fast is not None
    difference = np.abs(exact.astype(int) - fast)
    assert 0 < difference.max() <= 3  # it was decoded at another size; a shift of 1 pixel makes 20
    assert difference.mean() < 0.5


def test_what_sets_fast_decoding_apart_is_told_and_others_are_read_exactly(tmp_path: Path) -> None:
    exact = Cxr(tmp_path, path="{file}", size_px=64)
    fast = Cxr(tmp_path, path="{file}", size_px=64, fast_decode=True)
    assert (exact.decoding, fast.decoding) == ({}, {"fast_decode": True})
    pixels = np.random.default_rng(0).integers(0, 256, (700, 801)).astype(np.uint8)
    image, turned = Image.fromarray(pixels), Image.Exif()
    turned[0x0112] = 6
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "turned.jpg", exif=turned)
    Image.fromarray(pixels[:100, :100]).save(tmp_path / "small.jpg")
    for name in ("a.png", "turned.jpg", "small.jpg"):
        np.testing.assert_array_equal(
            exact.read({"file": name}, tmp_path), fast.read({"file": name}, tmp_path), err_msg=name
        )
