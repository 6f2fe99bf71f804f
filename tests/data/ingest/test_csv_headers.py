"""No value of a patient is in a message for want of a header."""

from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.csv_headers import has_header, header_for_message
from clinical_symile.data.prepare import prepare
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital

SECRETS = ("100", "female", "Smith", "2031-05-04", "4.25")


def without_header(file: Path) -> None:
    pd.DataFrame([SECRETS, SECRETS]).to_csv(file, index=False, header=False)


def message(hospital: Hospital) -> str:
    cohort = read_cohort(hospital.definition, name="small")
    with pytest.raises(DataError) as caught:
        prepare(cohort, source=hospital.source, out=hospital.out)
    return str(caught.value).replace(str(hospital.source), "").replace(str(hospital.out), "")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT age FROM admissions",
        "SELECT a.age FROM admissions AS a",
        "SELECT a.smith FROM admissions AS a JOIN admissions AS b USING (femal)",
        "SELECT * FROM admissions",
        "SELECT sum(person) FROM admissions GROUP BY ALL",
        "SELECT *, count(*) FROM admissions",
        "SELECT COLUMNS('smit') FROM admissions",
        "SELECT * FROM admissions NATURAL JOIN (SELECT 1 AS one)",
        "SELECT * FROM admissions AS a JOIN (SELECT 1 AS one) AS b USING (one)",
        "UNPIVOT admissions ON one INTO NAME n VALUE v",
        "SELECT * EXCLUDE (one) FROM admissions",
        "SELECT * REPLACE (1 AS smith) FROM admissions",
    ],
)
def test_a_table_without_a_header_tells_none_of_its_values(query: str, hospital: Hospital) -> None:
    (hospital.definition.parent / "samples.sql").write_text(query)
    without_header(hospital.source / "admissions.csv")
    said = message(hospital)
    assert not [secret for secret in SECRETS if secret in said], said
    assert "5 columns and, it seems, no header: expected their names in the first line" in said


def test_nor_do_tables_of_splits(hospital: Hospital) -> None:
    hospital.edit('sql = "samples.sql"\n', 'tables = { train = "admissions.csv" }\n')
    hospital.edit('split = "split"\n', "")
    hospital.edit('[tables]\nadmissions = "admissions.csv"\n', "")
    without_header(hospital.source / "admissions.csv")
    said = message(hospital)
    assert not [secret for secret in SECRETS if secret in said], said
    assert "it has 5 columns and, it seems, no header" in said


def test_a_row_that_is_all_words_is_no_header_unless_the_cohort_names_two() -> None:
    names = {"person", "sex", "f"}
    row = ["Smith", "F", "Ward A"]
    assert not has_header(row, names)
    assert "Smith" not in header_for_message(row, names)
    withheld = "3 columns and, it seems, no header: expected their names in the first line"
    assert header_for_message(["Person", "Sex", "% lymphocytes"], names) == withheld
    assert (
        header_for_message(["Person", "Sex", "lymphocytes (%)"], names)
        == "Person, Sex, lymphocytes (%)"
    )


@pytest.mark.parametrize(
    "query", ["SELECT f.person FROM admissions AS f", "SELECT person AS smith FROM admissions AS f"]
)
def test_an_alias_of_a_query_is_no_name_of_a_column(query: str, hospital: Hospital) -> None:
    (hospital.definition.parent / "samples.sql").write_text(query)
    row = ["P1001", "F", "Smith", "diabetic"]
    pd.DataFrame([row, row]).to_csv(hospital.source / "admissions.csv", index=False, header=False)
    assert not [word for word in ("P1001", "Smith", "diabetic") if word in message(hospital)]


def test_text_where_hours_are_expected_is_counted_before_anything_is_decoded(
    hospital: Hospital,
) -> None:
    hospital.edit('keep = ["ward"]', 'measurement_hours = ["taken_h"]')
    hospital.write(hospital.admissions.assign(taken_h=["2"] * 8 + ["Smith at 4"]))
    said = message(hospital)
    assert "column 'taken_h' holds 1 values that are not numbers" in said
    assert "Smith" not in said
    assert not hospital.out.with_name("store.partial").exists()


def test_a_table_of_a_split_that_cannot_be_read_is_not_quoted(hospital: Hospital) -> None:
    hospital.edit('sql = "samples.sql"\n', 'tables = { train = "admissions.csv" }\n')
    hospital.edit('split = "split"\n', "")
    hospital.edit('[tables]\nadmissions = "admissions.csv"\n', "")
    (hospital.source / "admissions.csv").write_bytes(b"admission,person\n1,M\xfcller Smith\n")
    said = message(hospital)
    assert "admissions.csv: line 2 is not encoded in UTF-8" in said
    assert "Smith" not in said


def test_a_candidate_list_that_cannot_be_read_is_told_before_anything_is_decoded(
    hospital: Hospital,
) -> None:
    lists = '[candidates.train]\ntable = "lists.csv"\nquery = "q"\ncandidate = "c"\n'
    hospital.edit("[modalities.cxr]", lists + "[modalities.cxr]")
    (hospital.source / "lists.csv").write_bytes(b"q,c\n1,M\xfcller Smith\n")
    said = message(hospital)
    assert "lists.csv: line 2 is not encoded in UTF-8" in said
    assert "Smith" not in said
    assert not hospital.out.with_name("store.partial").exists()


def test_text_in_quotes_of_a_query_is_no_name_of_a_column(hospital: Hospital) -> None:
    """Values that a query compares with may be a row's."""
    query = "SELECT a.age FROM admissions AS a WHERE sex = 'Smith' -- as Smith, of 'ward'"
    (hospital.definition.parent / "samples.sql").write_text(query)
    row = ["Smith", "lady"]
    pd.DataFrame([row, row]).to_csv(hospital.source / "admissions.csv", index=False, header=False)
    assert "lady" not in message(hospital)
