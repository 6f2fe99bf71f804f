import gzip
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.data.wizard.profile import profile_tables
from clinical_symile.errors import DataError


def test_delimiters_dates_and_decimal_commas_are_recognized(tmp_path: Path):
    (tmp_path / "a.csv").write_text(
        "Zeit;Wert;Kürzel\n13.01.2031 05:00;1,5;K\n14.01.2031 06:00;<2;K\n"
    )
    with gzip.open(tmp_path / "b.csv.gz", "wt") as stream:
        stream.write("time,value\n2031-01-13,1\n2031-01-14,2\n")
    pd.DataFrame(
        {"id": [1, 2], "t": pd.to_datetime(["2031-01-13 05:00", "2031-01-14 06:00"])}
    ).to_parquet(tmp_path / "c.parquet")
    a, b, c = profile_tables(tmp_path)
    assert a.columns["Zeit"].date_formats == ("%d.%m.%Y %H:%M",)
    assert a.columns["Wert"].is_number
    assert a.columns["Wert"].has_decimal_comma
    assert not a.columns["Kürzel"].is_unique
    assert b.columns["time"].date_formats == ("%Y-%m-%d",)
    assert b.columns["value"].is_unique
    assert c.columns["t"].date_formats == ("%Y-%m-%d %H:%M:%S",)


def test_day_and_month_that_cannot_be_told_apart_have_two_formats(tmp_path: Path):
    (tmp_path / "a.csv").write_text("t\n03/04/2031\n05/06/2031\n")
    (table,) = profile_tables(tmp_path)
    assert table.columns["t"].date_formats == ("%d/%m/%Y", "%m/%d/%Y")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_the_encoding_of_a_table_is_found(tmp_path: Path, encoding: str):
    (tmp_path / "a.csv").write_bytes("Kürzel;n\nK;1\n".encode(encoding))
    (table,) = profile_tables(tmp_path)
    assert table.encoding == encoding
    assert list(table.columns) == ["Kürzel", "n"]


def test_a_file_in_an_encoding_that_is_not_read_is_refused_with_what_to_do(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("Kürzel\nK\n".encode("utf-16-be"))
    with pytest.raises(DataError, match="Save it as UTF-8"):
        profile_tables(tmp_path)
