"""Which rows become samples, and from which files."""

import shutil
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.tables import source_files
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital


def run(hospital: Hospital) -> CohortStore:
    cohort = read_cohort(hospital.definition, name="small")
    return prepare(cohort, source=hospital.source, out=hospital.out)


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


def test_a_table_may_be_many_files(hospital: Hospital) -> None:
    hospital.edit('"admissions.csv"', '"parts/*.csv"')
    (hospital.source / "parts").mkdir()
    whole = hospital.admissions
    for number, part in enumerate((whole[:4], whole[4:])):
        part.to_csv(hospital.source / f"parts/{number}.csv", index=False)
    cohort = read_cohort(hospital.definition, name="small")
    assert list(source_files(cohort, hospital.source)) == [
        "tables.admissions[0]",
        "tables.admissions[1]",
    ]
    assert len(run(hospital).samples) == 8


def test_another_part_of_a_table_makes_another_store(hospital: Hospital) -> None:
    hospital.edit('"admissions.csv"', '"parts/*.csv"')
    (hospital.source / "parts").mkdir()
    hospital.admissions.to_csv(hospital.source / "parts/0.csv", index=False)
    run(hospital)
    more = pd.DataFrame({"admission": [200], "person": [20], "split": ["train"], "crea": [1.0]})
    more.to_csv(hospital.source / "parts/1.csv", index=False)
    with pytest.raises(DataError, match="from another definition, other tables"):
        run(hospital)


def test_nothing_is_downloaded_for_a_query(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, asked = duckdb.connect, []

    def watched(**arguments: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(**arguments)
        setting = connection.execute("SELECT current_setting('autoinstall_known_extensions')")
        asked.extend(setting.fetchone() or ())
        return connection

    monkeypatch.setattr(duckdb, "connect", watched)
    run(hospital)
    assert asked
    assert not any(asked)


def test_a_table_of_which_no_file_is_there_is_told(hospital: Hospital) -> None:
    hospital.edit('"admissions.csv"', '"parts/*.csv"')
    with pytest.raises(DataError, match=r"parts/\*\.csv: no such file; expected tables.admissions"):
        run(hospital)


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


def test_a_sample_without_a_required_value_is_left_out_and_counted(hospital: Hospital) -> None:
    hospital.edit('keep = ["ward"]', 'required = ["died"]')
    store = run(hospital)
    assert 104 not in store.samples["sample"].tolist()
    assert store.manifest["left_out"] == {"nothing-recorded": 1, "no-died": 1}


def test_a_split_may_be_told_by_the_values_of_a_column(hospital: Hospital) -> None:
    by_year = (
        'split = { column = "year", train = [2008, 2011], tuning = [2014], held_out = [2017] }'
    )
    hospital.edit('split = "split"', by_year)
    years = [2008, 2008, 2011, 2011, 2014, 2014, 2017, 2017, 2017]
    hospital.write(hospital.admissions.assign(year=years))
    store = run(hospital)
    assert store.samples["split"].tolist() == ["train"] * 4 + ["tuning"] * 2 + ["held_out"] * 2
    shutil.rmtree(store.path)
    hospital.write(hospital.admissions.assign(year=[*years[:-1], 2020]))
    with pytest.raises(DataError, match="the split holds 1 other values than train, tuning"):
        run(hospital)


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


def test_candidates_that_are_no_list_of_structs_are_told(hospital: Hospital) -> None:
    with_candidates(hospital, "SELECT *, [xray] AS xrays FROM admissions")
    with pytest.raises(DataError, match="expected a list of structs, the candidates of modalities"):
        run(hospital)


def test_a_field_of_candidates_that_is_a_column_too_is_told(hospital: Hospital) -> None:
    with_candidates(hospital, "SELECT *, [{'xray': xray}] AS xrays FROM admissions")
    with pytest.raises(DataError, match="'xray' is already a column or another candidate's field"):
        run(hospital)


def test_columns_with_a_type_are_of_that_type_and_the_others_text(hospital: Hospital) -> None:
    hospital.edit(
        "[modalities.cxr]",
        '[types.admissions]\nadmission = "BIGINT"\nperson = "BIGINT"\n[modalities.cxr]',
    )
    hospital.write(hospital.admissions.assign(ward="007"))
    store = run(hospital)
    assert store.samples["sample"].tolist() == list(range(100, 108))
    assert {*store.samples["kept_ward"]} == {"007"}
    assert store.array("labs")[0].tolist() == [1, 4]


def test_an_outcome_that_was_known_when_things_were_measured_is_unknown(hospital: Hospital) -> None:
    hospital.edit('keep = ["ward"]', 'measured = ["xray_h", "ecg_h"]')
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


def test_a_query_of_a_column_that_is_not_there_is_told_with_the_columns_of_each_file(
    hospital: Hospital,
) -> None:
    (hospital.definition.parent / "samples.sql").write_text("SELECT *, a.age FROM admissions AS a")
    with pytest.raises(DataError) as caught:
        run(hospital)
    (said,) = caught.value.problems
    columns = "admission, person, split, ward, xray, ecg, crea, k, died"
    assert f"admissions is {hospital.source / 'admissions.csv'}, with {columns}.\n" in said
    assert '"age"' in said


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT *, ecg + INTERVAL 1 HOUR AS later FROM admissions", "Binder Error"),
        ("SELECT * FROM admissions", "no rows; expected one per sample"),
    ],
)
def test_a_table_of_a_header_alone_is_named(query: str, said: str, hospital: Hospital) -> None:
    (hospital.definition.parent / "samples.sql").write_text(query)
    hospital.write(hospital.admissions.head(0))
    with pytest.raises(DataError) as caught:
        run(hospital)
    first, second = caught.value.problems
    assert said in first
    assert f"{hospital.source / 'admissions.csv'}: has no rows; expected tables.adm" in second
