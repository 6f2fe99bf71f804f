from clinical_symile.reporting.report_data import ReportData, data_names, is_synthetic
from tests.helpers.report_data import made_cohort, made_data


def test_open_recordings_of_real_patients_are_not_synthetic():
    assert is_synthetic(made_cohort())
    assert not is_synthetic(made_cohort(generator=None))
    assert not is_synthetic(made_cohort(access="credentialed"))


def test_results_and_tasks_suffice():
    data = made_data()
    few = ReportData(results=data.results, tasks=data.tasks)
    assert few.has_oracle
    assert not few.synthetic
    assert [one.run for one in few.series] == ["symile-0", "clip-0"]


def test_a_method_is_found_by_its_run_and_by_its_task():
    data = made_data(seeds=(0, 1))
    assert [one.method for one in data.methods] == ["Symile", "CLIP"]
    found = data.methods_by_task
    assert found["symile-1"].method == found["pretraining/symile"].method == "Symile"


def test_derived_values_can_be_needed_like_fields():
    assert {"results", "scores", "series", "has_oracle", "synthetic"} <= data_names()
