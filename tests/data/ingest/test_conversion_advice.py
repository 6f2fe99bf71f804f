"""Advice on a column that does not convert holds when it is followed to the letter."""

import re
import tomllib
from collections.abc import Sequence
from datetime import datetime

import pytest

from clinical_symile.data.ingest.conversion_advice import type_advice
from clinical_symile.data.ingest.tables import connect


def advice(values: Sequence[str], kind: str) -> str:
    with connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT unnest(?::VARCHAR[]) AS x", [[*values]])
        return type_advice(connection, "t", "x", kind, "labs")


def followed(values: Sequence[str], said: str) -> list[object]:
    """The values that the advised expression of the query gives."""
    found = re.search(
        r'Set x = "VARCHAR" in \[types\.labs\], and write in the query: (.+\))\.', said
    )
    assert found, said
    with connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT unnest(?::VARCHAR[]) AS x", [[*values]])
        return [one for (one,) in connection.execute(f"SELECT {found[1]} FROM t").fetchall()]


MAY_27 = datetime(2031, 5, 27)
AT_14 = datetime(2031, 5, 27, 14, 30)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["27.05.2031 14:30", "27.05.2031"], [AT_14, MAY_27]),
        (["27.05.2031", "27.05.31"], [MAY_27, MAY_27]),
        (["27.05.2031 14:30", "2031-05-27 14:30:00"], [AT_14, AT_14]),
        (["27.05.2031 14:30", "unbekannt", "27.05.2031 14:30:00"], [AT_14, None, AT_14]),
        (["05/27/2031 02:30 PM", "05/27/2031"], [AT_14, MAY_27]),
        (["2031-05-27 14:30", "?"], [AT_14, None]),
    ],
)
def test_every_date_that_has_a_known_form_is_read(
    values: list[str], expected: list[object]
) -> None:
    kind = "timestamp:%d/%m/%Y" if "unbekannt" in values else "TIMESTAMP"
    said = advice(values, kind)
    assert followed(values, said) == expected
    assert ("become missing" in said) == ("unbekannt" in values)


def test_a_column_of_type_date_gets_days() -> None:
    values = ["27.05.2031", "27.05.2031 14:30"]
    assert followed(values, advice(values, "DATE")) == [MAY_27.date()] * 2


def test_days_and_months_in_both_orders_are_never_read_by_a_guess() -> None:
    said = advice(["27/05/2031", "05/27/2031", "06/05/2031"], "TIMESTAMP")
    assert "no format reads all" in said
    assert "strptime" not in said


def test_dates_that_fit_both_orders_beside_a_word_stay_a_question() -> None:
    said = advice(["06/05/2031", "?"], "TIMESTAMP")
    assert "ambiguous" in said
    assert "%d/%m/%Y or %m/%d/%Y" in said


@pytest.mark.parametrize("values", [["27. Mai 2031"], ["1937651400"], ["gestern", "heute"]])
def test_a_form_that_is_not_known_is_never_cast_to_nothing(values: list[str]) -> None:
    said = advice(values, "TIMESTAMP")
    assert "None of them has a form of dates" in said
    assert "TRY_CAST" not in said


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1,5", "2.5", "3"], "DOUBLE", [1.5, 2.5, 3.0]),
        (["1,5", "haem.", "3"], "DOUBLE", [1.5, None, 3.0]),
        (["1,5", "haem.", "3"], "double:,", [1.5, None, 3.0]),
        (["1,234.5", "1,234", "12"], "DOUBLE", [1234.5, 1234.0, 12.0]),
        (["1,234,567", "12"], "BIGINT", [1234567, 12]),
        (["1.234,5", "1,5", "12"], "double:,", [1234.5, 1.5, 12.0]),
        (["1.5", "?"], "DOUBLE", [1.5, None]),
    ],
)
def test_every_number_is_read_by_the_mark_that_its_column_uses(
    values: list[str], kind: str, expected: list[object]
) -> None:
    assert followed(values, advice(values, kind)) == expected


@pytest.mark.parametrize(
    "values", [["1,234", "1.5"], ["1.234,5", "1.5"], ["1,234.5", "1.234,5"], ["1,234.5", "1,5"]]
)
def test_a_comma_of_two_meanings_is_a_question(values: list[str]) -> None:
    said = advice(values, "DOUBLE")
    assert said.endswith("Correct the table.")
    assert "replace" not in said


def test_numbers_with_a_comma_alone_get_their_type() -> None:
    said = advice(["1,5", "12"], "DOUBLE")
    assert 'Set x = "double:,"' in said


def test_no_value_is_quoted() -> None:
    for kind in ("TIMESTAMP", "DOUBLE", "BOOLEAN"):
        assert "73519" not in advice(["73519x", "27.05.2031"], kind)


@pytest.mark.parametrize("kind", ["DOUBLE", "BIGINT"])
def test_commas_that_may_be_between_thousands_are_never_taken_for_decimal_ones(kind: str) -> None:
    values = ["1,234", "2,500", "12"]
    said = advice(values, kind)

    assert said.startswith("2 values have a comma that may be between thousands or a decimal one.")
    assert 'If it is a decimal one, set x = "double:," in [types.labs].' in said
    assert followed(values, said) == [1234, 2500, 12]


def test_points_that_may_be_between_thousands_beside_decimal_commas_need_a_correction() -> None:
    said = advice(["2.500", "1,5", "3"], "DOUBLE")

    assert said == (
        "1 values have a decimal comma, and in 1 values a point may be between thousands or a "
        "decimal one. Correct the table."
    )


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1,5", "2", "<0,01"], "double:,", ["1.5", "2", "<0.01"]),
        (["1,25", ">10", "3"], "DOUBLE", ["1.25", ">10", "3"]),
        (["1.5", "<0.01"], "DOUBLE", ["1.5", "<0.01"]),
        (["15", "≤ 3"], "BIGINT", ["15", "≤ 3"]),
    ],
)
def test_limits_stay_text_for_the_lab_panel(
    values: list[str], kind: str, expected: list[str]
) -> None:
    said = advice(values, kind)

    assert "1 values are limits, such as <5" in said
    assert "become missing" not in said
    assert followed(values, said) == expected


def test_limits_beside_commas_of_two_meanings_need_a_correction() -> None:
    assert 'Correct the table, and set x = "VARCHAR"' in advice(["1,234", "<5"], "DOUBLE")


@pytest.mark.parametrize("name", ["Größe", "Hb (g/dL)", 'a "quoted" name'])
def test_the_advised_line_is_valid_toml_whatever_the_name_of_the_column(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    with connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT unnest(['1,5', '2']) AS {quoted}")
        said = type_advice(connection, "t", name, "DOUBLE", "labs")
    line = said.partition("Set ")[2].partition(" in [types")[0]

    assert tomllib.loads(line) == {name: "double:,"}
