"""The manifest of a store counts what was kept and what was not."""

import json
import shutil

from tests.helpers.hospital import Hospital, run


def test_the_manifest_counts_samples_and_reasons(hospital: Hospital) -> None:
    manifest = run(hospital).manifest
    assert manifest["left_out"] == {"nothing-recorded": 1}
    assert manifest["counts"]["train"] == {
        "samples": 5,
        "subjects": 4,
        "present": {"cxr": 4, "ecg": 4, "labs": 4},
        "patterns": {"cxr+ecg": 1, "cxr+ecg+labs": 2, "cxr+labs": 1, "ecg+labs": 1},
    }
    counts = {"positive": 1, "negative": 2, "uncertain": 1, "unknown": 1}
    assert manifest["outcomes"]["died"]["train"] == counts
    assert manifest["modalities"]["ecg"]["unit"] == "uV"
    assert manifest["modalities"]["labs"]["parts"] == ["Creatinine", "Potassium"]


def test_the_worse_end_of_a_modality_is_in_the_manifest_and_changes_no_data(
    hospital: Hospital,
) -> None:
    plain = run(hospital).manifest
    hospital.edit("[modalities.ecg]", '[modalities.ecg]\nworse_with = "died"')
    shutil.rmtree(hospital.out)
    manifest = run(hospital).manifest
    assert (plain["worse_with"], manifest["worse_with"]) == ({}, {"ecg": "died"})
    assert plain["digest"] == manifest["digest"]
    assert plain["cohort_digest"] != manifest["cohort_digest"]


def test_fast_decoding_is_in_the_manifest_and_exact_decoding_adds_nothing(
    hospital: Hospital,
) -> None:
    plain = run(hospital).manifest["modalities"]
    assert not any("decoding" in about for about in plain.values())
    hospital.edit("size_px = 32", "size_px = 32\nfast_decode = true")
    shutil.rmtree(hospital.out)
    manifest = run(hospital).manifest["modalities"]
    assert manifest["cxr"]["decoding"] == {"fast_decode": True}
    assert "decoding" not in manifest["ecg"]


def test_implausible_labs_are_counted_in_the_manifest(hospital: Hospital) -> None:
    (hospital.definition.parent / "labs.csv").write_text(
        "analyte,loinc,column,unit,low,high\n"
        "Creatinine,2160-0,crea,mg/dL,0,3\nPotassium,2823-3,k,mmol/L,4,\n"
    )
    manifest = run(hospital).manifest
    assert manifest["implausible"] == {"labs": {"Creatinine": 1, "Potassium": 1}}
    assert manifest["rejected"]["labs"] == {"implausible": 1}


def test_the_manifest_holds_no_time_and_no_path(hospital: Hospital) -> None:
    text = json.dumps(run(hospital).manifest)
    assert str(hospital.source.parent) not in text
