from dataclasses import replace

from clinical_symile.formatting import DASH
from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.reporting.sections.mask_statistics import draw_mask_statistics
from tests.helpers.one_risk_task import RESULT, TASKS

NUMBERS = {
    "whole_share": 0.25,
    "empty_share": 0.26,
    "correlation/cxr-ecg": 0.051,
    "slope/cxr": 1.5,
    "slope/ecg": None,
    "auroc": 0.5,
}


def test_every_drawn_mask_has_a_row_with_its_statistics():
    drawn = replace(RESULT, missingness="mcar-50", mask_statistics=NUMBERS)
    content = draw_mask_statistics(scores=ResultTable([RESULT, drawn]), tasks=TASKS)
    assert content is not None
    (panel,) = content.panels
    cells = ["25 %", "26 %", "chest X-ray and ECG 0.05", "chest X-ray 1.50", "0.50", DASH]
    assert panel.body == [["50 % missing at random", *cells]]


def test_a_mask_by_severity_says_which_end_is_worse_or_that_it_is_arbitrary():
    declared = NUMBERS | {"severity/ecg/long_stay": 0.587}
    for numbers, words in (
        (declared, "ECG: long stay, AUROC 0.59; chest X-ray: arbitrary"),
        (NUMBERS, "chest X-ray and ECG: arbitrary"),
    ):
        drawn = replace(RESULT, missingness="mnar-50", mask_statistics=numbers)
        content = draw_mask_statistics(scores=ResultTable([drawn]), tasks=TASKS)
        assert content is not None
        assert content.panels[0].body[0][-1] == words


def test_there_is_no_section_where_nothing_is_drawn():
    assert draw_mask_statistics(scores=ResultTable([RESULT]), tasks=TASKS) is None
