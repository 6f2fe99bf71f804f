import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest import decode
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import ClinicalSymileError, DataError, DefinitionError
from clinical_symile.modalities.cxr import Cxr
from clinical_symile.tracking.progress import Progress
from tests.helpers.hospital import Hospital


def run(hospital: Hospital, progress: Progress = lambda done, total: None) -> CohortStore:
    cohort = read_cohort(hospital.definition, name="small")
    return prepare(cohort, source=hospital.source, out=hospital.out, progress=progress)


def refusal(hospital: Hospital, kind: type[ClinicalSymileError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        run(hospital)
    assert not hospital.out.exists()
    return str(caught.value)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_store_has_every_sample_with_some_recording_in_order(hospital: Hospital) -> None:
    store = run(hospital)
    assert store.samples["sample"].tolist() == list(range(100, 108))
    assert store.samples["split"].tolist() == ["train"] * 5 + ["tuning", "held_out", "held_out"]
    expected = np.ones((8, 3), dtype=bool)
    expected[2, 0] = expected[3, 1] = expected[4, 2] = False
    np.testing.assert_array_equal(store.present, expected)
    assert not hospital.out.with_name("store.partial").exists()


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


def test_implausible_labs_are_counted_in_the_manifest(hospital: Hospital) -> None:
    (hospital.definition.parent / "labs.csv").write_text(
        "analyte,loinc,column,unit,low,high\n"
        "Creatinine,2160-0,crea,mg/dL,0,3\nPotassium,2823-3,k,mmol/L,4,\n"
    )
    manifest = run(hospital).manifest
    assert manifest["implausible"] == {"labs": {"Creatinine": 1, "Potassium": 1}}
    assert manifest["rejected"]["labs"] == {"implausible": 1}


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


def test_the_same_input_gives_the_same_bytes_however_many_work(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(hospital)
    alone = hospital.out
    hospital.out = hospital.out.with_name("together")
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    monkeypatch.setattr(workers, "SINGLE_PROCESS_LIMIT", 0)
    monkeypatch.setattr(decode, "available_cores", lambda: 2)
    run(hospital)
    assert files(alone) == files(hospital.out)


def test_the_order_of_rows_in_the_table_does_not_matter(hospital: Hospital) -> None:
    digest = run(hospital).digest
    hospital.write(hospital.admissions.sort_values("admission", ascending=False))
    hospital.out = hospital.out.with_name("other")
    assert run(hospital).digest == digest


def test_a_second_run_does_nothing(hospital: Hospital) -> None:
    first = run(hospital)
    written = {path: path.stat().st_mtime_ns for path in hospital.out.iterdir()}
    assert run(hospital).digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in hospital.out.iterdir()} == written


def test_a_store_of_something_else_is_not_overwritten(hospital: Hospital) -> None:
    run(hospital)
    before = files(hospital.out)
    hospital.write(hospital.admissions.assign(ward="z"))
    with pytest.raises(DataError, match="holds a store of cohort 'small' from another definition"):
        run(hospital)
    assert files(hospital.out) == before


def test_a_folder_that_is_no_store_is_not_overwritten(hospital: Hospital) -> None:
    hospital.out.mkdir()
    (hospital.out / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="exists and is not a cohort store"):
        run(hospital)
    partial = hospital.out.with_name("new.partial")
    hospital.out.rename(partial)
    hospital.out = hospital.out.with_name("new")
    with pytest.raises(DataError, match="exists and is no unfinished store"):
        run(hospital)
    assert (partial / "thesis.txt").exists()


def test_an_empty_folder_is_used(hospital: Hospital) -> None:
    hospital.out.mkdir()
    assert len(run(hospital).samples) == 8


def test_an_interrupted_run_goes_on_where_it_stopped(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    whole = run(hospital)
    expected = files(hospital.out)
    shutil.rmtree(whole.path)

    def stop(done: int, total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(hospital, progress=stop)
    assert not hospital.out.exists()
    partial = hospital.out.with_name("store.partial")
    with (partial / "verdicts.jsonl").open("a") as journal:
        journal.write('{"first": 4, "pres')  # what a kill in the middle of a line leaves
    for name in ("100", "101", "102", "103"):  # these are not read again
        (hospital.source / "ecg" / f"{name}.dat").write_bytes(b"")
    available: list[int] = []
    run(hospital, progress=lambda done, total: available.append(done))
    assert available == [6, 8]
    assert files(hospital.out) == expected


def test_a_run_that_is_interrupted_twice_with_a_line_cut_off_goes_on(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    whole = run(hospital)
    expected = files(hospital.out)
    shutil.rmtree(whole.path)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    journal = hospital.out.with_name("store.partial") / "verdicts.jsonl"
    for lines in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(hospital, progress=stop)
        assert journal.read_bytes().count(b"\n") == lines
        with journal.open("a") as stream:
            stream.write('{"first": 6, "pres')
    run(hospital)
    assert files(hospital.out) == expected


def test_an_unfinished_store_of_something_else_is_begun_anew(hospital: Hospital) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(hospital, progress=stop)
    hospital.write(hospital.admissions.assign(ward="z"))
    assert set(run(hospital).samples["kept_ward"]) == {"z"}


@pytest.mark.parametrize(
    ("old", "new"), [("xray/{xray}", "elsewhere/{xray}"), ('"person"', '"patient"')]
)
def test_what_fails_before_anything_was_decoded_leaves_nothing_behind(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setattr(decode, "MIN_MISSING_FILES", 2)
    hospital.edit(old, new)
    refusal(hospital)
    assert not hospital.out.with_name("store.partial").exists()


def test_progress_counts_samples(hospital: Hospital) -> None:
    available: list[tuple[int, int]] = []
    run(hospital, progress=lambda done, total: available.append((done, total)))
    assert available == [(8, 8)]  # the ninth admission has no recording


def break_xray(hospital: Hospital) -> None:
    file = hospital.source / "xray/106.jpg"
    file.write_bytes(file.read_bytes()[:-600])


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


DYING = """
import os
from multiprocessing import parent_process
from pathlib import Path
from clinical_symile.modalities.cxr import Cxr

class DyingCxr(Cxr):
    def __init__(self, folder: Path, *, path: str, size_px: int):
        super().__init__(folder, path=path, size_px=size_px)

    def read(self, row, root, note):
        if row["xray"] == "106.jpg" and parent_process():
            os._exit(11)
        return super().read(row, root, note)
"""


def test_a_file_that_kills_the_process_that_reads_it_is_rejected_alone(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/dying.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setattr(workers, "CHUNK_SIZE", 3)
    monkeypatch.setattr(workers, "SINGLE_PROCESS_LIMIT", 0)
    monkeypatch.setattr(decode, "available_cores", lambda: 2)
    hospital.edit("[modalities.cxr]", '[modalities.cxr]\nadapter = "dying:DyingCxr"')
    store = run(hospital)
    assert store.manifest["rejected"] == {"cxr": {"process-died": 1}, "ecg": {}, "labs": {}}
    (rejected,) = pd.read_parquet(store.path / "rejected.parquet").to_dict("records")
    assert (rejected["sample"], rejected["file"]) == (106, "106.jpg")
    expected = np.ones((8, 3), dtype=bool)
    expected[[2, 6], 0] = expected[3, 1] = expected[4, 2] = False
    np.testing.assert_array_equal(store.present, expected)
    assert store.array("ecg")[6].any()


def test_what_a_killed_run_was_removing_is_removed(hospital: Hospital) -> None:
    waste = hospital.out.with_name("store.partial.waste")
    waste.mkdir()
    (waste / "cxr.npy").write_bytes(b"half")
    run(hospital)
    partial = hospital.out.with_name("store.partial")
    partial.mkdir()  # killed when the store already had its name
    (partial / "key").write_text("of it")
    run(hospital)
    assert {path.name for path in hospital.out.parent.glob("store*")} == {"store"}


def test_a_truncated_xray_is_counted(hospital: Hospital) -> None:
    break_xray(hospital)
    assert run(hospital).manifest["rejected"]["cxr"] == {"truncated": 1}


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


def test_a_row_that_repeats_another_in_full_is_counted_once(hospital: Hospital) -> None:
    hospital.write(pd.concat([hospital.admissions, hospital.admissions.head(2)]))
    store = run(hospital)
    assert len(store.samples) == 8
    assert store.manifest["left_out"] == {"nothing-recorded": 1, "repeated-row": 2}


def test_samples_with_rows_that_differ_are_refused(hospital: Hospital) -> None:
    hospital.write(pd.concat([hospital.admissions, hospital.admissions[:2].assign(k=9.0)]))
    told = refusal(hospital)
    assert "2 samples have several rows that differ, such as 100, 101; expected one row" in told


def test_a_subject_in_two_splits_is_refused(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.assign(person=1))
    assert "1 subjects are in several splits, such as 1; expected each in one" in refusal(hospital)


def test_all_that_is_wrong_with_the_rows_is_told_at_once(hospital: Hospital) -> None:
    admissions = hospital.admissions
    admissions["person"] = admissions["person"].astype("Int64")
    admissions.loc[0, "person"] = None
    admissions.loc[1, "split"] = "validation"
    hospital.write(pd.concat([admissions, admissions[5:6].assign(k=9.0)]))
    told = refusal(hospital)
    assert "1 rows have no subject" in told
    assert "the split holds 1 other values than train, tuning, held_out. Check" in told
    assert "validation" not in told, "a wrong column would be shown"
    assert "1 samples have several rows that differ" in told


def test_missing_columns_are_told_together_with_what_needs_them(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.drop(columns=["k", "died", "person"]))
    told = refusal(hospital)
    assert "no column 'k', which modalities.labs needs" in told
    assert "no column 'died', which outcomes.died needs" in told
    assert "no column 'person', which samples.subject needs" in told


def test_missing_tables_are_told_together(hospital: Hospital) -> None:
    hospital.edit("[tables]", '[tables]\nb = "b.csv"\nc = "c/d.parquet"')
    told = refusal(hospital)
    assert f"{hospital.source / 'b.csv'}: no such file; expected tables.b of cohort 'small'" in told
    assert "c/d.parquet: no such file" in told


def test_a_missing_source_is_told(hospital: Hospital) -> None:
    hospital.source = hospital.source / "elsewhere"
    assert "elsewhere: no such folder; expected the files of 'small'" in refusal(hospital)


def test_labs_that_are_not_numbers_are_refused_without_telling_them(hospital: Hospital) -> None:
    admissions = hospital.admissions.astype({"crea": object, "k": object})
    admissions.loc[2:3, "crea"] = "sekret"
    admissions.loc[5, "k"] = "<0.01"
    hospital.write(admissions)
    told = refusal(hospital)
    assert "column 'crea' holds 2 values that are not numbers" in told
    assert "column 'k' holds 1 values that are not numbers" in told
    assert "sekret" not in told
    assert "<0.01" not in told


def test_a_query_that_names_a_column_that_is_not_there_is_told(hospital: Hospital) -> None:
    (hospital.definition.parent / "samples.sql").write_text("SELECT admision FROM admissions")
    told = refusal(hospital)
    assert 'samples.sql: Binder Error: Referenced column "admision" not found' in told
    assert "Correct the query, or the tables" in told


@pytest.mark.parametrize("failing", ["CAST(xray AS DATE)", "strptime(xray, '%Y')"])
def test_a_query_that_fails_on_a_value_does_not_tell_it(hospital: Hospital, failing: str) -> None:
    query = f"SELECT * REPLACE ({failing} AS xray) FROM admissions"
    (hospital.definition.parent / "samples.sql").write_text(query)
    told = refusal(hospital)
    assert "samples.sql: DuckDB stopped with a" in told
    assert ".jpg" not in told


@pytest.mark.parametrize("query", ["DROP VIEW admissions", "", "SELECT 1; SELECT 2"])
def test_a_query_must_be_one_that_returns_rows(hospital: Hospital, query: str) -> None:
    (hospital.definition.parent / "samples.sql").write_text(query)
    assert "samples.sql: " in refusal(hospital)


def test_a_query_without_rows_is_refused(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.head(0))
    assert "no rows; expected one per sample" in refusal(hospital)


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


def test_a_cohort_without_any_usable_recording_is_refused(hospital: Hospital) -> None:
    for name in ("xray", "ecg"):
        shutil.rmtree(hospital.source / name)
    hospital.write(hospital.admissions.assign(crea=None, k=None))
    told = refusal(hospital)
    assert "none of 9 rows became a sample; found" in told
    assert "7 cxr file-missing, 7 ecg file-missing" in told


def test_a_modality_that_cannot_be_made_stops_before_anything_is_read(hospital: Hospital) -> None:
    (hospital.definition.parent / "labs.csv").unlink()
    assert "expected a lab panel" in refusal(hospital, DefinitionError)


def test_a_drawn_split_keeps_subjects_together_and_does_not_depend_on_their_samples(
    hospital: Hospital,
) -> None:
    hospital.edit('split = "split"', "split = { tuning = 0.25, held_out = 0.25, seed = 0 }")
    first = run(hospital).samples
    pairs = set(zip(first["subject"], first["split"], strict=True))
    assert sorted(subject for subject, _ in pairs) == [1, 2, 3, 4, 5, 6, 7]
    assert {split for _, split in pairs} == {"train", "tuning", "held_out"}
    break_xray(hospital)
    hospital.out = hospital.out.with_name("other")
    assert run(hospital).samples["split"].tolist() == first["split"].tolist()


def split_tables(hospital: Hospital) -> None:
    """Turn the cohort into one of a table per split, as released datasets are."""
    hospital.edit('sql = "samples.sql"', 'tables = { train = "a.csv", held_out = "b.parquet" }')
    hospital.edit('split = "split"', "")
    hospital.edit('[tables]\nadmissions = "admissions.csv"', "")
    admissions = hospital.admissions.drop(columns="split")
    admissions[:5].to_csv(hospital.source / "a.csv", index=False)
    admissions[6:8].to_parquet(hospital.source / "b.parquet", index=False)


def test_tables_per_split_are_read_as_such(hospital: Hospital) -> None:
    split_tables(hospital)
    store = run(hospital)
    assert store.samples["split"].tolist() == ["train"] * 5 + ["held_out"] * 2


def test_a_lab_that_one_table_never_has_stays_a_number_in_the_others(hospital: Hospital) -> None:
    split_tables(hospital)
    table = pd.read_csv(hospital.source / "a.csv")
    table.assign(k=None, died=None).to_csv(hospital.source / "a.csv", index=False)
    store = run(hospital)
    np.testing.assert_array_equal(
        store.array("labs")[5:, 1], np.array([4.1, 4.2], dtype=np.float32)
    )
    np.testing.assert_array_equal(store.outcome("died")[5:], [1, 0])


def test_a_file_name_that_looks_like_a_number_keeps_its_zeros(hospital: Hospital) -> None:
    split_tables(hospital)
    table = pd.read_csv(hospital.source / "a.csv", dtype={"ecg": str})
    for suffix in ("hea", "dat"):
        old = hospital.source / f"ecg/100.{suffix}"
        old.with_stem("007").write_bytes(old.read_bytes().replace(b"100 ", b"007 "))
    header = hospital.source / "ecg/007.hea"
    header.write_text(header.read_text().replace("100.dat", "007.dat"))
    table.loc[0, "ecg"] = "007"
    table.to_csv(hospital.source / "a.csv", index=False)
    assert run(hospital).manifest["rejected"]["ecg"] == {}


def test_published_candidates_become_rows(hospital: Hospital) -> None:
    text = '[candidates.held_out]\ntable = "lists.csv"\nquery = "q"\ncandidate = "c"\n[tables]'
    hospital.edit("[tables]", text)
    lists = pd.DataFrame({"q": [106, 106, 107, 107], "c": [106, 107, 107, 108]})
    lists.to_csv(hospital.source / "lists.csv", index=False)
    store = run(hospital)  # 108 has no recording, so it is nobody's candidate
    assert store.candidates is not None
    assert store.candidates.to_dict("list") == {
        "query": [6, 6, 7],
        "candidate": [6, 7, 7],
        "split": ["held_out"] * 3,
    }
    assert store.manifest["unlisted_candidates"] == 1


def test_a_candidate_table_without_its_columns_is_told(hospital: Hospital) -> None:
    text = '[candidates.held_out]\ntable = "lists.csv"\nquery = "q"\ncandidate = "c"\n[tables]'
    hospital.edit("[tables]", text)
    (hospital.source / "lists.csv").write_text("q,d\n1,2\n")
    assert "no column 'c', which candidates.held_out needs" in refusal(hospital)


def test_the_manifest_holds_no_time_and_no_path(hospital: Hospital) -> None:
    text = json.dumps(run(hospital).manifest)
    assert str(hospital.source.parent) not in text
