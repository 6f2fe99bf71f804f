"""MIMIC-IV from its raw tables, against what the official scripts made of the same files."""

import csv
import gzip
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.cohort import Cohort, modality_adapters, read_cohort
from clinical_symile.data.ingest.query import make_samples
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import SelectedSamples, read_samples
from clinical_symile.data.ingest.tables import connect, open_tables
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore
from clinical_symile.modalities.ecg import LEADS
from clinical_symile.modalities.labs import read_panel

HEADER_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
FINDINGS = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "enlarged_cardiomediastinum": "Enlarged Cardiomediastinum",
    "fracture": "Fracture",
    "lung_lesion": "Lung Lesion",
    "lung_opacity": "Lung Opacity",
    "pleural_effusion": "Pleural Effusion",
    "pleural_other": "Pleural Other",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "support_devices": "Support Devices",
}


def cohort(catalog: Catalog, preset: str) -> Cohort:
    name = f"mimic_iv/{preset}"
    return read_cohort(catalog.path("cohorts", name), name=name)


def select(source: Path, preset: str, scratch: Path) -> tuple[SelectedSamples, pa.Table]:
    """What the tables hold, and the samples."""
    definition = cohort(open_catalog(), preset)
    adapters, out = modality_adapters(definition), scratch / "samples.arrow"
    scratch.mkdir(exist_ok=True)
    selected = read_samples(definition, adapters, source=source, scratch=scratch, out=out)
    return selected, RowFile(out).table()


def rows(source: Path, preset: str, scratch: Path) -> pd.DataFrame:
    _, samples = select(source, preset, scratch)
    return pd.DataFrame(samples["row"].to_pylist()).set_index("hadm_id")


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "mimic_small"


@pytest.fixture(scope="module")
def source(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden raw files in the folders of the releases."""
    folder = tmp_path_factory.mktemp("mimic")
    with tarfile.open(golden / "raw.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    (folder / "mimiciv/icu").mkdir(parents=True)
    (folder / "hosp").rename(folder / "mimiciv/hosp")
    (folder / "cxr").rename(folder / "mimic-cxr-jpg")
    (folder / "ecg").rename(folder / "mimic-iv-ecg")
    with gzip.open(folder / "mimiciv/icu/icustays.csv.gz", "wt") as stream:
        stream.write("subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los\n")
    return folder


@pytest.fixture(scope="module")
def store(source: Path, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    out = tmp_path_factory.mktemp("official") / "store"
    return prepare(cohort(catalog, "official"), source=source, out=out)


@pytest.fixture(scope="module")
def theirs(golden: Path) -> pd.DataFrame:
    return pd.read_csv(golden / "symile_mimic_data.csv").set_index("hadm_id").sort_index()


def test_official_has_the_admissions_of_the_official_scripts(
    store: CohortStore, theirs: pd.DataFrame, golden: Path
) -> None:
    assert store.samples["sample"].tolist() == theirs.index.tolist()
    cases = json.loads((golden / "edge_cases.json").read_text())
    named = {sample for case in cases.values() for sample in case["hadm_ids"]}
    assert len(named & {*store.samples["sample"]}) == 25
    assert store.manifest["rows"] == 300
    assert sum(store.manifest["left_out"].values()) == 300 - 192
    assert store.manifest["left_out"]["no-findings"] == 4


def test_official_has_the_xray_and_ecg_that_the_official_scripts_chose(
    store: CohortStore, theirs: pd.DataFrame
) -> None:
    for name in ("cxr_path", "ecg_path"):
        assert store.samples[f"kept_{name}"].tolist() == theirs[name].tolist()


def test_official_has_all_lab_values_bit_for_bit(
    source: Path, theirs: pd.DataFrame, tmp_path: Path
) -> None:
    ours = rows(source, "official", tmp_path).loc[theirs.index]
    columns = [name for name in ours.columns if name.startswith("lab_")]
    assert len(columns) == 50
    for column in columns:
        expected = theirs[column.removeprefix("lab_")].to_numpy(dtype=np.float64)
        assert ours[column].to_numpy(dtype=np.float64).tobytes() == expected.tobytes(), column


def test_findings_are_those_of_the_report_on_the_chosen_xray(
    store: CohortStore, theirs: pd.DataFrame
) -> None:
    for outcome, column in FINDINGS.items():
        expected = theirs[column].where(theirs[column].isin([0.0, 1.0]))
        np.testing.assert_array_equal(store.outcome(outcome), expected)
        assert np.isnan(store.outcome(outcome)).any()
    blank_is_no = theirs["No Finding"].fillna(0.0).replace(-1.0, np.nan)
    np.testing.assert_array_equal(store.outcome("no_finding"), blank_is_no)


def test_percentiles_are_the_official_ones_given_the_split(
    source: Path, golden: Path, tmp_path: Path, catalog: Catalog
) -> None:
    ours = rows(source, "official", tmp_path)
    adapter = modality_adapters(cohort(catalog, "official"))["labs"]
    split = pd.read_csv(golden / "train.csv").set_index("hadm_id")
    measured = ours.loc[split.index, list(adapter.columns)].to_numpy(dtype=np.float32)
    statistics = adapter.fit([measured])
    means = json.loads((golden / "labs_means.json").read_text())
    for place, column in enumerate(adapter.columns):
        item = column.removeprefix("lab_")
        known = statistics["distributions"][place]
        share = np.concatenate([[0], np.cumsum(known["counts"])])
        values = np.array(known["values"], dtype=np.float32)
        below = np.searchsorted(values, measured[:, place], side="right")
        percentile = np.where(np.isnan(measured[:, place]), np.nan, share[below] / share[-1])
        np.testing.assert_allclose(percentile, split[f"{item}_percentile"], rtol=0, atol=1e-12)
        mean = statistics["mean_percentile"][place]
        assert mean == pytest.approx(means[f"{item}_percentile"], abs=1e-12)


@pytest.mark.parametrize(("split", "table"), [("val", "val.csv"), ("test", "test.csv")])
def test_ecgs_and_xrays_are_the_official_tensors_after_their_scaling(
    store: CohortStore, golden: Path, split: str, table: str
) -> None:
    summary = json.loads((golden / "tensor_summary.json").read_text())
    samples = pd.read_csv(golden / table)["hadm_id"]
    place = {sample: row for row, sample in enumerate(store.samples["sample"])}
    at = [place[sample] for sample in samples]
    for name, tensors in (("cxr", _their_xrays(store)), ("ecg", _their_ecgs(store))):
        expected = summary[f"{split}/{name}_{split}.pt"]
        ours = [tensors[row] for row in at]
        for statistic, function in (("mean", np.mean), ("std", np.std)):
            np.testing.assert_allclose(
                [function(one, dtype=np.float64) for one in ours],
                expected[f"per_sample_{statistic}"],
                rtol=0,
                atol=1e-5,
            )
        assert min(one.min() for one in ours) == pytest.approx(expected["min"], abs=1e-5)
        assert max(one.max() for one in ours) == pytest.approx(expected["max"], abs=1e-5)


def _their_xrays(store: CohortStore) -> list[np.ndarray]:
    mean, sd = ([[[m]] for m in v] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return [(one.repeat(3, axis=0) / 255.0 - mean) / sd for one in store.array("cxr")]


def _their_ecgs(store: CohortStore) -> list[np.ndarray]:
    order = [LEADS.index(lead) for lead in HEADER_LEADS]
    scaled = []
    for one in store.array("ecg"):
        signal = one[order].T[None] / 1000.0
        scaled.append((signal - signal.min()) / (signal.max() - signal.min()) * 2 - 1)
    return scaled


def test_what_was_passed_over_is_listed_with_its_reason(store: CohortStore) -> None:
    rejected = pd.read_parquet(store.path / "rejected.parquet")
    assert {*rejected["reason"]} == {"file-missing", "nan", "all-zero"}
    in_store = rejected[rejected["sample"].isin(store.samples["sample"])]
    assert {*in_store["modality"]} == {"cxr", "ecg"}


def test_all_has_every_admission_with_two_modalities(source: Path, tmp_path: Path) -> None:
    selected, samples = select(source, "all", tmp_path)
    two = {name: n for name, n in selected.recorded.items() if name.count("+")}
    assert len(samples) == selected.samples == sum(two.values()) > 212
    assert selected.left_out == {"fewer-than-2-recorded": 300 - len(samples)}


def test_all_by_time_holds_out_who_came_last(source: Path, tmp_path: Path) -> None:
    _, samples = select(source, "all_by_time", tmp_path)
    table = samples["split"].to_pylist()
    groups = pd.DataFrame(samples["row"].to_pylist())["anchor_year_group"]
    told = {(split, group) for split, group in zip(table, groups, strict=True)}
    assert told == {
        ("train", "2008 - 2010"),
        ("train", "2011 - 2013"),
        ("train", "unrecorded"),
        ("tuning", "2014 - 2016"),
        ("held_out", "2017 - 2019"),
    }


def test_the_panel_of_all_is_the_official_one_without_specimen_indices(catalog: Catalog) -> None:
    folder = cohort(catalog, "all").folder
    official, ours = (read_panel(folder / name) for name in ("labs_official.csv", "labs.csv"))
    assert len(official) == 50
    assert [one.column for one in official] == sorted(one.column for one in official)
    same = {(one.name, one.loinc, one.column, one.unit) for one in ours}
    left = {(one.name, one.loinc, one.column, one.unit) for one in official} - same
    assert {column for _, _, column, _ in left} == {"lab_50934", "lab_50947", "lab_51678"}
    assert same < {(one.name, one.loinc, one.column, one.unit) for one in official}
    assert all(np.isfinite([one.low, one.high]).all() for one in ours)


# A hospital of one person, written here, for what the golden tables do not have. The person dies in
# admission 10, the last.

ADMISSIONS = (
    "subject_id,hadm_id,admittime,dischtime,deathtime,insurance,race,hospital_expire_flag\n"
    "1,10,2153-01-10 12:00:00,2153-01-20 12:00:00,2153-01-20 11:00:00,Medicare,WHITE - RUSSIAN,1\n"
    "1,11,2151-01-10 12:00:00,2151-01-12 12:00:00,,Other,ASIAN,0\n"
    "1,12,2152-01-10 12:00:00,2152-01-30 12:00:00,,,UNKNOWN,0\n"
)
TABLES = {
    "mimiciv/hosp/admissions.csv.gz": ADMISSIONS,
    "mimiciv/hosp/patients.csv.gz": (
        "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n1,F,63,2148,2008 - 2010,\n"
    ),
    "mimiciv/hosp/labevents.csv.gz": (
        "labevent_id,subject_id,itemid,charttime,valuenum\n"
        "1,1,50912,2153-01-10 13:00:00,1.5\n"
        "2,1,50912,2151-01-10 13:00:00,2.5\n"
        "3,1,50912,2152-01-10 13:00:00,3.5\n"
    ),
    "mimiciv/icu/icustays.csv.gz": (
        "subject_id,hadm_id,stay_id,intime\n"
        "1,10,5,2153-01-12 11:00:00\n"
        "1,10,6,2153-01-10 23:00:00\n"
        "1,12,7,2152-01-12 12:00:01\n"
    ),
    "mimic-iv-ecg/record_list.csv": (
        "subject_id,study_id,file_name,ecg_time,path\n"
        "1,7,7,2153-01-10 12:00:00,e7\n1,8,8,2151-01-11 11:00:00,e8\n1,9,9,2152-01-10 12:00:00,e9\n"
    ),
    "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz": (
        "dicom_id,subject_id,study_id,ViewPosition,StudyDate,StudyTime\n"
        "d,1,90,AP,21530112,80000.5\n"
    ),
    "mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert.csv.gz": ",".join(
        ["subject_id", "study_id", "No Finding", *FINDINGS.values()]
    )
    + "\n",
}


@pytest.fixture
def tiny_mimic(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    for name, text in TABLES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".gz":
            file.write_bytes(gzip.compress(text.encode()))
        else:
            file.write_text(text)
    return folder


def test_an_outcome_comes_with_the_time_at_which_it_is_known(
    tiny_mimic: Path, tmp_path: Path
) -> None:
    told = rows(tiny_mimic, "all", tmp_path / "scratch")
    columns = ["died", "died_known_h", "stayed_168h", "stayed_168h_known_h"]
    columns += ["icu_48h", "icu_48h_known_h"]
    assert told.loc[10, columns].tolist() == [1, 239, True, 168, True, 11]  # to the ICU at 23:00
    assert told.loc[11, columns].tolist() == [0, 48, False, 48, False, 48]
    assert told.loc[12, columns].tolist() == [0, 480, True, 168, False, 48]  # a second too late
    assert told["age_band"].tolist() == ["65-79"] * 3
    assert told["race"].fillna("?").tolist() == ["white", "asian", "?"]
    assert told["insurance"].fillna("?").tolist() == ["medicare", "other", "?"]


def test_an_outcome_known_before_the_last_measurement_is_unknown(
    tiny_mimic: Path, tmp_path: Path, catalog: Catalog, write_ecg, write_image
) -> None:
    """The X-ray of admission 10 was taken after 44 hours, when its patient was in the ICU."""
    rng = np.random.default_rng(0)
    for name in ("e7", "e8", "e9"):
        write_ecg(tiny_mimic / "mimic-iv-ecg" / name, rng.normal(0, 0.3, (5000, 12)))
    xray = tiny_mimic / "mimic-cxr-jpg/files/p1/p1/s90/d.jpg"
    write_image(xray, rng.integers(0, 256, (400, 400), dtype=np.uint8))
    store = prepare(cohort(catalog, "all"), source=tiny_mimic, out=tmp_path / "store")
    assert store.samples["sample"].tolist() == [10, 11, 12]
    np.testing.assert_array_equal(store.outcome("icu_within_48h"), [np.nan, 0, 0])
    np.testing.assert_array_equal(store.outcome("in_hospital_mortality"), [1, 0, 0])
    np.testing.assert_array_equal(store.outcome("length_of_stay_over_7_days"), [1, 0, 1])
    assert store.manifest["already_known"] == {
        "in_hospital_mortality": 0,
        "length_of_stay_over_7_days": 0,
        "icu_within_48h": 1,
    }


@pytest.mark.parametrize(
    ("admissions", "dod", "expected"),
    [
        # times of admission, discharge and death, and hospital_expire_flag
        (["01-10 12:00,01-20 12:00,01-20 11:00,1", "01-20 12:01,01-21 12:00,,0"], "", [1, None]),
        (["01-10 12:00,01-20 12:00,,1", "01-20 12:00,01-21 12:00,,0"], "", [1, None]),
        (["01-10 12:00,01-20 12:00,,0", "01-22 12:00,01-23 12:00,,0"], "01-21", [0, None]),
        (["01-10 12:00,01-20 12:00,,0", "01-22 12:00,01-23 12:00,,1"], "01-21", [0, None]),
        (["01-10 12:00,01-20 12:00,,0"], "01-19", [None]),  # left alive the day after the death
        (["01-10 12:00,01-20 12:00,,0"], "01-20", [0]),  # of a day, no time is known
        (["01-10 12:00,01-20 12:00,01-20 12:00,1"], "01-20", [1]),
        (["01-10 12:00,01-10 12:00,01-10 12:00,1"], "01-10", [1]),  # dead on arrival
        (["01-10 12:00,01-11 12:00,01-10 11:00,1"], "01-10", [None]),
    ],
)
def test_nobody_survives_an_admission_that_begins_after_the_death(
    tiny_mimic: Path,
    tmp_path: Path,
    admissions: list[str],
    dod: str,
    expected: list[int | None],
) -> None:
    lines = [ADMISSIONS.splitlines()[0]]
    for place, line in enumerate(admissions):
        admitted, discharged, died, flag = line.split(",")
        times = ",".join(f"2150-{time}:00" if time else "" for time in (admitted, discharged, died))
        lines.append(f"1,{10 + place},{times},Medicare,WHITE,{flag}")
    patients = TABLES["mimiciv/hosp/patients.csv.gz"].strip() + (f"2150-{dod}" if dod else "")
    for name, text in (("admissions", "\n".join(lines)), ("patients", patients)):
        file = tiny_mimic / f"mimiciv/hosp/{name}.csv.gz"
        file.write_bytes(gzip.compress(text.encode() + b"\n"))
    with connect() as connection:
        definition = cohort(open_catalog(), "all")
        open_tables(connection, definition, tiny_mimic)
        make_samples(connection, definition, tiny_mimic)
        columns = "died, stayed_168h IS NULL, icu_48h IS NULL"
        found = connection.execute(f"SELECT {columns} FROM _samples ORDER BY hadm_id").fetchall()
    assert [died for died, *_ in found] == expected
    # Of an admission after the death no other outcome is known either.
    after = [died is None and dod != "01-19" for died, *_ in found]
    assert [stayed for _, stayed, _ in found] == [icu for *_, icu in found] == after


def test_columns_of_other_versions_make_no_difference(tiny_mimic: Path, tmp_path: Path) -> None:
    """Version 3.1 has other orders and further columns than 2.2."""
    expected = rows(tiny_mimic, "all", tmp_path / "scratch")
    for name in TABLES:
        file = tiny_mimic / name
        text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else None
        table = list(csv.reader((text or file.read_text()).splitlines()))
        turned = "\n".join(",".join([*reversed(line), f"x{n}"]) for n, line in enumerate(table))
        turned += "\n"
        file.write_bytes(gzip.compress(turned.encode()) if text else turned.encode())
    pd.testing.assert_frame_equal(rows(tiny_mimic, "all", tmp_path / "again"), expected)
