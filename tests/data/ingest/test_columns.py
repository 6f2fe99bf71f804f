"""Columns that a cohort needs: each is found, or named with its use."""

import shutil

import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.prepare import prepare
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital, refusal, run

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


def message(hospital: Hospital) -> str:
    cohort = read_cohort(hospital.definition, name="small")
    with pytest.raises(DataError) as caught:
        prepare(cohort, source=hospital.source, out=hospital.out)
    return str(caught.value).replace(str(hospital.source), "").replace(str(hospital.out), "")


def test_missing_columns_are_told_together_with_what_needs_them(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.drop(columns=["k", "died", "person"]))
    told = refusal(hospital)
    assert "no column 'k', which modalities.labs needs" in told
    assert "no column 'died', which outcomes.died needs" in told
    assert "no column 'person', which samples.subject needs" in told


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


def test_candidates_that_are_no_list_of_structs_are_told(hospital: Hospital) -> None:
    with_candidates(hospital, "SELECT *, [xray] AS xrays FROM admissions")
    with pytest.raises(DataError, match="expected a list of structs, the candidates of modalities"):
        run(hospital)


def test_a_field_of_candidates_that_is_a_column_too_is_told(hospital: Hospital) -> None:
    with_candidates(hospital, "SELECT *, [{'xray': xray}] AS xrays FROM admissions")
    with pytest.raises(DataError, match="'xray' is already a column or another candidate's field"):
        run(hospital)


def test_hours_of_candidates_are_numbers(hospital: Hospital) -> None:
    query = "SELECT * EXCLUDE (xray), [{'xray': xray, 'taken_h': 'Smith'}] AS xrays FROM admissions"
    (hospital.definition.parent / "samples.sql").write_text(query)
    hospital.edit("[modalities.cxr]", '[modalities.cxr]\ncandidates = "xrays"')
    hospital.edit('keep = ["ward"]', 'measurement_hours = ["taken_h"]')
    assert "field 'taken_h' of 'xrays' is VARCHAR; expected a number of hours" in message(hospital)
