"""Embeddings made elsewhere: found by id in three kinds of files, and refused with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.errors import DataError
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.embedding import Embedding

VECTORS = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
IDS = ["b", "a", "c"]


def npy(folder: Path, vectors: np.ndarray, ids: Any) -> dict[str, Any]:
    np.save(folder / "v.npy", vectors)
    np.save(folder / "ids.npy", np.array(ids))
    return {"path": "v.npy", "ids": "ids.npy"}


def npz(folder: Path, vectors: np.ndarray, ids: Any) -> dict[str, Any]:
    np.savez(folder / "v.npz", embeddings=vectors, ids=np.array(ids))
    return {"path": "v.npz"}


def lists(folder: Path, vectors: np.ndarray, ids: Any) -> dict[str, Any]:
    pd.DataFrame({"id": ids, "embedding": list(vectors)}).to_parquet(folder / "v.parquet")
    return {"path": "v.parquet"}


def numbered(folder: Path, vectors: np.ndarray, ids: Any) -> dict[str, Any]:
    columns = {f"e{place}": vectors[:, place] for place in range(vectors.shape[1])}
    pd.DataFrame({"id": ids, **columns}).to_parquet(folder / "v.parquet")
    return {"path": "v.parquet"}


FORMS = (npy, npz, lists, numbered)


def read(folder: Path, arguments: dict[str, Any], id: Any, width: int = 2) -> np.ndarray | None:
    return Embedding(folder, id="exam", width=width, **arguments).read({"exam": id}, folder)


def verdict(folder: Path, arguments: dict[str, Any], id: Any) -> str:
    with pytest.raises(Rejected) as caught:
        read(folder, arguments, id)
    return caught.value.reason


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ids", [IDS, [20, 10, 30]])
def test_a_vector_is_found_by_its_id_wherever_it_stands(tmp_path: Path, form, ids: list) -> None:
    arguments = form(tmp_path, VECTORS, ids)
    for place, name in enumerate(ids):
        found = read(tmp_path, arguments, name)
        assert found is not None
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, VECTORS[place])
    assert read(tmp_path, arguments, None) is None
    assert verdict(tmp_path, arguments, "other") == "not-in-array"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("values", "reason"),
    [([1, np.nan], "nan"), ([1, np.inf], "nan"), ([1, 1e300], "nan"), ([0, 0], "all-zero")],
)
def test_a_vector_with_numbers_that_cannot_be_used_is_rejected(
    tmp_path: Path, form, values: list, reason: str
) -> None:
    arguments = form(tmp_path, np.array([values, [1, 2]], dtype=np.float64), ["a", "b"])
    assert verdict(tmp_path, arguments, "a") == reason
    assert read(tmp_path, arguments, "b") is not None  # no other sample suffers


@pytest.mark.parametrize("form", FORMS)
def test_equal_rows_of_an_id_are_one_vector_and_others_are_rejected(tmp_path: Path, form) -> None:
    arguments = form(tmp_path, np.array([[1.0, 2], [3, 4], [1, 2], [3, 5]]), ["a", "b", "a", "b"])
    found = read(tmp_path, arguments, "a")
    np.testing.assert_array_equal(found, [1, 2])  # pyright: ignore[reportArgumentType]
    assert verdict(tmp_path, arguments, "b") == "copies-differ"


@pytest.mark.parametrize("form", FORMS)
def test_vectors_of_another_width_end_the_reading(tmp_path: Path, form) -> None:
    arguments = form(tmp_path, VECTORS, IDS)
    with pytest.raises(DataError, match=r"shape \[2\]; expected \[3\]") as caught:
        read(tmp_path, arguments, "a", width=3)
    assert caught.value.problems[0].code == "CS-D026"


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    objects = np.array([[{"a": 1}, 2]], dtype=object)
    np.save(tmp_path / "v.npy", objects, allow_pickle=True)
    np.save(tmp_path / "ids.npy", np.array(["a"]))
    np.savez(tmp_path / "v.npz", embeddings=objects, ids=np.array(["a"]))
    np.savez(tmp_path / "i.npz", embeddings=VECTORS, ids=np.array(IDS, dtype=object))
    for arguments in ({"path": "v.npy", "ids": "ids.npy"}, {"path": "v.npz"}, {"path": "i.npz"}):
        with pytest.raises(DataError) as caught:
            read(tmp_path, arguments, "a")
        assert caught.value.problems[0].code == "CS-D025"


def test_files_that_are_no_table_of_vectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    pd.DataFrame({"exam": IDS, "e0": 1.0}).to_parquet(tmp_path / "no_id.parquet")
    pd.DataFrame({"id": IDS, "x": 1.0}).to_parquet(tmp_path / "no_numbers.parquet")
    ragged = {"id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0]]}
    pd.DataFrame(ragged).to_parquet(tmp_path / "ragged.parquet")
    empty = {"id": ["a", "b"], "embedding": [[1.0, 2.0], None]}
    pd.DataFrame(empty).to_parquet(tmp_path / "empty.parquet")
    pd.DataFrame({"id": IDS, "e0": ["x", "y", "z"]}).to_parquet(tmp_path / "text.parquet")
    np.savez(tmp_path / "fewer.npz", embeddings=VECTORS, ids=np.array(IDS[:2]))
    np.savez(tmp_path / "flat.npz", embeddings=VECTORS[0], ids=np.array(IDS[:2]))
    np.savez(tmp_path / "names.npz", values=VECTORS, ids=np.array(IDS))
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=file.name) as caught:
            read(tmp_path, {"path": file.name}, "a")
        assert caught.value.problems[0].code == "CS-D025", file
    assert verdict(tmp_path, {"path": "none.npz"}, "a") == "file-missing"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"path": "v.npy"}, "expected ids"),
        ({"path": "v.npz", "ids": "ids.npy"}, "none beside other files"),
        ({"path": "v.pkl"}, r"expected a file \.npy, \.npz, \.parquet"),
        ({"path": "v.npz", "width": 0}, "whole number of 1 or more"),
        ({"path": "v.npz", "width": True}, "whole number of 1 or more"),
    ],
)
def test_arguments_that_fit_no_file_are_refused(tmp_path: Path, arguments, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Embedding(tmp_path, id="exam", **{"width": 2, **arguments})
