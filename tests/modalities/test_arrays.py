"""Recordings that are rows of an array: found by id, and brought back to what they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.errors import DataError
from clinical_symile.modalities._array_io import RecordedArray
from clinical_symile.modalities.base import Rejected

IDS: Any = {"path": "values.npy", "ids": "ids.npy", "id": "id"}


def write(folder: Path, values: np.ndarray, ids: list) -> None:
    np.save(folder / "values.npy", values)
    np.save(folder / "ids.npy", np.array(ids))


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
