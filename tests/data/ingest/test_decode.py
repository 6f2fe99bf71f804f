"""Decoding: what becomes of recordings that are missing, broken or odd."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.modalities.cxr import Cxr
from tests.helpers.hospital import Hospital, break_xray, refusal, run


def test_progress_counts_samples(hospital: Hospital) -> None:
    available: list[tuple[int, int]] = []
    run(hospital, progress=lambda done, total: available.append((done, total)))
    assert available == [(8, 8)]  # the ninth admission has no recording


@pytest.mark.parametrize(
    ("name", "modality", "reason"),
    [
        ("xray/106.jpg", "cxr", "file-missing"),
        ("ecg/106.dat", "ecg", "file-missing"),
        ("ecg/106.hea", "ecg", "file-missing"),
    ],
)
def test_a_missing_file_makes_that_modality_absent_and_is_counted(
    hospital: Hospital, name: str, modality: str, reason: str
) -> None:
    (hospital.source / name).unlink()
    store = run(hospital)
    row = store.samples["sample"].tolist().index(106)
    assert not store.present[row, store.modalities.index(modality)]
    assert not store.array(modality)[row].any()
    assert store.manifest["rejected"][modality] == {reason: 1}
    (rejected,) = pd.read_parquet(store.path / "rejected.parquet").to_dict("records")
    assert (rejected["sample"], rejected["modality"], rejected["reason"]) == (106, modality, reason)
    assert "106" in rejected["file"]


def test_what_is_odd_about_a_recording_that_is_used_is_counted_and_listed(
    hospital: Hospital,
) -> None:
    store = run(hospital)  # the leads of these ECGs are noise, which no limb leads are
    assert store.manifest["noted"]["ecg"] == {"limb-leads": 7}
    noted = pd.read_parquet(store.path / "noted.parquet").query("modality == 'ecg'")
    assert noted["sample"].tolist() == [100, 101, 102, 104, 105, 106, 107]
    assert set(noted["note"]) == {"limb-leads"}


def test_a_file_on_which_an_adapter_fails_is_rejected_and_the_others_are_read(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Cxr.read

    def fail(self: Cxr, row: dict[str, str | None], *rest: Any) -> np.ndarray | None:
        if row["xray"] == "106.jpg":
            raise ZeroDivisionError(f"with {row}")
        return read(self, row, *rest)

    monkeypatch.setattr(Cxr, "read", fail)
    store = run(hospital)
    assert store.manifest["rejected"]["cxr"] == {"adapter-failed": 1}
    (rejected,) = pd.read_parquet(store.path / "rejected.parquet").to_dict("records")
    assert rejected["detail"] == "ZeroDivisionError in the adapter"


def test_a_truncated_xray_is_counted(hospital: Hospital) -> None:
    break_xray(hospital)
    assert run(hospital).manifest["rejected"]["cxr"] == {"truncated": 1}


def test_files_that_are_all_elsewhere_are_told_before_anything_is_read(hospital: Hospital) -> None:
    rows = pd.concat([hospital.admissions.assign(admission=range(n, n + 9)) for n in (0, 50)])
    hospital.write(rows)
    hospital.edit("xray/{xray}", "x-ray/{xray}")
    hospital.edit("ecg/{ecg}", "ekg/{ecg}")
    told = refusal(hospital)
    where = f"from all over the cohort is under {hospital.source}"
    assert f"modalities.cxr: none of 14 files {where}, such as 100.jpg. Correct" in told
    assert f"modalities.ecg: none of 14 files {where}" in told


def test_a_cohort_whose_first_files_were_never_got_is_read(hospital: Hospital) -> None:
    old = pd.concat([hospital.admissions.head(1)] * 30, ignore_index=True)
    old["admission"], old["xray"] = range(30), [f"old/{n}.jpg" for n in range(30)]
    hospital.write(pd.concat([old, hospital.admissions]))
    assert run(hospital).manifest["rejected"]["cxr"] == {"file-missing": 30}
