"""Tables of a source: found, typed and read as they are declared."""

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.tables import source_files
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital, refusal, run


def split_tables(hospital: Hospital) -> None:
    """Turn the cohort into one of a table per split, as released datasets are."""
    hospital.edit('sql = "samples.sql"', 'tables = { train = "a.csv", held_out = "b.parquet" }')
    hospital.edit('split = "split"', "")
    hospital.edit('[tables]\nadmissions = "admissions.csv"', "")
    admissions = hospital.admissions.drop(columns="split")
    admissions[:5].to_csv(hospital.source / "a.csv", index=False)
    admissions[6:8].to_parquet(hospital.source / "b.parquet", index=False)


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


def test_missing_tables_are_told_together(hospital: Hospital) -> None:
    hospital.edit("[tables]", '[tables]\nb = "b.csv"\nc = "c/d.parquet"')
    told = refusal(hospital)
    assert f"{hospital.source / 'b.csv'}: no such file; expected tables.b of cohort 'small'" in told
    assert "c/d.parquet: no such file" in told


def test_a_missing_source_is_told(hospital: Hospital) -> None:
    hospital.source = hospital.source / "elsewhere"
    assert "elsewhere: no such folder; expected the files of 'small'" in refusal(hospital)


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
