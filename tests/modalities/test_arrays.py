"""Recordings that are rows of an array: found by id, and brought back to what they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.errors import DataError
from clinical_symile.modalities._array_io import RecordedArray
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr_array import CxrArray
from clinical_symile.modalities.ecg import LEADS
from clinical_symile.modalities.ecg_array import LEADS as OURS
from clinical_symile.modalities.ecg_array import MAX_STEPS, EcgArray, digitisation_steps

IMAGENET: Any = {"mean": [0.485, 0.456, 0.406], "sd": [0.229, 0.224, 0.225]}
IDS: Any = {"path": "values.npy", "ids": "ids.npy", "id": "id"}


def write(folder: Path, values: np.ndarray, ids: list) -> None:
    np.save(folder / "values.npy", values)
    np.save(folder / "ids.npy", np.array(ids))


def stretched(steps: np.ndarray) -> np.ndarray:
    low, high = steps.min(), steps.max()
    return (2 * ((steps - low) / (high - low)) - 1).astype(np.float32)


def verdict(adapter: CxrArray | EcgArray, folder: Path) -> str:
    with pytest.raises(Rejected) as caught:
        adapter.read({"id": 1}, folder)
    return caught.value.reason


@pytest.mark.parametrize("ids", [[30, 10, 20], ["30", "10", "20"], ["a-30", "a-10", "a-20"]])
def test_a_sample_is_found_by_its_id_wherever_it_stands(tmp_path: Path, ids: list) -> None:
    write(tmp_path, np.arange(6).reshape(3, 2), ids)
    array = RecordedArray(**IDS)
    for place, sample in enumerate(ids):
        read = array.read({"id": sample}, tmp_path)
        np.testing.assert_array_equal(read, [2 * place, 2 * place + 1])


def test_equal_copies_are_one_recording_and_others_are_rejected(tmp_path: Path) -> None:
    write(tmp_path, np.array([[1.0, np.nan], [2, 2], [1, np.nan], [2, 3]]), [1, 2, 1, 2])
    array = RecordedArray(**IDS)
    np.testing.assert_array_equal(array.read({"id": 1}, tmp_path), [1, np.nan])
    with pytest.raises(Rejected, match="2 rows of one sample"):
        array.read({"id": 2}, tmp_path)


def test_one_array_for_each_of_several_parts(tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        write(tmp_path / part, np.array([[ord(part)]]), [1])
    array = RecordedArray(path="{part}/values.npy", ids="{part}/ids.npy", id="id")
    assert array.columns == ("part", "id")
    assert array.read({"part": "b", "id": 1}, tmp_path) == ord("b")
    assert array.read({"part": None, "id": 1}, tmp_path) is None
    with pytest.raises(Rejected, match="no such array"):
        array.read({"part": "c", "id": 1}, tmp_path)


def test_ids_that_are_not_one_for_each_recording_are_told(tmp_path: Path) -> None:
    write(tmp_path, np.zeros((3, 2)), [1, 2])
    with pytest.raises(DataError, match=r"values.npy: 3 recordings, and 2 ids in .*ids.npy"):
        RecordedArray(**IDS).read({"id": 1}, tmp_path)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "ids.npy", np.array([1]))
    torch.save({"a": print}, tmp_path / "values.pt")
    for name in ("values.npy", "values.pt"):
        with pytest.raises(DataError, match="cannot be mapped as an array"):
            RecordedArray(**{**IDS, "path": name}).read({"id": 1}, tmp_path)


def test_more_than_one_tensor_in_a_file_is_told(tmp_path: Path) -> None:
    torch.save([torch.zeros(2), torch.zeros(2)], tmp_path / "values.pt")
    np.save(tmp_path / "ids.npy", np.array([1, 2]))
    with pytest.raises(DataError, match=r"expected a complete \.npy, or a tensor saved"):
        RecordedArray(**{**IDS, "path": "values.pt"}).read({"id": 1}, tmp_path)


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


def test_leads_are_of_our_order_whatever_that_of_the_array(tmp_path: Path) -> None:
    assert OURS == LEADS
    theirs = LEADS[::-1]
    values = np.random.default_rng(0).integers(0, 50, (1, 1, 5000, 12))
    write(tmp_path, stretched(values), [1])
    read = EcgArray(tmp_path, **IDS, leads=theirs).read({"id": 1}, tmp_path)
    assert read is not None
    np.testing.assert_array_equal(read, values[0, 0].T[::-1] - values.min())
    with pytest.raises(ValueError, match=r"leads are I, II; expected each of I, II, III, aVR"):
        EcgArray(tmp_path, **IDS, leads=["I", "II"])


def test_an_ecg_that_cannot_be_one_is_rejected(tmp_path: Path) -> None:
    values = np.full((1, 1, 5000, 12), np.nan, dtype=np.float32)
    for value, reason in ((np.nan, "nan"), (0.25, "flat")):
        values[:] = value
        write(tmp_path, values, [1])
        assert verdict(EcgArray(tmp_path, **IDS), tmp_path) == reason
    values[..., 3] = -0.5  # millivolts, say
    write(tmp_path, values, [1])
    assert verdict(EcgArray(tmp_path, **IDS), tmp_path) == "scale"
    write(tmp_path, np.zeros((1, 12, 5000)), [1])
    with pytest.raises(DataError, match=r"recordings of shape \[12, 5000\]; expected \[1, 5000"):
        EcgArray(tmp_path, **IDS).read({"id": 1}, tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 255, 1000, 8191, 40_001, MAX_STEPS])
def test_the_steps_of_a_recording_are_found_in_its_rounded_values(count: int) -> None:
    rng = np.random.default_rng(count)
    taken = np.unique(np.concatenate([[0, count], rng.integers(0, count + 1, 60_000)]))
    levels = np.unique((2 * (taken / count) - 1).astype(np.float32)).astype(np.float64)
    found = digitisation_steps(levels)
    assert found is not None
    places = np.rint((levels + 1) / 2 * found)
    np.testing.assert_allclose(2 * places / found - 1, levels, rtol=0, atol=2.0**-23)
    assert found == count or count % found == 0


def test_a_smallest_step_of_several_is_divided(rng: np.random.Generator) -> None:
    """Levels 0, 4, 10 and 25 of 25: the smallest gap is 4, and only steps of 1 fit."""
    levels = (2 * np.array([0, 4, 10, 25]) / 25 - 1).astype(np.float32).astype(np.float64)
    assert digitisation_steps(levels) == 25


def test_values_without_steps_are_kept_to_one_in_65535_and_that_is_noted(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    values, notes = rng.uniform(-1, 1, (1, 1, 5000, 12)), []
    values[0, 0, :2, 0] = -1, 1
    write(tmp_path, values, [1])
    assert digitisation_steps(np.unique(values)) is None
    read = EcgArray(tmp_path, **IDS).read({"id": 1}, tmp_path, notes.append)
    assert read is not None
    back = EcgArray.transform(read[None], {})
    np.testing.assert_allclose(back[0], values[0, 0].T, rtol=0, atol=1.01 / MAX_STEPS)
    assert notes == ["rounded"]


def test_grey_levels_between_whole_ones_are_rounded_and_that_is_noted(tmp_path: Path) -> None:
    levels, notes = np.arange(32 * 32).reshape(1, 1, 32, 32) % 200, []
    for shift in (0, 0.3):
        write(tmp_path, (levels + shift) / 255, [1])
        read = CxrArray(tmp_path, **IDS, size_px=32).read({"id": 1}, tmp_path, notes.append)
        np.testing.assert_array_equal(read, levels[0])
        assert notes == (["rounded"] if shift else [])
