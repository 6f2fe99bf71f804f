"""`clinical-symile prepare`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.ingest.test_recordings import flip, later
from tests.helpers.hospital import Hospital


def _missing_table(hospital: Hospital) -> None:
    (hospital.source / "admissions.csv").unlink()


def _missing_column(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.drop(columns="crea"))


def _duplicate_ids(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.replace({"admission": {101: 100}}))


def _two_splits(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.replace({"person": {7: 1}}))


def _no_number(hospital: Hospital) -> None:
    admissions = hospital.admissions.astype({"crea": object})
    admissions.loc[0, "crea"] = "high"
    hospital.write(admissions)


def test_a_dry_run_counts_and_opens_no_recording(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital, tmp_path: Path
):
    for name in ("xray", "ecg"):
        shutil.rmtree(hospital.source / name)
    command = ["prepare", "small", "--catalog", tmp_path, "--source", hospital.source]
    status, shown, _ = run(*command, "--dry-run")
    assert status == 0
    assert "<10 rows in the tables, <10 would be read" in shown
    assert "left out: <10 (nothing-recorded)" in shown
    assert "cxr + ecg + labs" in shown
    assert "train: <10 samples of <10 subjects" in shown
    assert not hospital.out.exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_missing_table, "admissions.csv"),
        (_missing_column, "crea"),
        (_duplicate_ids, "100"),
        (_two_splits, "subjects are in several splits, such as 1"),
        (_no_number, "crea"),
    ],
)
def test_tables_that_cannot_be_right_stop_prepare_and_leave_nothing(
    refused: Callable[..., str],
    prepare: list[str | Path],
    hospital: Hospital,
    spoil: Callable[[Hospital], None],
    said: str,
):
    spoil(hospital)
    answer = refused(*prepare)
    assert said in answer
    assert "high" not in answer, "patients' values are in no message"
    assert not hospital.out.exists()


def test_files_that_cannot_be_used_are_counted_and_shown(
    run: Callable[..., tuple[int, str, str]],
    prepare: list[str | Path],
    hospital: Hospital,
    write_ecg: Callable[..., None],
    rng: np.random.Generator,
):
    whole = (hospital.source / "xray/100.jpg").read_bytes()
    (hospital.source / "xray/100.jpg").write_bytes(whole[: len(whole) // 2])
    (hospital.source / "xray/101.jpg").unlink()
    signal = rng.normal(0, 0.3, (5000, 12))
    without_avf = [lead for lead in ("I", "II", "III", "aVR", "aVL", "V1", "V2", "V3", "V4")]
    without_avf += ["V5", "V6"]
    write_ecg(hospital.source / "ecg/100", signal[:, :11], leads=without_avf)
    signal[7, 3] = np.nan
    write_ecg(hospital.source / "ecg/101", signal)
    status, shown, said = run(*prepare)
    assert (status, said) == (0, "")
    for line in (
        "cxr rejected: <10 (truncated)",
        "cxr rejected: <10 (file-missing)",
        "ecg rejected: <10 (leads-missing)",
        "ecg rejected: <10 (nan)",
        "left out: <10 (nothing-recorded)",
    ):
        assert line in shown
    manifest = json.loads((hospital.out / "manifest.json").read_text())
    assert manifest["rejected"]["cxr"] == {"truncated": 1, "file-missing": 1}


def test_a_source_that_is_missing_is_asked_for(
    refused: Callable[..., str], hospital: Hospital, tmp_path: Path
):
    command = ["prepare", "small", "--catalog", tmp_path, "--source", tmp_path / "nowhere"]
    assert "no such folder; expected the raw files" in refused(*command, "--out", hospital.out)


def test_a_folder_that_is_no_store_is_refused_before_a_hospital_is_made_up(
    refused: Callable[..., str], tmp_path: Path
):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("")
    command = ["prepare", "synthetic", "--source", tmp_path / "raw", "--out", tmp_path / "other"]
    assert "exists and is not a cohort store. Choose another --out." in refused(*command)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("change", [later, flip])
def test_prepare_says_what_changed_and_verify_compares_the_content(
    hospital: Hospital,
    tmp_path: Path,
    run: Callable[..., tuple[int, str, str]],
    change: Callable[[Path], None],
) -> None:
    command = ["--catalog", str(tmp_path), "prepare", "small", "--source", str(hospital.source)]
    command += ["--out", str(hospital.out)]
    assert run(*command)[0] == 0
    status, shown, _ = run(*command)
    assert (status, "No recording has another size" in shown) == (0, True)
    change(hospital.source / "xray/101.jpg")
    status, shown, _ = run(*command)
    assert (status, "another size: 1 cxr." in " ".join(shown.split())) == (0, change is later)
    status, shown, failed = run(*command, "--verify")
    if change is later:
        assert (status, "every recording is as it was read" in " ".join(shown.split())) == (0, True)
    else:
        assert status == 1
        assert "differs from what was read: 1 cxr. Remove" in " ".join(failed.split())
