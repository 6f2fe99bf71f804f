import json
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import check_files
from clinical_symile.errors import DataError
from clinical_symile.files import write_checksums
from clinical_symile.modalities.ecg import Ecg


@pytest.fixture
def store(hospital_store: CohortStore) -> CohortStore:
    return hospital_store


def test_a_store_opens_as_it_was_written(store: CohortStore) -> None:
    opened = open_store(store.path)
    assert (opened.cohort, opened.digest) == ("small", store.digest)
    assert opened.modalities == ("cxr", "ecg", "labs")
    assert opened.candidates is None
    check_files(store.path)


def test_rows_are_those_of_the_split(store: CohortStore) -> None:
    assert store.rows("train").tolist() == [0, 1, 2, 3, 4]
    assert store.rows("tuning").tolist() == [5]
    with pytest.raises(ValueError, match="split is 'val'; expected one of train, tuning, held_out"):
        store.rows("val")


def test_arrays_are_mapped_and_cannot_be_written_to(store: CohortStore) -> None:
    array = store.array("ecg")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_inputs_are_transformed_in_the_order_that_was_asked_for(store: CohortStore) -> None:
    rows = np.array([4, 0, 0])
    inputs = store.inputs("ecg", rows)
    statistics = store.manifest["modalities"]["ecg"]["statistics"]
    np.testing.assert_array_equal(inputs, Ecg.transform(store.array("ecg")[rows], statistics))


def test_inputs_are_zero_where_a_modality_is_absent(store: CohortStore) -> None:
    for column, modality in enumerate(store.modalities):
        inputs = store.inputs(modality, np.arange(8))
        assert inputs.dtype == np.float32
        assert np.isfinite(inputs).all()
        shown = inputs.reshape(8, -1).any(axis=1)
        np.testing.assert_array_equal(shown, store.present[:, column])


def test_no_rows_have_inputs_of_the_same_shape(store: CohortStore) -> None:
    none = np.zeros(0, dtype=np.int64)
    assert store.inputs("cxr", none).shape == (0, 1, 32, 32)
    assert store.inputs("labs", none).shape == (0, 2, 2)


def test_outcomes_are_one_zero_or_unknown(store: CohortStore) -> None:
    died = store.outcome("died")
    np.testing.assert_array_equal(died, [0, 0, 1, np.nan, np.nan, 0, 1, 0])
    with pytest.raises(DataError, match="has no outcome 'stroke'; it has died"):
        store.outcome("stroke")


def test_a_folder_that_is_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no manifest\.json; expected a cohort store"):
        open_store(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(DataError, match="not the manifest of a store"):
        open_store(tmp_path)


def test_a_store_of_another_version_is_told(store: CohortStore) -> None:
    file = store.path / "manifest.json"
    file.write_text(json.dumps(dict(store.manifest) | {"version": 0}))
    write_checksums(store.path)
    with pytest.raises(DataError, match="a store of version 0; expected 1"):
        open_store(store.path)


def test_files_that_are_missing_or_cut_are_told_together(store: CohortStore) -> None:
    (store.path / "cxr.npy").unlink()
    (store.path / "ecg.npy").write_bytes(b"short")
    with pytest.raises(DataError) as caught:
        open_store(store.path)
    assert "cxr.npy: is missing" in str(caught.value)
    assert "ecg.npy: has 5 bytes; expected" in str(caught.value)


def test_an_array_that_has_changed_is_told(store: CohortStore) -> None:
    array = np.load(store.path / "labs.npy", mmap_mode="r+")
    array[0, 0] = 99
    array.flush()
    with pytest.raises(DataError, match=r"labs\.npy: its checksum is not the manifest's"):
        check_files(store.path)


@pytest.mark.parametrize("head", [b"{'descr': (", b"{'descr': '<f4', 'shape': (" + b"9" * 30])
def test_an_array_whose_head_is_damaged_is_one_sentence(store: CohortStore, head: bytes) -> None:
    """In a store that was opened before, and in one without checksums."""
    file = store.path / "labs.npy"
    content = file.read_bytes()
    file.write_bytes(content[:10] + head + bytes(128 - 10 - len(head)) + content[128:])
    with pytest.raises(DataError, match=r"labs\.npy: cannot be read as an array \(.*prepare"):
        store.array("labs")


def test_a_table_that_has_changed_is_told_though_its_size_is_the_same(store: CohortStore) -> None:
    file = store.path / "samples.parquet"
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(DataError, match=r"samples\.parquet: its checksum is not the manifest's"):
        check_files(store.path)


def test_absent_measurements_take_no_room(prepared_hospital: CohortStore) -> None:
    file = prepared_hospital.path / "ecg.npy"
    whole, absent = file.stat().st_size, 12 * 5000 * 2
    assert file.stat().st_blocks * 512 <= whole - absent + 2 * 4096


def test_a_notebook_shows_counts_alone_and_withholds_small_ones(store: CohortStore) -> None:
    shown = store._repr_html_()
    assert "<td>train</td><td>&lt;10</td>" in shown
    assert "with cxr" in shown
    assert store.digest in shown
    for column in ("sample", "subject"):
        for value in store.samples[column].astype(str):
            assert f">{value}<" not in shown
