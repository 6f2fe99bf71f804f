from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.reporting.sections.mask_predictability import mask_predictability_panels
from clinical_symile.tracking.benchmark_tables import MaskAuroc
from clinical_symile.tracking.results import Result

TASKS: dict[str, Any] = {
    "classification/died": {
        "kind": "classification",
        "inputs": ("cxr", "ecg"),
        "outcome": "died",
        "primary": "auroc",
        "higher_is_better": True,
    }
}
PATTERNS = ["complete", "without-ecg", "mcar-10", "mcar-50", "mnar-50", "site"]
ABOUT: dict[str, Any] = {"cohort": "c", "task": "classification/died", "digest": "d"}
RESULT = Result(
    run="a-0",
    **ABOUT,
    split="held_out",
    missingness="complete",
    metric="auroc",
    value=0.8,
    low=0.75,
    high=0.85,
    interval="bca",
    chance=0.5,
    n_samples=100,
    n_subjects=90,
    hidden={"ecg": 0.0, "labs": 0.0},
    mask="0123",
    seed=0,
)


@pytest.fixture
def scores() -> ResultTable:
    return ResultTable(
        replace(
            RESULT, run=run, missingness=pattern, value=0.8 - 0.05 * place - 0.1 * (run == "b-0")
        )
        for run in ("a-0", "b-0", "oracle")
        for place, pattern in enumerate(PATTERNS)
    )


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
        ["50 % missing, more often if severe", "0.600 (0.460 to 0.550)", "\N{EN DASH}", "0.500"],
    ]
    assert mask_predictability_panels([], scores, tasks=TASKS) == []
