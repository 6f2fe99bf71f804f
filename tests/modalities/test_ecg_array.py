"""ECGs from arrays: digitisation steps are restored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.errors import DataError
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr_array import CxrArray
from clinical_symile.modalities.ecg import LEADS
from clinical_symile.modalities.ecg_array import LEADS as OURS
from clinical_symile.modalities.ecg_array import MAX_STEPS, EcgArray, digitisation_steps

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


def test_what_was_not_recorded_is_zero_and_has_no_part_in_the_scale() -> None:
    steps = np.array([[[0, 10], [40, 5]]], dtype=np.uint16)
    np.testing.assert_array_equal(EcgArray.transform(steps, {})[0], [[-1, -0.5], [1, -0.75]])
    hidden = np.where([[[False, False], [True, True]]], EcgArray.unrecorded, steps)
    np.testing.assert_array_equal(EcgArray.transform(hidden, {})[0], [[-1, 1], [0, 0]])
    nothing = np.full((1, 2, 2), np.nan, dtype=np.float32)
    assert not EcgArray.transform(nothing, {}).any()


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
