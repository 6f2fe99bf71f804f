"""Which rows become samples, and from which files."""

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.prepare import prepare
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital, break_xray, refusal, run


def test_a_row_with_a_reason_against_it_is_no_sample_and_counted(hospital: Hospital) -> None:
    hospital.edit('keep = ["ward"]', 'keep = ["ward"]\nleft_out = "why"')
    table = hospital.admissions.assign(why=None)
    table["why"] = table["why"].astype(object)
    table.loc[[0, 3], "why"] = "transferred"
    table.loc[8, "why"] = "child"
    table.loc[0, "split"] = "none at all"  # what is left out need not be in order otherwise
    hospital.write(table)
    store = run(hospital)
    assert store.samples["sample"].tolist() == [101, 102, 104, 105, 106, 107]
    assert store.manifest["left_out"] == {"child": 1, "transferred": 2}


def test_another_part_of_a_table_makes_another_store(hospital: Hospital) -> None:
    hospital.edit('"admissions.csv"', '"parts/*.csv"')
    (hospital.source / "parts").mkdir()
    hospital.admissions.to_csv(hospital.source / "parts/0.csv", index=False)
    run(hospital)
    more = pd.DataFrame({"admission": [200], "person": [20], "split": ["train"], "crea": [1.0]})
    more.to_csv(hospital.source / "parts/1.csv", index=False)
    with pytest.raises(DataError, match="from another definition, other tables"):
        run(hospital)


@pytest.mark.slow
def test_ties_of_a_query_are_broken_in_the_same_way_each_time(hospital: Hospital) -> None:
    """Several threads would take the rows of a large table in another order each time."""
    rows = 150_000
    visits = pd.DataFrame({"a": np.arange(rows) % 5000, "b": np.arange(rows) % 97})
    visits.to_csv(hospital.source / "visits.csv", index=False)
    hospital.edit("[tables]\n", '[tables]\nvisits = "visits.csv"\n')
    (hospital.definition.parent / "samples.sql").write_text(
        "WITH first AS (SELECT a, b FROM visits QUALIFY row_number() OVER (PARTITION BY a) = 1) "
        "SELECT *, (SELECT sum(a * b) FROM first) AS total FROM admissions"
    )
    hospital.edit('keep = ["ward"]', 'keep = ["ward", "total"]')
    totals = set()
    for number in range(4):
        cohort = read_cohort(hospital.definition, name="small")
        out = hospital.out.with_name(f"store-{number}")
        store = prepare(cohort, source=hospital.source, out=out)
        totals.add(store.samples["kept_total"].iloc[0])
    assert len(totals) == 1


def test_a_sample_has_as_many_modalities_as_the_cohort_asks_for(hospital: Hospital) -> None:
    hospital.edit('keep = ["ward"]', "at_least = 3")
    (hospital.source / "xray/106.jpg").write_bytes(b"no image")
    store = run(hospital)
    assert store.samples["sample"].tolist() == [100, 101, 105, 107]
    assert store.manifest["rows"] == 9
    assert store.manifest["left_out"] == {"fewer-than-3-recorded": 4, "fewer-than-3-usable": 1}
    assert store.manifest["recorded"] == {
        "cxr+ecg+labs": 5,
        "cxr+ecg": 1,
        "cxr+labs": 1,
        "ecg+labs": 1,
        "": 1,
    }


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
