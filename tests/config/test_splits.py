"""Splits of a cohort."""

from clinical_symile.config.cohort import Cohort, read_cohort
from clinical_symile.config.splits import SplitBySubject
from tests.helpers.hospital import Hospital


def read(hospital: Hospital) -> Cohort:
    return read_cohort(hospital.definition, name="small")


def test_a_split_may_be_drawn_by_subject(hospital: Hospital) -> None:
    hospital.edit('split = "split"', "split = { tuning = 0.2, held_out = 0.3, seed = 1 }")
    assert read(hospital).samples.split == SplitBySubject(tuning=0.2, held_out=0.3, seed=1)
