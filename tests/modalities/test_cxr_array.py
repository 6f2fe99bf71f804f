"""X-rays from arrays: grey levels are restored, and what cannot be one is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.errors import DataError
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr_array import CxrArray
from clinical_symile.modalities.ecg_array import EcgArray

IMAGENET: Any = {"mean": [0.485, 0.456, 0.406], "sd": [0.229, 0.224, 0.225]}

IDS: Any = {"path": "values.npy", "ids": "ids.npy", "id": "id"}


def write(folder: Path, values: np.ndarray, ids: list) -> None:
    np.save(folder / "values.npy", values)
    np.save(folder / "ids.npy", np.array(ids))


def verdict(adapter: CxrArray | EcgArray, folder: Path) -> str:
    with pytest.raises(Rejected) as caught:
        adapter.read({"id": 1}, folder)
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "arguments", "reason"),
    [
        (np.nan, {}, "nan"),
        (1.01, {}, "scale"),
        (-0.01, {}, "scale"),
        (0.5, {}, "constant"),
    ],
)
def test_an_xray_that_cannot_be_one_is_rejected(
    tmp_path: Path, value: float, arguments: dict, reason: str
) -> None:
    write(tmp_path, np.full((1, 1, 32, 32), value), [1])
    assert verdict(CxrArray(tmp_path, **IDS, size_px=32, **arguments), tmp_path) == reason


def test_the_wrong_scale_is_seen_by_channels_that_differ(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(100, 120, (1, 1, 32, 32)) / 255
    write(tmp_path, np.repeat(grey, 3, axis=1), [1])  # not scaled at all
    assert verdict(CxrArray(tmp_path, **IDS, size_px=32, **IMAGENET), tmp_path) == "colour"


def test_images_of_another_shape_than_the_cohort_says_are_told(tmp_path: Path) -> None:
    write(tmp_path, np.zeros((1, 3, 32, 32)), [1])
    with pytest.raises(DataError, match=r"images of shape \[3, 32, 32\]; expected \[1, 32, 32\]"):
        CxrArray(tmp_path, **IDS, size_px=32).read({"id": 1}, tmp_path)
    with pytest.raises(ValueError, match="3 mean and 1 sd; expected both for each channel"):
        CxrArray(tmp_path, **IDS, mean=IMAGENET["mean"])


def test_grey_levels_between_whole_ones_are_rounded_and_that_is_noted(tmp_path: Path) -> None:
    levels, notes = np.arange(32 * 32).reshape(1, 1, 32, 32) % 200, []
    for shift in (0, 0.3):
        write(tmp_path, (levels + shift) / 255, [1])
        read = CxrArray(tmp_path, **IDS, size_px=32).read({"id": 1}, tmp_path, notes.append)
        np.testing.assert_array_equal(read, levels[0])
        assert notes == (["rounded"] if shift else [])
