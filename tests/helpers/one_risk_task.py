"""The results of one classification task under several patterns, for sections of a report."""

from dataclasses import replace
from typing import Any

from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.tracking.results import Result

TASK = "classification/died"
TASKS: dict[str, Any] = {
    TASK: {
        "kind": "classification",
        "inputs": ("cxr", "ecg"),
        "outcome": "died",
        "primary": "auroc",
        "higher_is_better": True,
    }
}
PATTERNS = ("complete", "without-ecg", "mcar-10", "mcar-50", "mnar-50", "site")
ABOUT: dict[str, Any] = {"cohort": "c", "task": TASK, "digest": "d"}
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


def falling_scores() -> ResultTable:
    """Two runs and the oracle: AUROC falls by 0.05 a pattern, and run b is 0.1 below the others."""
    return ResultTable(
        replace(
            RESULT, run=run, missingness=pattern, value=0.8 - 0.05 * place - 0.1 * (run == "b-0")
        )
        for run in ("a-0", "b-0", "oracle")
        for place, pattern in enumerate(PATTERNS)
    )
