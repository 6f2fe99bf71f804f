"""Which rows become samples, and from which files."""

import pandas as pd
import pytest

from clinical_symile.cohort import read_cohort
from clinical_symile.errors import DataError
from clinical_symile.prepare import prepare
from clinical_symile.samples import source_files
from clinical_symile.store import CohortStore
from tests.conftest import Hospital


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
    with pytest.raises(DataError, match="from another definition, from other tables"):
        run(hospital)


def test_a_table_of_which_no_file_is_there_is_told(hospital: Hospital) -> None:
    hospital.edit('"admissions.csv"', '"parts/*.csv"')
    with pytest.raises(DataError, match=r"parts/\*\.csv: no such file; expected tables.admissions"):
        run(hospital)
