import pytest

from clinical_symile.reporting.sections.base import ReportPanel, picture_name, result_cell
from tests.helpers.report_data import made_data


def test_a_column_without_values_is_left_out_of_the_table():
    panel = ReportPanel("t", None, ["a", "b", "c"], [["x", "", "1"], ["y", "\N{EN DASH}", ""]])
    assert panel.table == [["a", "c"], ["x", "1"], ["y", ""]]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("degradation", "a/b_c", "mcar"), "degradation-a-b_c-mcar"),
        (("x", "", "a b: c"), "x-a-b-c"),
    ],
)
def test_a_figure_name_is_safe_in_files_and_pages(words: tuple[str, ...], name: str):
    assert picture_name(*words) == name


def test_figures_of_different_outcomes_have_different_names():
    parts = ["lactate<2", "lactate>2", "Ä", "Ö", "a.b", "a_b", "ab"]
    names = [picture_name("calibration", "classification/x", part) for part in parts]
    assert len(set(names)) == len(parts)
    assert names[-1] == "calibration-classification-x-ab"


def test_a_result_has_its_interval_in_a_cell():
    assert result_cell(None) == "not scored"
    row = next(row for row in made_data().results if row.metric == "auroc")
    assert result_cell(row) == "0.900 (0.870 to 0.930)"
