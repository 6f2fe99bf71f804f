from typing import Any

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.method_ranking import rank_panels, seed_panels
from clinical_symile.tracking.benchmark_tables import MethodRank, SeedComponents
from tests.helpers.figures import svg_of

METHODS = {
    "pretraining/a": Series("a-0", "A, seed 0", "A", 0, 0),
    "pretraining/b": Series("b-0", "B, seed 0", "B", 1, 0),
}
TASK = "classification/died"
TASKS: dict[str, Any] = {
    TASK: {"kind": "classification", "inputs": ("cxr",), "outcome": "died", "primary": "auroc"}
}


def ranked(method: str, pattern: str, rank: float, best: float) -> MethodRank:
    return MethodRank(
        cohort="c",
        method=method,
        missingness=pattern,
        tasks=[TASK],
        rank=rank,
        low=1.0,
        high=2.0,
        best=best,
    )


def test_ranks_are_drawn_best_first_with_how_often_each_leads() -> None:
    rows = [
        ranked("pretraining/a", "all", 1.8, 0.2),
        ranked("pretraining/b", "all", 1.2, 0.8),
        ranked("pretraining/a", "complete", 2.0, 0.1),
        ranked("pretraining/b", "complete", 1.0, 0.9),
    ]
    (panel,) = rank_panels(rows, methods=METHODS)
    assert panel.head == ["rank, and how often first", "A", "B"]
    assert panel.body[0] == ["all patterns", "1.8 (1.0 to 2.0), 20 %", "1.2 (1.0 to 2.0), 80 %"]
    assert panel.body[1][0] == "nothing missing"
    svg = svg_of(panel)
    assert svg.index("B, first in 80 %") < svg.index("A, first in 20 %")


def test_one_method_is_not_ranked() -> None:
    assert rank_panels([ranked("pretraining/a", "all", 1.0, 1.0)], methods=METHODS) == []
    assert rank_panels([], methods=METHODS) == []


def test_the_variance_over_seeds_is_beside_that_over_subjects() -> None:
    row = SeedComponents(
        cohort="c",
        task=TASK,
        missingness="complete",
        method="pretraining/a",
        metric="auroc",
        n_seeds=3,
        mean=0.8,
        low=0.75,
        high=0.85,
        people=0.012,
        seeds=0.0,
        both=0.03,
        between=0.02,
        seeds_low=0.01,
        seeds_high=0.06,
        n_samples=100,
        digest="d",
    )
    (panel,) = seed_panels([row], methods=METHODS, tasks=TASKS)
    assert panel.head == [
        "method",
        "mean",
        "SD over subjects",
        "SD over seeds, these subjects",
        "of it, for all subjects",
        "of it, for these subjects only",
    ]
    assert panel.body == [
        [
            "A, nothing missing",
            "0.800 (0.750 to 0.850)",
            "0.012",
            "0.020 (0.010 to 0.060)",
            "0.000 (3 seeds)",
            "0.030",
        ]
    ]
    assert "standard deviation of AUROC" in svg_of(panel)
    assert seed_panels([], methods=METHODS, tasks=TASKS) == []
