"""Columns of text become numbers and dates only where they are such."""

from datetime import date, datetime

import pytest

from clinical_symile.data.ingest.column_types import conversion, date_formats
from clinical_symile.data.ingest.tables import connect


def converted(value: str | None, kind: str, *, check: bool = True) -> object:
    with connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT ?::VARCHAR AS x", [value])
        query = f"SELECT {conversion('x', kind, check=check)} FROM t"
        ((found,),) = connection.execute(query).fetchall()
    return found


NOON, DAY = datetime(2031, 5, 6, 12), datetime(2031, 5, 6)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("2031-05-06 12:00:00", "TIMESTAMP", NOON),
        (" 2031-05-06T12:00 ", "TIMESTAMP", NOON),
        ("2031/05/06 12:00", "TIMESTAMP", NOON),
        ("2031-05-06T12:00:00Z", "TIMESTAMP", NOON),
        ("2031-05-06 12:00:00 UTC", "TIMESTAMP", NOON),
        ("2031-05-06", "DATE", DAY.date()),
        ("2031-05-06 12:00:00", "DATE", DAY.date()),
        ("06.05.2031 12:00", "timestamp:%d.%m.%Y %H:%M", NOON),
        ("06.05.31", "date:%d.%m.%y", DAY.date()),
        ("0007", "BIGINT", 7),
        ("7.0", "BIGINT", 7),
        (" 7 ", "BIGINT", 7),
        ("4.5", "DOUBLE", 4.5),
        (" 4.5 ", "DOUBLE", 4.5),
        ("4,5", "double:,", 4.5),
        ("true", "BOOLEAN", True),
        *(
            (blank, kind, None)
            for blank in ("", "  ", None)
            for kind in ("TIMESTAMP", "DATE", "DOUBLE", "BIGINT", "double:,", "timestamp:%d.%m.%Y")
        ),
        ("nan", "DOUBLE", None),
    ],
)
def test_a_value_of_its_type_is_converted(value: str | None, kind: str, expected: object) -> None:
    assert converted(value, kind) == expected
    assert converted(value, kind, check=False) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5/12/31", "TIMESTAMP"),  # DuckDB reads the year 5
        ("05/06/2031", "TIMESTAMP"),
        ("05.06.2031", "DATE"),
        ("2031-05-06 10:00 PM", "TIMESTAMP"),  # DuckDB reads 10:00
        ("2031-05-06 10:00 noon", "TIMESTAMP"),
        ("20310506", "DATE"),
        ("06.05.31", "date:%d.%m.%Y"),  # DuckDB reads the year 31
        ("06.05.2031", "date:%m/%d/%Y"),
        ("31.05.2031", "date:%m.%d.%Y"),
        ("7.5", "BIGINT"),
        ("1.00012E+07", "BIGINT"),  # an id after a spreadsheet
        ("<0.1", "DOUBLE"),
        ("4,5", "DOUBLE"),
        ("1.234,5", "double:,"),
    ],
)
def test_a_value_of_another_type_is_an_error(value: str, kind: str) -> None:
    import duckdb

    assert converted(value, kind) is None
    with pytest.raises(duckdb.ConversionException):
        converted(value, kind, check=False)


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["05/06/2031 09:00"], ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"]),
        (["05/06/2031 09:00", "27/06/2031 09:00", ""], ["%d/%m/%Y %H:%M"]),
        (["05/06/2031 09:00", "06/27/2031 09:00"], ["%m/%d/%Y %H:%M"]),
        (["27/06/2031", "06/27/2031"], []),
        (["27.06.31"], ["%d.%m.%y"]),
        (["27-Jun-2031"], ["%d-%b-%Y"]),
        (["", None], []),
    ],
)
def test_the_formats_of_dates_are_those_that_every_value_fits(
    values: list[str | None], formats: list[str]
) -> None:
    with connect() as connection:
        connection.execute("CREATE TABLE t (x VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?)", [[value] for value in values])
        found = date_formats(connection, "t", "x")
    assert [one for one in found if "%I" not in one] == formats


def test_dates_are_dates_of_python() -> None:
    assert isinstance(converted("2031-05-06", "DATE"), date)
