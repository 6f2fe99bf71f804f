from dataclasses import replace

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
    cells = ["25 %", "26 %", "chest X-ray and ECG 0.05", "chest X-ray 1.50", "0.50"]
    assert panel.body == [["50 % missing at random", *cells]]


def test_there_is_no_section_where_nothing_is_drawn():
    assert draw_mask_statistics(scores=ResultTable([RESULT]), tasks=TASKS) is None
