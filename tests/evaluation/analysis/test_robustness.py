"""Retained shares, areas and effective robustness of runs, by hand and on shared resamples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.robustness import (
    AT_CHANCE,
    PERHAPS_AT_CHANCE,
    measure_robustness,
)
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.stats.robustness import effective_robustness
from clinical_symile.tracking.benchmark_tables import Robustness
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.run import Run

ROWS, CHANCE = 90, 0.1
PATTERNS = ("complete", "without-ecg", "mcar-30")


@pytest.fixture
def task(search_task: Retrieval) -> Retrieval:
    return search_task.model_copy(update={"missingness": PATTERNS})


def scored(
    folder: Path,
    store: CohortStore,
    task: Retrieval,
    right: Mapping[str, np.ndarray],
    *,
    method: str = "symile",
    seed: int = 0,
) -> Run:
    """A run that answers these queries rightly under each pattern; chance level is 0.1."""
    run = Run(folder / f"{method}-{seed}")
    run.write_metadata({"name": run.name, "seed": seed, "task": f"pretraining/{method}"})
    digest = expected_fingerprints(task, store)
    about = {"run": run.name, "cohort": "synthetic", "task": task.name, "split": task.split}
    numbers = {"low": 0.0, "high": 1.0, "chance": CHANCE, "n_samples": ROWS, "n_subjects": ROWS}
    run.write_evaluation(
        task.name,
        results=[
            Result(
                **about,
                **numbers,
                missingness=pattern,
                metric=task.primary,
                value=float(hits.mean()),
                interval="bca",
                hidden={},
                mask="0123",
                seed=0,
                digest=digest(pattern),
            )
            for pattern, hits in right.items()
        ],
        unscored=[],
        outcomes={
            pattern: pd.DataFrame({"row": np.arange(ROWS), "above": 1 - hits, "tied": 0})
            for pattern, hits in right.items()
        },
        candidates=pd.DataFrame(),
    )
    return run


def answers(*first: int) -> dict[str, np.ndarray]:
    """So many of the first queries are right under each pattern."""
    return {
        pattern: (np.arange(ROWS) < n).astype(int)
        for pattern, n in zip(PATTERNS, first, strict=True)
    }


def found(rows: list[Robustness], quantity: str) -> dict[str, Robustness]:
    return {row.missingness: row for row in rows if row.quantity == quantity}


def test_numbers_by_hand(task: Retrieval, synthetic_store: CohortStore, tmp_path: Path):
    run = scored(tmp_path, synthetic_store, task, answers(81, 45, 63))
    rows = measure_robustness([run], [task], store=synthetic_store)
    retained = found(rows, "retained")
    # Recall of 90, 50 and 70 % is 80, 40 and 60 % above chance.
    assert retained["without-ecg"].value == pytest.approx(40 / 80)
    assert retained["mcar-30"].value == pytest.approx(60 / 80)
    assert found(rows, "area")["mcar-30"].value == pytest.approx((0.9 + 0.7) / 2)
    assert found(rows, "retained_area")["mcar-30"].value == pytest.approx((0.8 + 0.6) / 2 / 0.8)
    for row in rows:
        if row.quantity != "effective":
            assert row.low is not None
            assert row.high is not None
            assert row.value is not None
            assert row.low < row.value < row.high
            assert (row.reason, row.n_methods, row.n_samples) == (None, 1, ROWS)
    effective = found(rows, "effective")["mcar-30"]
    assert effective.value is None
    assert effective.reason == "needs 6 methods or more; there are 1"


def test_a_marker_that_shows_held_out_outcomes_is_left_out(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    kept, shifted = (f"ecg-marker{word}-deterioration" for word in ("", "-shift"))
    names = ("complete", f"{kept}-50", f"{kept}-90", f"{shifted}-50", f"{shifted}-90")
    task = task.model_copy(update={"missingness": names})
    right = {name: (np.arange(ROWS) < 60).astype(int) for name in names}
    run = scored(tmp_path, synthetic_store, task, right)
    rows = measure_robustness([run], [task], store=synthetic_store)
    assert {row.missingness for row in rows} == {f"{shifted}-50", f"{shifted}-90"}


def test_an_area_over_seconds_lost_weighs_each_step_by_its_length(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    names = ("complete", "ecg-segment-6s", "ecg-segment-2s")
    lost = task.model_copy(update={"missingness": names})
    right: dict[str, np.ndarray] = dict(zip(names, answers(81, 45, 63).values(), strict=True))
    run = scored(tmp_path, synthetic_store, lost, right)
    rows = measure_robustness([run], [lost], store=synthetic_store)
    area = (2 * (0.9 + 0.7) / 2 + 4 * (0.7 + 0.5) / 2) / 6
    assert found(rows, "area").keys() == {"ecg-segment-6s"}
    assert found(rows, "area")["ecg-segment-6s"].value == pytest.approx(area)


def test_the_share_is_paired_what_is_right_under_both_patterns_does_not_widen_it(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    same = scored(tmp_path, synthetic_store, task, answers(60, 60, 54))
    retained = found(measure_robustness([same], [task], store=synthetic_store), "retained")
    assert retained["without-ecg"].value == 1
    assert retained["without-ecg"].low is None  # in every resample nothing is lost
    other = answers(60, 60, 54)
    other["mcar-30"] = np.random.default_rng(0).permutation(other["mcar-30"])
    apart = scored(tmp_path, synthetic_store, task, other, method="clip")
    widths = []
    for run in (same, apart):
        row = found(measure_robustness([run], [task], store=synthetic_store), "retained")["mcar-30"]
        assert row.low is not None
        assert row.high is not None
        widths.append(row.high - row.low)
    assert widths[0] < 0.6 * widths[1]


def test_a_method_at_chance_has_no_share_and_one_near_it_no_interval(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    below = scored(tmp_path, synthetic_store, task, answers(9, 8, 9))
    near = scored(tmp_path, synthetic_store, task, answers(12, 10, 11), method="clip")
    rows = measure_robustness([below, near], [task], store=synthetic_store)
    shares = [row for row in rows if (row.quantity, row.missingness) == ("retained", "mcar-30")]
    assert [(row.value, row.low, row.reason) for row in shares] == [
        (None, None, AT_CHANCE),
        (pytest.approx(2 / 3), None, PERHAPS_AT_CHANCE),
    ]


def test_effective_robustness_is_over_methods_whose_seeds_are_averaged(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    complete, shifted = [50, 55, 60, 65, 70, 75], [30, 36, 38, 60, 52, 58]
    runs = [
        scored(tmp_path, synthetic_store, task, answers(n, m + step, m), method=f"m{at}", seed=step)
        for at, (n, m) in enumerate(zip(complete, shifted, strict=True))
        for step in (0, 2)
    ]
    rows = measure_robustness(runs, [task], store=synthetic_store)
    of = {row.method: row for row in rows if row.quantity == "effective"}
    assert len(of) == 6
    pattern = [
        row for row in rows if (row.quantity, row.missingness) == ("effective", "without-ecg")
    ]
    expected = effective_robustness(
        np.array(complete) / ROWS, (np.array(shifted) + 1) / ROWS, low=0.0, high=1.0
    )
    assert [row.value for row in pattern] == pytest.approx(expected.tolist())
    assert pattern[3].low is not None
    assert pattern[3].low > 0  # the fourth is far above the line
    assert {row.n_methods for row in pattern} == {6}


def test_patterns_that_score_other_samples_are_left_out(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    run = scored(tmp_path, synthetic_store, task, {"mcar-30": np.ones(ROWS, dtype=int)})
    assert measure_robustness([run], [task], store=synthetic_store) == []


def test_a_method_without_a_value_takes_none_from_the_others(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    runs = []
    for at in range(7):
        right = answers(50 + 4 * at, 30 + 3 * at, 40)
        if at == 2:
            del right["without-ecg"]
        runs.append(scored(tmp_path, synthetic_store, task, right, method=f"m{at}"))
    rows = measure_robustness(runs, [task], store=synthetic_store)
    made = [row for row in rows if (row.quantity, row.missingness) == ("effective", "without-ecg")]
    assert [row.value is None for row in made] == [at == 2 for at in range(7)]
    assert {row.n_methods for row in made} == {6}
    assert made[2].reason == "there is no value for this method under both patterns"
