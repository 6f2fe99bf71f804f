"""Tables of a source: found, typed and read as they are declared."""

from datetime import date, datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.source_tables import source_files
from clinical_symile.data.ingest.tables import connect, open_tables
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


LINES = ["admission,code,value", *(f"{n},K,4" for n in range(9))]


def read(hospital: Hospital, *texts: str, types: str = "", encoding: str = "utf-8") -> list[Any]:
    """The rows of a table `more` with these files."""
    names = [f"more/{place}.csv" for place in range(len(texts))]
    hospital.edit("[tables]", f'[tables]\nmore = "{names[0] if len(names) == 1 else "more/*.csv"}"')
    if types:
        hospital.edit("[modalities.cxr]", f"[types.more]\n{types}\n[modalities.cxr]")
    (hospital.source / "more").mkdir()
    for name, text in zip(names, texts, strict=True):
        (hospital.source / name).write_bytes(text.encode(encoding))
    cohort = read_cohort(hospital.definition, name="small")
    with connect() as connection:
        open_tables(connection, cohort, hospital.source)
        return connection.execute("FROM more").fetchall()


def test_a_line_that_begins_with_a_hash_is_a_row(hospital: Hospital) -> None:
    rows = read(
        hospital, "\n".join([LINES[0], "#1,K,4", *LINES[1:]]) + "\n", types='value = "DOUBLE"'
    )
    assert len(rows) == 10
    assert rows[0] == ("#1", "K", 4.0)


def test_blank_lines_before_the_header_are_no_header(hospital: Hospital) -> None:
    assert len(read(hospital, "\n\n" + "\n".join(LINES) + "\n")) == 9


@pytest.mark.parametrize("title", ["Export of May", "admission,code"])
@pytest.mark.parametrize("types", ["", 'value = "DOUBLE"'])
def test_a_header_of_fewer_cells_than_the_rows_is_told(
    hospital: Hospital, title: str, types: str
) -> None:
    with pytest.raises(DataError, match="line 2 has 3 cells where the header has"):
        read(hospital, "\n".join([title, *LINES[1:]]) + "\n", types=types)


def test_blank_cells_are_null_with_and_without_types(hospital: Hospital) -> None:
    (row, *_) = read(hospital, "admission,code,value\n1, ,\n2,K,4\n")
    assert row == (1, None, None)


@pytest.mark.parametrize("words", [("no", "no"), ("yes", "no"), ("Y", "N"), ("t", "f")])
def test_words_for_yes_and_no_stay_as_they_are_written(
    words: tuple[str, str], hospital: Hospital
) -> None:
    table = "".join(f"{number},{word}\n" for number, word in enumerate(words))
    assert [row[1] for row in read(hospital, f"a,died\n{table}")] == [*words]


def test_true_and_false_are_truth_values(hospital: Hospital) -> None:
    rows = read(hospital, "a,died\n1,true\n2,False\n3,\n")
    assert [row[1] for row in rows] == [True, False, None]


@pytest.mark.parametrize("types", ["", 'value = "DOUBLE"'])
def test_files_of_one_table_are_joined_by_the_names_of_columns(
    hospital: Hospital, types: str
) -> None:
    rows = read(hospital, "a,value\nx,1\n", "value,a\n2,y\n", types=types)
    assert sorted(rows) == [("x", 1), ("y", 2)]


@pytest.mark.parametrize("second", ["a\ny\n", "a;value\ny;2\n"])
@pytest.mark.parametrize("types", ["", 'value = "DOUBLE"'])
def test_a_file_of_a_table_with_another_header_is_named(
    hospital: Hospital, second: str, types: str
) -> None:
    with pytest.raises(DataError, match=r"more/1\.csv: lacks columns of"):
        read(hospital, "a,value\nx,1\n", second, types=types)


@pytest.mark.parametrize(
    ("first", "second"), [("05/06/2031", "07/08/2031"), ("05-06-2031", "07-08-2031")]
)
def test_dates_that_can_be_read_in_two_ways_are_refused_until_a_format_is_declared(
    hospital: Hospital, first: str, second: str
) -> None:
    text = f"admission,taken,ward\n1,{first},a\n2,{second},007\n"
    with pytest.raises(DataError) as caught:
        read(hospital, text)
    (problem,) = caught.value.problems
    assert "fits 2 formats" in problem
    # The advice, followed to the letter.
    block = problem.partition("[types.more]\n")[2].partition(" [CS")[0]
    assert block.splitlines()[0].startswith("admission")
    hospital.edit("[modalities.cxr]", f"[types.more]\n{block}\n[modalities.cxr]")
    with connect() as connection:
        open_tables(connection, read_cohort(hospital.definition, name="small"), hospital.source)
        rows = connection.execute("FROM more").fetchall()
    assert rows == [(1, date(2031, 6, 5), "a"), (2, date(2031, 8, 7), "007")]


def test_dates_of_which_one_shows_the_format_are_read(hospital: Hospital) -> None:
    rows = read(hospital, "n,taken\n1,05/06/2031 10:00:00 AM\n2,05/27/2031 10:00:00 PM\n")
    assert rows == [(1, datetime(2031, 5, 6, 10)), (2, datetime(2031, 5, 27, 22))]


def test_dates_that_are_not_recognized_stay_text(hospital: Hospital) -> None:
    assert read(hospital, "n,taken\n1,05.06.31\n") == [(1, "05.06.31")]


def test_another_column_does_not_decide_how_dates_are_read(hospital: Hospital) -> None:
    with pytest.raises(DataError, match="columns born hold dates"):
        read(hospital, "taken,born\n05/27/2031,05/06/2001\n05/28/2031,05/07/2001\n")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_declared_encoding_is_read(hospital: Hospital, encoding: str) -> None:
    hospital.edit("[samples]", f'encoding = {{ more = "{encoding}" }}\n[samples]')
    rows = read(hospital, "sex,n\nmännlich,1\nweiblich,2\n", encoding=encoding)
    assert rows == [("männlich", 1), ("weiblich", 2)]


def test_blank_text_and_nan_in_parquet_are_null(hospital: Hospital) -> None:
    hospital.edit("[tables]", '[tables]\nmore = "more.parquet"')
    with connect() as connection:
        values = "(' ', 'nan'::DOUBLE, 1), ('a', 1.0, 2)"
        file = hospital.source / "more.parquet"
        connection.execute(f"COPY (VALUES {values}) TO '{file}'")
    cohort = read_cohort(hospital.definition, name="small")
    with connect() as connection:
        open_tables(connection, cohort, hospital.source)
        rows = connection.execute("FROM more").fetchall()
    assert rows == [(None, None, 1), ("a", 1.0, 2)]


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


def test_a_letter_of_another_encoding_in_a_late_row_is_named_by_line(hospital: Hospital) -> None:
    lines = (hospital.source / "admissions.csv").read_bytes().splitlines()
    filler = b"1,9,train,%d,,,1,1,no"
    rows = [*lines, *(filler % n for n in range(30_000)), b"2,9,train,\xe4,,,1,1,no"]
    (hospital.source / "admissions.csv").write_bytes(b"\n".join(rows) + b"\n")
    hospital.edit("[tables]", '[types.admissions]\nadmission = "BIGINT"\n[tables]')
    assert f"line {len(rows)} is not encoded in UTF-8" in refusal(hospital)
