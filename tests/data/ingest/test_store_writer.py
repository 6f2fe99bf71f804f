"""Tables and arrays of a store, and statistics of the train samples."""

import shutil

import numpy as np
import pandas as pd

from clinical_symile.modalities.cxr import Cxr
from tests.helpers.hospital import Hospital, break_xray, run

CANDIDATES = """
SELECT * EXCLUDE (xray, ward, died), CASE WHEN admission = 102 THEN NULL ELSE [
    {'xray': 'none.jpg', 'ward': 'first', 'died': 'yes'},
    {'xray': xray, 'ward': 'second', 'died': 'no'},
    {'xray': '100.jpg', 'ward': 'third', 'died': 'yes'}
] END AS xrays
FROM admissions
"""


def with_candidates(hospital: Hospital, query: str = CANDIDATES) -> None:
    (hospital.definition.parent / "samples.sql").write_text(query)
    hospital.edit("[modalities.cxr]", '[modalities.cxr]\ncandidates = "xrays"')


def test_what_is_stored_is_what_the_adapter_reads(hospital: Hospital) -> None:
    store = run(hospital)
    adapter = Cxr(hospital.source, path="xray/{xray}", size_px=32)
    for row, sample in enumerate(store.samples["sample"]):
        read = adapter.read({"xray": f"{sample}.jpg"}, hospital.source) if sample != 102 else None
        expected = np.zeros((1, 32, 32), dtype=np.uint8) if read is None else read
        np.testing.assert_array_equal(store.array("cxr")[row], expected)
    np.testing.assert_array_equal(
        store.array("labs")[:2], np.array([[1, 4], [2, np.nan]], dtype=np.float32)
    )


def test_statistics_come_from_training_samples_alone(hospital: Hospital) -> None:
    store = run(hospital)
    labs = store.manifest["modalities"]["labs"]["statistics"]
    assert labs["distributions"][0] == {"values": [1.0, 1.5, 2.0], "counts": [1, 1, 1]}
    signal = store.array("ecg")[[0, 1, 2, 4]].astype(float) / 1000
    ecg = store.manifest["modalities"]["ecg"]["statistics"]
    np.testing.assert_allclose(ecg["sd_mv"], signal.std(axis=(0, 2)), rtol=1e-9)


def test_changing_held_out_values_changes_no_training_input(hospital: Hospital) -> None:
    before = run(hospital)
    admissions = hospital.admissions
    admissions.loc[admissions["split"] == "held_out", "crea"] *= 100
    hospital.write(admissions)
    hospital.out = hospital.out.with_name("other")
    after = run(hospital)
    assert before.digest != after.digest
    for modality in before.modalities:
        np.testing.assert_array_equal(
            before.inputs(modality, before.rows("train")),
            after.inputs(modality, after.rows("train")),
        )


def test_a_sample_whose_only_recording_is_broken_is_left_out_and_counted(
    hospital: Hospital,
) -> None:
    break_xray(hospital)
    admissions = hospital.admissions
    admissions.loc[admissions["admission"] == 106, ["ecg", "crea", "k"]] = None
    hospital.write(admissions)
    store = run(hospital)
    assert 106 not in set(store.samples["sample"])
    assert store.manifest["left_out"] == {"nothing-recorded": 1, "nothing-usable": 1}
    assert len(store.array("ecg")) == len(store.samples) == 7


def test_a_sample_without_a_required_value_is_left_out_and_counted(hospital: Hospital) -> None:
    hospital.edit('keep = ["ward"]', 'required = ["died"]')
    store = run(hospital)
    assert 104 not in store.samples["sample"].tolist()
    assert store.manifest["left_out"] == {"nothing-recorded": 1, "no-died": 1}


def test_the_first_candidate_that_can_be_used_is_taken_with_its_fields(hospital: Hospital) -> None:
    expected = {row: run(hospital).array("cxr")[row] for row in (0, 4)}
    shutil.rmtree(hospital.out)
    with_candidates(hospital)
    (hospital.source / "xray/104.jpg").unlink()
    store = run(hospital)
    assert store.samples["sample"].tolist() == [100, 101, 102, 103, 104, 105, 106, 107, 108]
    wards = store.samples.set_index("sample")["kept_ward"].fillna("none")
    assert (wards[100], wards[102], wards[104]) == ("second", "none", "third")
    labels = dict(zip(store.samples["sample"], store.outcome("died"), strict=True))
    assert (labels[100], labels[104]) == (0, 1)
    assert np.isnan(labels[102])
    np.testing.assert_array_equal(store.array("cxr")[0], expected[0])
    np.testing.assert_array_equal(store.array("cxr")[4], expected[0])  # that of 100
    rejected = pd.read_parquet(store.path / "rejected.parquet")
    assert rejected.loc[rejected["sample"] == 104, "file"].tolist() == ["none.jpg", "104.jpg"]
    assert store.manifest["rejected"]["cxr"] == {"file-missing": 9}


def test_an_outcome_that_was_known_when_things_were_measured_is_unknown(hospital: Hospital) -> None:
    hospital.edit('keep = ["ward"]', 'measurement_hours = ["xray_h", "ecg_h"]')
    hospital.edit('column = "died"', 'column = "died"\nknown = "died_h"')
    table = hospital.admissions.assign(xray_h=30.0, ecg_h=-2.0, died="yes", died_h=31.0)
    table.loc[1, "died_h"] = 30.0
    table.loc[2, ["died_h", "xray_h"]] = [5.0, None]
    table.loc[3, "died_h"] = None
    table.loc[[4, 5], "died"] = ["no", "?"]
    hospital.write(table)
    store = run(hospital)
    np.testing.assert_array_equal(store.outcome("died"), [1, np.nan, 1, np.nan, 0, np.nan, 1, 1])
    assert store.manifest["already_known"] == {"died": 2}
