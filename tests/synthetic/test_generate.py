from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.synthetic import ecg as synthetic_ecg
from clinical_symile.synthetic import generate as synthetic
from clinical_symile.synthetic import labs as synthetic_labs
from clinical_symile.synthetic.oracle import Oracle
from clinical_symile.synthetic.world import WORLD_MODALITIES, World

COHORT = Path(__file__).resolve().parents[2] / "cohorts" / "synthetic" / "cohort.toml"

PARAMETERS = {
    "seed": 0,
    "redundant": 1,
    "unique": 1,
    "synergistic": 3,
    "synergy": 1.0,
    "flip": 0.05,
    "absent": 0.2,
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "source"
    synthetic.write_cohort(folder, subjects=24, **PARAMETERS)
    return folder


@pytest.fixture(scope="module")
def store(hospital) -> CohortStore:
    cohort = read_cohort(COHORT, name="synthetic")
    return prepare(cohort, source=hospital, out=hospital.parent / "store")


def table(folder: Path, name: str) -> Any:
    return pd.read_csv(folder / name)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def hours_after_admission(hospital: Path, ids: Any, times: Any) -> np.ndarray:
    """Admissions are numbered as their studies are."""
    admissions = table(hospital, "mimiciv/hosp/admissions.csv.gz")
    admitted = pd.to_datetime(admissions["admittime"])
    admitted.index = pd.Index(admissions["hadm_id"] - 92_000_000)
    since = pd.to_datetime(times).to_numpy() - admitted[ids % 1_000_000].to_numpy()
    return since / np.timedelta64(1, "h")


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synthetic.write_cohort(tmp_path / name, subjects=3, **{**PARAMETERS, "seed": seed})
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_a_subject_is_the_same_whoever_else_is_written(tmp_path):
    synthetic.write_cohort(tmp_path / "few", subjects=2, **PARAMETERS)
    synthetic.write_cohort(tmp_path / "more", subjects=4, **PARAMETERS)
    few, more = content(tmp_path / "few"), content(tmp_path / "more")
    recordings = [name for name in few if "files/" in name]
    assert recordings
    assert all(few[name] == more[name] for name in recordings)


def test_processes_write_what_one_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_CHUNK", 1)
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 2)
    synthetic.write_cohort(tmp_path / "two", subjects=8, **PARAMETERS)
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 1)
    synthetic.write_cohort(tmp_path / "one", subjects=8, **PARAMETERS)
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_every_file_that_a_table_lists_is_there_and_no_other(hospital):
    records = table(hospital, "mimic-iv-ecg/record_list.csv")["path"]
    expected = {f"mimic-iv-ecg/{record}{end}" for record in records for end in (".hea", ".dat")}
    xrays = table(hospital, "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz")
    expected |= {
        f"mimic-cxr-jpg/files/p{str(x.subject_id)[:2]}/p{x.subject_id}/s{x.study_id}/"
        f"{x.dicom_id}.jpg"
        for x in xrays.itertuples()
    }
    assert {name for name in content(hospital) if "files/" in name} == expected


def test_recordings_are_taken_inside_their_windows(hospital):
    xrays = table(hospital, "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz")
    time = xrays["StudyTime"].astype(int).astype(str).str.zfill(6)
    taken = pd.to_datetime(xrays["StudyDate"].astype(str) + time, format="%Y%m%d%H%M%S")
    hours = hours_after_admission(hospital, xrays["study_id"], taken)
    assert ((hours > 24) & (hours <= 72)).all()
    records = table(hospital, "mimic-iv-ecg/record_list.csv")
    hours = hours_after_admission(hospital, records["study_id"], records["ecg_time"])
    assert (np.abs(hours) <= 24).all()
    events = table(hospital, "mimiciv/hosp/labevents.csv.gz")
    hours = hours_after_admission(hospital, events["labevent_id"] // 100, events["charttime"])
    assert (np.abs(hours) <= 24).all()


def test_findings_are_what_the_xray_shows(hospital):
    truth = table(hospital, "truth/factors.csv.gz").set_index("hadm_id")["shown_cxr"]
    findings = table(hospital, "mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert.csv.gz")
    sign_bits = truth[findings["study_id"] - 3_000_000].to_numpy()
    np.testing.assert_array_equal(findings["Cardiomegaly"].notna(), sign_bits & 1)
    np.testing.assert_array_equal(findings["No Finding"].notna(), sign_bits == 0)


def test_the_progress_ends_at_all_subjects(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "_CHUNK", 2)
    calls = []
    synthetic.write_cohort(
        tmp_path / "source", subjects=3, progress=lambda *call: calls.append(call), **PARAMETERS
    )
    assert calls == [(2, 3), (3, 3)]


def test_a_folder_that_exists_is_not_overwritten(tmp_path):
    with pytest.raises(DataError, match="exists; expected a new folder"):
        synthetic.write_cohort(tmp_path, subjects=1, **PARAMETERS)


def test_every_admission_has_a_modality_and_each_is_absent_as_often(rng):
    present = np.array([synthetic._present(0.5, rng) for _ in range(4000)])
    assert present.any(axis=1).all()
    # absent and some other present: (1/2 - 1/8) / (1 - 1/8) = 3/7
    np.testing.assert_allclose(1 - present.mean(axis=0), 3 / 7, atol=0.03)


def test_what_one_modality_shows_changes_no_other_recording(tmp_path, monkeypatch):
    draw = World.draw

    def turned(self, generator):
        bits, deteriorates = draw(self, generator)
        return bits ^ np.array([[1], [0], [0]]), deteriorates

    synthetic.write_cohort(tmp_path / "a", subjects=2, **{**PARAMETERS, "absent": 0.0})
    monkeypatch.setattr(World, "draw", turned)
    synthetic.write_cohort(tmp_path / "b", subjects=2, **{**PARAMETERS, "absent": 0.0})
    a, b = content(tmp_path / "a"), content(tmp_path / "b")
    assert a.keys() == b.keys()
    changed = {name for name in a if a[name] != b[name]}
    assert {name for name in a if name.endswith(".jpg")} <= changed
    assert all(name.startswith(("mimic-cxr-jpg", "truth")) for name in changed)


def test_wfdb_reads_the_records_that_are_written(tmp_path, rng):
    samples = synthetic_ecg.draw_ecg([1, 0, 1, 0, 1, 0], rng)
    synthetic.write_record(tmp_path / "94000000", samples)
    record: Any = wfdb.rdrecord(str(tmp_path / "94000000"), physical=False)
    np.testing.assert_array_equal(record.d_signal, samples)
    assert tuple(record.sig_name) == synthetic_ecg.RECORDER_LEADS
    assert (record.fs, record.units, record.adc_gain) == (500, ["mV"] * 12, [200.0] * 12)
    assert record.checksum == [int(c) % 65_536 for c in record.calc_checksum()]
    assert record.init_value == samples[0].tolist()


def test_the_store_holds_the_truth_of_each_admission(store, hospital):
    truth = table(hospital, "truth/factors.csv.gz").set_index("hadm_id")
    assert sorted(store.samples["sample"]) == sorted(truth.index)
    for name in WORLD_MODALITIES:
        np.testing.assert_array_equal(
            store.samples[f"kept_shown_{name}"], truth[f"shown_{name}"][store.samples["sample"]]
        )


def test_the_store_finds_each_recording_by_subject_and_time(store, hospital):
    xrays = table(hospital, "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz")
    records = table(hospital, "mimic-iv-ecg/record_list.csv").set_index("study_id")["path"]
    stays = store.samples["sample"].to_numpy() % 1_000_000
    present = dict(zip(store.modalities, store.present.T, strict=True))
    np.testing.assert_array_equal(present["cxr"], np.isin(stays, xrays["study_id"] % 1_000_000))
    np.testing.assert_array_equal(present["ecg"], np.isin(stays, records.index % 1_000_000))
    row = int(np.flatnonzero(present["ecg"])[-1])
    path = hospital / "mimic-iv-ecg" / records[94_000_000 + stays[row]]
    record: Any = wfdb.rdrecord(str(path), channel_names=["V6"])
    lead_v6 = record.p_signal[:, 0]
    np.testing.assert_allclose(store.array("ecg")[row, 11] / 1000, lead_v6, atol=1e-3)


def test_labs_are_the_first_of_each_admission(store, hospital):
    events = table(hospital, "mimiciv/hosp/labevents.csv.gz")
    events = events[events["itemid"] == 50971].sort_values("charttime")
    first = events.groupby(events["labevent_id"] // 100)["valuenum"].first()
    stays = store.samples["sample"] % 1_000_000
    column = [analyte.itemid for analyte in synthetic_labs.SYNTHETIC_PANEL].index(50971)
    np.testing.assert_allclose(
        store.array("labs")[store.present[:, store.modalities.index("labs")], column],
        stays.map(first)[store.present[:, store.modalities.index("labs")]],
        rtol=1e-6,
    )


def test_deterioration_is_intensive_care_after_the_third_day(store, hospital):
    care = table(hospital, "mimiciv/icu/icustays.csv.gz")
    hours = hours_after_admission(hospital, care["hadm_id"], care["intime"])
    late = set(care["hadm_id"][hours > 72])
    np.testing.assert_array_equal(
        store.outcome("deterioration"), store.samples["sample"].isin(late).astype(float)
    )
    assert 0 < store.outcome("deterioration").mean() < 1


def test_a_prepared_store_has_its_oracle(store):
    oracle = Oracle(store)
    rows = store.rows("train")
    scores = oracle.score(rows, store.present[rows], np.tile(rows, (len(rows), 1)), target="cxr")
    assert scores.shape == (len(rows), len(rows))
    assert oracle.total_correlation == pytest.approx(2.8997, abs=1e-4)
