from clinical_symile.reporting.sections.retrieval_examples import (
    draw_retrieval_examples,
    example_drawings,
)
from tests.helpers.report_data import made_data, made_gallery


def test_a_measurement_is_drawn_by_its_kind():
    data = made_data(gallery=made_gallery())
    first, second = example_drawings(data.gallery, tasks=data.tasks, series=data.series)
    ecg, labs = first.query
    assert ecg.trace is not None
    assert not ecg.picture
    assert labs.values[0] == ("Creatinine", "1.13", "mg/dL")
    (series, answers), *_ = first.answers
    assert series.run == "symile-0"
    assert answers[0][0].picture.startswith("data:image/png")
    assert [correct for _, correct in answers] == [True, False, False, False, False]
    assert second.answers[0][1][0][0].trace is not None


def test_only_synthetic_subjects_are_drawn():
    data = made_data(gallery=made_gallery())
    about = {"gallery": data.gallery, "tasks": data.tasks, "series": data.series}
    assert draw_retrieval_examples(**about, synthetic=True) is not None
    assert draw_retrieval_examples(**about, synthetic=False) is None
