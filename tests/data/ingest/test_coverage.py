"""What no sample has is reported by the dry run, by `prepare` and by `audit`."""

import numpy as np
import pytest

from clinical_symile.data.audit.audit import Severity, audit_store
from tests.helpers.hospital import Hospital, run


def reasons(hospital: Hospital) -> dict[str, str]:
    return {one["reason"]: one["sentence"] for one in run(hospital).manifest["coverage"]}


def test_a_hospital_with_every_analyte_has_no_problem(hospital: Hospital) -> None:
    assert reasons(hospital) == {}


def test_an_analyte_that_no_sample_has_is_named(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.assign(k=np.nan))
    assert "no sample of 9 has Potassium" in reasons(hospital)["part-missing"]


def test_a_modality_that_no_sample_has_is_a_warning_and_an_error_of_audit(
    hospital: Hospital,
) -> None:
    hospital.write(hospital.admissions.assign(ecg=None))
    store = run(hospital)
    (problem,) = store.manifest["coverage"]
    assert (
        "modality ecg: no sample of 9 has it, although admissions.csv has 9 rows"
        in (problem["sentence"])
    )
    found = [one for one in audit_store(store) if one.check == "coverage"]
    assert [one.severity for one in found] == [Severity.ERROR]


@pytest.mark.parametrize("censored", ["refused", "limit", "half", "absent"])
def test_the_same_admissions_are_selected_whatever_censored_says(
    hospital: Hospital, censored: str
) -> None:
    hospital.edit('panel = "labs.csv"', f'panel = "labs.csv"\ncensored = "{censored}"')
    store = run(hospital)
    assert store.samples["sample"].tolist() == list(range(100, 108))
    assert store.samples["present_labs"].sum() == 7
    assert sum(store.manifest["recorded"].values()) == 9
