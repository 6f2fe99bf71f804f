from clinical_symile.reporting.sections.overview import (
    draw_methods,
    draw_not_scored,
    draw_provenance,
)
from clinical_symile.tracking.results import SkippedResult
from tests.helpers.report_data import FIRST, made_data, of_ways


def test_a_small_count_in_a_reason_is_withheld_unless_subjects_are_synthetic():
    row = SkippedResult(
        run="clip-0", cohort="c", task=FIRST, missingness="observed", reason="3 of 70.", digest="d"
    )
    for synthetic, reason in ((True, "3 of 70."), (False, "<10 of 70.")):
        content = draw_not_scored(unscored=[row], notes=[], synthetic=synthetic)
        assert content is not None
        assert content.values["rows"][0].reason == reason
    assert draw_not_scored(unscored=[], notes=[], synthetic=True) is None


def test_every_run_is_described_by_its_definition():
    data = of_ways(made_data())
    content = draw_methods(runs=data.runs, series=data.series)
    assert content is not None
    (first, definition), (_, other) = content.values["methods"]
    assert first.run == "symile-0"
    assert definition["missing_modality"] == "dropout"
    assert other["description"] == "A model of others."
    assert draw_methods(runs=[], series=[]) is None


def test_provenance_says_how_intervals_were_computed():
    data = made_data()
    names = ("runs", "results", "series", "tasks", "cohort", "versions", "elapsed_s")
    content = draw_provenance(**{name: getattr(data, name) for name in names})
    assert "bootstrap over subjects" in content.values["intervals"]
    assert content.values["labels"] == {"symile-0": "Symile", "clip-0": "CLIP"}
