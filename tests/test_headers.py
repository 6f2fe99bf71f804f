"""No value of a patient is in a message for want of a header."""

from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.cohort import read_cohort
from clinical_symile.errors import DataError
from clinical_symile.headers import has_header, told
from clinical_symile.prepare import prepare
from tests.conftest import Hospital

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


def test_a_row_that_is_all_words_is_no_header_unless_the_cohort_names_one() -> None:
    row = ["Smith", "female", "Ward A"]
    assert not has_header(row, {"person", "sex"})
    assert "Smith" not in told(row, {"person", "sex"})
    assert told(["Sex", "% lymphocytes"], {"sex"}) == (
        "2 columns and, it seems, no header: expected their names in the first line"
    )
    assert told(["Sex", "lymphocytes (%)"], {"sex"}) == "Sex, lymphocytes (%)"


def test_text_in_quotes_of_a_query_is_no_name_of_a_column(hospital: Hospital) -> None:
    """Values that a query compares with may be a row's."""
    query = "SELECT a.age FROM admissions AS a WHERE sex = 'Smith' -- as Smith, of 'ward'"
    (hospital.definition.parent / "samples.sql").write_text(query)
    row = ["Smith", "lady"]
    pd.DataFrame([row, row]).to_csv(hospital.source / "admissions.csv", index=False, header=False)
    assert "lady" not in message(hospital)
