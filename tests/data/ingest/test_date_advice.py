"""Dates that a query computes with and that are text are named with the format to declare."""

import tomllib

import pandas as pd
import pytest

from tests.helpers.hospital import Hospital, refusal, run

QUERY = "SELECT * FROM admissions WHERE admitted + INTERVAL 1 DAY > TIMESTAMP '2000-01-01'"


@pytest.fixture
def dated(hospital: Hospital) -> Hospital:
    (hospital.definition.parent / "samples.sql").write_text(QUERY)
    return hospital


def write(hospital: Hospital, date_format: str, first: str = "2031-01-25 13:05") -> None:
    days = pd.date_range(first, periods=9, freq="D")
    hospital.write(hospital.admissions.assign(admitted=days.strftime(date_format)))


@pytest.mark.parametrize("date_format", ["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d-%b-%Y"])
def test_the_advice_works_when_it_is_followed_to_the_letter(
    dated: Hospital, date_format: str
) -> None:
    write(dated, date_format)
    told = refusal(dated)
    assert "columns admitted hold dates and are text" in told
    _, _, block = told.partition("declare all of them:\n")
    lines = [one for one in block.splitlines() if one.startswith("[types") or " = " in one]
    types = "\n".join(lines).rpartition(" [CS-")[0] or "\n".join(lines)
    assert tomllib.loads(types)["types"]["admissions"]["admitted"].endswith(date_format)
    dated.edit("[modalities.cxr]", f"{types}\n[modalities.cxr]")
    assert len(run(dated).samples) == 8


def test_dates_that_may_be_two_days_are_named_with_both(dated: Hospital) -> None:
    write(dated, "%d/%m/%Y %I:%M %p", "2031-01-02")
    told = refusal(dated)
    assert "ambiguous" in told
    assert '"timestamp:%m/%d/%Y %I:%M %p"' in told


def test_a_column_of_a_declared_table_is_advised_without_the_others(dated: Hospital) -> None:
    dated.edit("[modalities.cxr]", "[types.admissions]\ndied = 'VARCHAR'\n[modalities.cxr]")
    write(dated, "%Y-%m-%d %H:%M")
    told = refusal(dated)
    assert 'Set admitted = "timestamp:%Y-%m-%d %H:%M" in [types.admissions].' in told
    assert "declare all" not in told


def test_other_text_is_not_advised_on(dated: Hospital) -> None:
    dated.write(dated.admissions.assign(admitted="ward 7"))
    told = refusal(dated)
    assert "hold dates" not in told
