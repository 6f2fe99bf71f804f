from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.text.findings import retained_sentences
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
SERIES = [
    Series("a-0", "masked cube", "masked cube", 0, 0),
    Series("b-0", "learned", "learned", 1, 0),
]
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


def test_what_is_lost_is_told_in_a_sentence_from_the_numbers(scores):
    assert retained_sentences(scores, tasks=TASKS, series=SERIES) == [
        "Predict died from chest X-ray and ECG: with nothing missing, AUROC is from 0.70 (learned) "
        "to 0.80 (masked cube); the oracle reaches 0.80; where 50 % of each modality is missing at "
        "random, from 0.55 (learned) to 0.65 (masked cube); the oracle reaches 0.65."
    ]
    assert retained_sentences(ResultTable([RESULT]), tasks=TASKS, series=SERIES) == []
