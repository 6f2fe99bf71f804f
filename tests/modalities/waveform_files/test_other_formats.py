"""ECGs in XML, HDF5 and NumPy files are read in millivolts, by the names of their leads."""

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.waveform_files import array_file
from tests.helpers.vendor_ecgs import muse as muse_file

TIME_S = np.arange(5000) / 500
ONE, TWO = (np.sin(2 * np.pi * rate * TIME_S + 0.5) for rate in (1.3, 1.7))
LIMB = [ONE, TWO, TWO - ONE, -(ONE + TWO) / 2, ONE - TWO / 2, TWO - ONE / 2]
HEART = np.stack([*LIMB, *(ONE * n / 3 + 0.1 * TWO for n in range(1, 7))], axis=1)
STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
ARRAY = {"array_leads": LEADS, "array_rate_hz": 500, "array_unit": "mV"}


def read(file: Path, row: dict[str, Any] | None = None, **arguments: Any) -> tuple[Any, set[str]]:
    notes: list[str] = []
    adapter = Ecg(file.parent, path="{file}", **arguments)
    measured = adapter.read({"file": file.name, **(row or {})}, file.parent, notes.append)
    return measured, set(notes)


def rejection(file: Path, row: dict[str, Any] | None = None, **arguments: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(file, row, **arguments)
    return caught.value


def muse(**arguments: Any) -> str:
    """A MUSE export of eight leads in steps of 4.88 µV."""
    counts = {
        lead: np.rint(HEART[:, LEADS.index(lead)] * 1000 / 4.88).astype(int).tolist()
        for lead in STORED
    }
    return muse_file(counts, **arguments)


def test_a_muse_file_is_read_and_its_other_limb_leads_follow_from_i_and_ii(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(muse())
    values, notes = read(tmp_path / "a.xml", limb_leads="refused")
    assert notes == {"leads-derived"}
    np.testing.assert_allclose(values, HEART.T * 1000, atol=6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (muse(wrong_checksum=True), "checksum"),
        (muse(unit="STEPS"), "unit"),
        (muse()[:9000], "not-readable"),
        ("<RestingECG><Waveform><LeadData/></Waveform></RestingECG>", "not-readable"),
        ("<html><body>404</body></html>", "not-readable"),
        (muse(before="<!DOCTYPE a [<!ENTITY b 'c'>]>").replace(">I<", ">&b;<"), "not-readable"),
    ],
)
def test_an_xml_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    assert rejection(tmp_path / "a.xml").reason == reason


@pytest.mark.parametrize(("name", "package"), [("a.xml", "ecgdatakit"), ("a.h5", "h5py")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (tmp_path / "a.xml").write_text(muse())
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, package, None)
    verdict = rejection(tmp_path / name, **ARRAY)
    assert verdict.reason == "decoder-missing"
    assert "pip install 'clinical-symile[ecg]'" in verdict.detail


def write_arrays(file: Path, tracings: np.ndarray, ids: np.ndarray) -> None:
    if file.suffix == ".npz":
        np.savez(file, tracings=tracings, exam_id=ids)
        return
    with h5py.File(file, "w") as opened:
        opened["tracings"], opened["exam_id"] = tracings, ids


@pytest.mark.parametrize("name", ["a.hdf5", "a.npz"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1)])
def test_a_recording_is_found_in_a_file_of_many_by_its_id(
    tmp_path: Path, name: str, axes: tuple[int, int, int]
) -> None:
    many = np.stack([HEART * 0.5, HEART, HEART * 0.7]).astype(np.float32).transpose(axes)
    write_arrays(tmp_path / name, many, np.array([11, 12, 12345678901]))
    for exam, factor in ((11, 0.5), (12, 1), (12345678901, 0.7)):
        values, _ = read(tmp_path / name, {"exam": exam}, array_id="exam", **ARRAY)
        np.testing.assert_allclose(values, HEART.T * 1000 * factor, atol=1)
    assert rejection(tmp_path / name, {"exam": 9}, array_id="exam", **ARRAY).reason == (
        "not-in-array"
    )
    assert read(tmp_path / name, {"exam": None}, array_id="exam", **ARRAY)[0] is None


def test_a_numpy_file_of_one_recording_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", HEART * 1000)
    values, _ = read(tmp_path / "a.npy", **{**ARRAY, "array_unit": "uV"})
    np.testing.assert_allclose(values, HEART.T * 1000, atol=1)


def test_leads_of_an_array_are_ordered_by_the_names_that_the_cohort_gives(tmp_path: Path) -> None:
    names = ("DI", "DII", "DIII", "AVR", "AVL", "AVF", "V6", "V5", "V4", "V3", "V2", "V1")
    np.save(tmp_path / "a.npy", HEART[:, [*range(6), *range(11, 5, -1)]])
    values, _ = read(tmp_path / "a.npy", **{**ARRAY, "array_leads": names})
    np.testing.assert_allclose(values, HEART.T * 1000, atol=1)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("array_leads", "leads-missing"), ("array_rate_hz", "sampling-rate"), ("array_unit", "unit")],
)
def test_what_an_array_does_not_state_the_cohort_must(
    tmp_path: Path, missing: str, reason: str
) -> None:
    np.save(tmp_path / "a.npy", HEART)
    verdict = rejection(tmp_path / "a.npy", **{k: v for k, v in ARRAY.items() if k != missing})
    assert verdict.reason == reason
    assert f"set {missing}" in verdict.detail


def test_a_numpy_file_with_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert rejection(tmp_path / "a.npy", **ARRAY).reason == "not-readable"


@pytest.mark.parametrize("content", [b"%PDF-1.7 ...", b"0       " * 40, b"lead,time\n1,2\n", b""])
def test_any_other_format_is_refused_with_the_formats_that_are_read(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.edf").write_bytes(content)
    verdict = rejection(tmp_path / "a.edf")
    assert verdict.reason == "not-readable"
    assert "EDF is no format of ECGs that is read; expected WFDB" in verdict.detail


def test_the_ids_of_a_file_are_read_once_for_all_its_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    own_array = array_file._own_array

    def counting(arrays: Any, name: str, file: Path) -> Any:
        opened.append(name)
        return own_array(arrays, name, file)

    monkeypatch.setattr(array_file, "_own_array", counting)
    write_arrays(tmp_path / "a.h5", np.stack([HEART, HEART * 0.5]), np.array([1, 2]))
    for exam in (1, 2, 1):
        read(tmp_path / "a.h5", {"exam": exam}, array_id="exam", **ARRAY)
    assert opened.count("exam_id") == 1
    write_arrays(tmp_path / "a.h5", np.stack([HEART, HEART * 0.5, HEART]), np.array([2, 1, 3]))
    values, _ = read(tmp_path / "a.h5", {"exam": 2}, array_id="exam", **ARRAY)
    np.testing.assert_allclose(values, HEART.T * 1000, atol=1)
    assert opened.count("exam_id") == 2


def test_an_hdf5_file_that_refers_to_another_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["tracings"] = HEART
    HEART.tofile(tmp_path / "raw.bin")
    with h5py.File(tmp_path / "link.h5", "w") as linked:
        linked["tracings"] = h5py.ExternalLink("other.h5", "/tracings")
    with h5py.File(tmp_path / "external.h5", "w") as external:
        place = [(str(tmp_path / "raw.bin"), 0, HEART.nbytes)]
        external.create_dataset("tracings", HEART.shape, HEART.dtype, external=place)
    with h5py.File(tmp_path / "virtual.h5", "w") as virtual:
        layout = h5py.VirtualLayout(HEART.shape, HEART.dtype)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "tracings", HEART.shape)
        virtual.create_virtual_dataset("tracings", layout)
    assert read(tmp_path / "other.h5", **ARRAY)[0] is not None
    for name in ("link.h5", "external.h5", "virtual.h5"):
        assert rejection(tmp_path / name, **ARRAY).reason == "outside-source"


def test_an_array_that_unpacks_to_far_more_than_it_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as opened:  # a terabyte of a value that fills it
        opened.create_dataset("tracings", (10**10, 12), "f8", chunks=(1000, 12), fillvalue=1.0)
    np.savez_compressed(tmp_path / "a.npz", tracings=HEART, other=np.zeros(10**6))
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 12)}
    with (tmp_path / "a.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(HEART.tobytes())
    assert rejection(tmp_path / "a.h5", **ARRAY).reason == "too-large"
    assert rejection(tmp_path / "a.npy", **ARRAY).reason == "not-readable"
    assert read(tmp_path / "a.npz", **ARRAY)[0] is not None
    monkeypatch.setattr(array_file, "_MAX_UNPACKED_BYTES", 8_000_000)
    assert rejection(tmp_path / "a.npz", **ARRAY).reason == "too-large"


@pytest.mark.parametrize("dtype", ["U8", "complex64", "datetime64[s]"])
def test_an_array_of_something_else_than_numbers_is_refused(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5000, 12), dtype=dtype))
    assert rejection(tmp_path / "a.npy", **ARRAY).reason == "not-readable"
