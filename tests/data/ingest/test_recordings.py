"""A recording that changed under the same name is noticed, and read again where it can be."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.ingest import decode
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.data.ingest.recordings import changed_recordings, recording_files
from tests.helpers.hospital import Hospital, run


def test_size_and_digest_of_every_stored_recording_are_in_the_store(hospital: Hospital) -> None:
    store = run(hospital)
    lines = pd.read_parquet(store.path / "recordings.parquet")
    assert lines.groupby("modality").size().to_dict() == {"cxr": 7, "ecg": 7}
    xray = lines.query("sample == 101 and modality == 'cxr'").iloc[0]
    content = (hospital.source / "xray/101.jpg").read_bytes()
    assert xray["file"] == "xray/101.jpg"
    assert (xray["bytes"], xray["sha256"]) == (
        len(content),
        hashlib.sha256(content).hexdigest()[:32],
    )
    ecg = lines.query("sample == 101 and modality == 'ecg'").iloc[0]
    parts = [hospital.source / f"ecg/101{suffix}" for suffix in (".hea", ".dat")]
    whole = b"".join(part.read_bytes() for part in parts)
    assert (ecg["bytes"], ecg["sha256"]) == (len(whole), hashlib.sha256(whole).hexdigest()[:32])


def test_a_wfdb_record_is_all_its_files_however_it_is_named(hospital: Hospital) -> None:
    folder = hospital.source / "ecg"
    expected = {folder / "101.hea", folder / "101.dat"}
    for name in ("101", "101.hea", "101.dat"):
        assert {*recording_files(folder / name)} == expected


def later(file: Path, seconds: int = 60) -> None:
    """Make a file newer than anything written so far."""
    os.utime(file, ns=(file.stat().st_atime_ns, time.time_ns() + seconds * 10**9))


def flip(file: Path) -> None:
    """Change a byte; keep size and time."""
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[-40] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_size_time_and_content_tell_a_changed_recording(hospital: Hospital) -> None:
    store = run(hospital)

    def changed(*, content: bool = False) -> dict[str, int]:
        return changed_recordings(store.path, hospital.source, content=content)

    assert changed() == changed(content=True) == {}
    later(hospital.source / "xray/101.jpg")
    assert (changed(), changed(content=True)) == ({"cxr": 1}, {})
    flip(hospital.source / "ecg/100.dat")
    assert (changed(), changed(content=True)) == ({"cxr": 1}, {"ecg": 1})
    (hospital.source / "ecg/101.dat").unlink()
    assert changed() == {"cxr": 1, "ecg": 1}
    shutil.rmtree(hospital.source / "xray")
    assert changed() == {"cxr": 7, "ecg": 1}


def test_a_recording_that_changes_while_a_store_is_unfinished_is_read_again(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    expected_raw = tmp_path / "changed"
    read, calls = decode._decode_chunk, []

    def stop(*arguments: object) -> dict[str, object]:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(*arguments)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patched:
        patched.setattr(decode, "_decode_chunk", stop)
        with pytest.raises(KeyboardInterrupt):
            run(hospital)
    shutil.copy(hospital.source / "xray/106.jpg", hospital.source / "xray/101.jpg")
    later(hospital.source / "xray/101.jpg")
    shutil.copytree(hospital.source, expected_raw)
    calls.clear()
    monkeypatch.setattr(decode, "_decode_chunk", lambda *one: calls.append(one) or read(*one))
    resumed = run(hospital)
    assert [one[3] for one in calls] == [0, 6]  # the chunk of 101, and the one that was left
    np.testing.assert_array_equal(resumed.array("cxr")[1], resumed.array("cxr")[6])
    again = Hospital(expected_raw, hospital.definition, tmp_path / "again")
    fresh = run(again)
    for name in ("cxr.npy", "ecg.npy", "samples.parquet", "recordings.parquet"):
        assert (resumed.path / name).read_bytes() == (fresh.path / name).read_bytes()


def test_the_stamps_of_a_chunk_are_kept_where_a_process_died() -> None:
    verdicts = [
        {"first": first, "candidate": [[0]], "stamps": [stamp], "recordings": [[first, "ecg"]]}
        | {"rejected": [], "noted": [], "contents": [[stamp]]}
        for first, stamp in ((4, "a"), (5, ""))
    ]
    merged = workers._merge_verdicts(4, verdicts)
    assert json.loads(json.dumps(merged)) == merged
    assert merged["stamps"] == ["a", ""]
    assert merged["contents"] == [["a"], [""]]
    assert merged["recordings"] == [[4, "ecg"], [5, "ecg"]]
