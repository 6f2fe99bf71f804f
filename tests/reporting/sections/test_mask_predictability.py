from dataclasses import replace

import pytest

from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.reporting.sections.mask_predictability import mask_predictability_panels
from clinical_symile.tracking.benchmark_tables import MaskAuroc
from tests.helpers.one_risk_task import ABOUT, TASKS, falling_scores


@pytest.fixture
def scores() -> ResultTable:
    return falling_scores()


def test_what_a_mask_gives_away_stands_beside_what_it_should_and_the_weakest_run(scores):
    row = MaskAuroc(
        **ABOUT, missingness="mcar-50", part=None, value=0.51, low=0.46, high=0.55, expected=0.5
    )
    severe = replace(row, missingness="mnar-50", value=0.6, expected=None)
    (panel,) = mask_predictability_panels([row, severe], scores, tasks=TASKS)
    assert panel.title == "Predict died from the missingness mask alone"
    # Of the runs of PATTERNS at mcar-50: 0.65, 0.55 and 0.65.
    assert panel.body == [
        ["50 % missing at random", "0.510 (0.460 to 0.550)", "0.500", "0.550"],
        ["50 % missing, more often by its value", "0.600 (0.460 to 0.550)", "\N{EN DASH}", "0.500"],
    ]
    assert mask_predictability_panels([], scores, tasks=TASKS) == []
