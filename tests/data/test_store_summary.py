import json
from dataclasses import replace
from pathlib import Path

from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_summary import store_summary, write_summary
from clinical_symile.tracking.checksums import read_checksums
from clinical_symile.tracking.snapshot import read_dataset


def test_the_schema_has_shapes_and_units_of_modalities_and_analytes(hospital_store: CohortStore):
    summary = store_summary(hospital_store)
    schema = {line["name"]: line["type"] for line in summary["schema"]}
    manifest = hospital_store.manifest
    assert (
        schema["cxr"]
        == "uint8, 1 \N{MULTIPLICATION SIGN} 32 \N{MULTIPLICATION SIGN} 32, grey level"
    )
    panel = dict(
        zip(manifest["modalities"]["labs"]["parts"], manifest["units"]["labs"], strict=True)
    )
    assert panel
    assert {name: f"float32, {unit}" for name, unit in panel.items()} == {
        name.removeprefix("labs."): kind
        for name, kind in schema.items()
        if name.startswith("labs.")
    }
    assert (summary["cohort"], summary["store_digest"]) == ("small", hospital_store.digest)


def test_the_profile_withholds_counts_below_ten(
    hospital_store: CohortStore, synthetic_store: CohortStore
):
    few = store_summary(hospital_store)["profile"]
    assert few["train samples"] == few["held_out subjects"] == "<10"
    assert set(few.values()) <= {"<10", "0"}
    profile, counts = store_summary(synthetic_store)["profile"], synthetic_store.manifest["counts"]
    assert profile["train samples"] == str(counts["train"]["samples"])
    assert len(profile) == len(counts) * (2 + len(synthetic_store.modalities))
    for split, one in counts.items():
        for name, number in one["present"].items():
            # Neither a small count nor a small remainder is shown.
            if number < 10 or 0 < one["samples"] - number < 10:
                assert profile[f"{split} with {name}"] != str(number)


def test_a_store_without_a_tuning_split_has_the_coarsest_step(synthetic_store: CohortStore):
    assert store_summary(synthetic_store)["synthetic"] is True
    counts = {name: one for name, one in synthetic_store.manifest["counts"].items()}
    del counts["tuning"]
    store = replace(synthetic_store, manifest={**synthetic_store.manifest, "counts": counts})
    assert store_summary(store)["tuning_step"] == 0.1


def test_a_run_folder_gets_the_summary_once(hospital_store: CohortStore, tmp_path: Path):
    write_summary(tmp_path, hospital_store)
    file = tmp_path / "dataset.json"
    written = file.stat().st_ino
    write_summary(tmp_path, hospital_store)
    assert file.stat().st_ino == written
    assert "dataset.json" in (read_checksums(tmp_path) or {})
    assert read_dataset(tmp_path) == json.loads(file.read_text()) == store_summary(hospital_store)
