"""Methods with several seeds, and against each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.analysis.method_ranking import rank_and_decompose
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.tracking.benchmark_tables import MethodRank, SeedComponents
from clinical_symile.tracking.results import Result, read_rows, write_rows
from clinical_symile.tracking.run import Run

ROWS = 90


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog, name)
    assert isinstance(made, Retrieval)
    return made


def scored(
    folder: Path,
    store: CohortStore,
    task: Retrieval,
    method: str,
    share: float,
    *,
    seed: int,
    rows: int = ROWS,
    patterns: tuple[str, ...] = ("complete", "without-ecg"),
) -> Run:
    """A run of a method that is right in about such a share of queries."""
    run = Run(folder / f"{method}-{seed}")
    run.write_metadata({"name": run.name, "seed": seed, "task": f"pretraining/{method}"})
    result = Result(
        run=run.name,
        cohort="synthetic",
        task=task.name,
        split=task.split,
        missingness="complete",
        metric=task.primary,
        value=share,
        low=0.0,
        high=1.0,
        interval="bca",
        chance=0.1,
        n_samples=rows,
        n_subjects=rows,
        hidden={"ecg": 0.0, "labs": 0.0},
        mask="0123",
        seed=seed,
        digest=expected_fingerprints(task, store)("complete"),
    )
    wrong = np.random.default_rng([seed, int(100 * share)]).random(rows) > share
    frame = pd.DataFrame({"row": np.arange(rows), "above": wrong.astype(int), "tied": 0})
    run.write_evaluation(
        task.name,
        results=[
            replace(
                result,
                missingness=pattern,
                digest=expected_fingerprints(task, store)(pattern),
            )
            for pattern in patterns
        ],
        unscored=[],
        outcomes=dict.fromkeys(patterns, frame),
        candidates=pd.DataFrame(),
    )
    return run


def test_seeds_and_ranks_are_told_of_methods(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    runs = [
        scored(tmp_path, synthetic_store, task, method, share, seed=seed)
        for method, share in (("good", 0.9), ("poor", 0.4))
        for seed in range(3)
    ]
    shown: list[tuple[int, ...]] = []
    seeds, ranks = rank_and_decompose(
        runs,
        [task],
        store=synthetic_store,
        progress=lambda *of: shown.append(of),
    )
    assert shown == sorted(shown)
    assert shown[0] == (1000, 5000)
    assert shown[-1] == (5000, 5000)
    assert [(row.method, row.missingness, row.n_seeds) for row in seeds] == [
        (f"pretraining/{method}", pattern, 3)
        for pattern in ("complete", "without-ecg")
        for method in ("good", "poor")
    ]
    shares = [1 - run.outcome(task.name, "complete")["above"].mean() for run in runs[:3]]
    assert seeds[0].mean == pytest.approx(np.mean(shares))
    between = seeds[0].seeds ** 2 + seeds[0].both ** 2
    assert between >= np.var(shares, ddof=1) - 1e-12
    assert seeds[0].low < seeds[0].mean < seeds[0].high
    first, second = ranks[:2]
    assert (first.method, first.missingness, first.rank) == ("pretraining/good", "all", 1)
    assert (second.rank, second.best) == (2, 0)
    assert first.tasks == [task.name] * 2
    assert {row.missingness for row in ranks} == {"all", "complete", "without-ecg"}
    write_rows(tmp_path / "seeds.jsonl", seeds)
    write_rows(tmp_path / "ranks.jsonl", ranks)
    assert read_rows(tmp_path / "seeds.jsonl", SeedComponents) == seeds
    assert read_rows(tmp_path / "ranks.jsonl", MethodRank) == ranks


def test_a_run_that_was_made_elsewhere_is_a_method_of_its_own(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    runs = [
        scored(tmp_path, synthetic_store, task, name, 0.7, seed=0) for name in ("ours", "theirs")
    ]
    runs[1].write_metadata({"name": runs[1].name})
    _, ranks = rank_and_decompose(runs, [task], store=synthetic_store)
    assert {row.method for row in ranks} == {"pretraining/ours", "theirs-0"}


def test_patterns_that_a_task_has_no_more_are_told_nothing_of(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    fewer = task.model_copy(update={"missingness": ("complete",)})
    runs = [
        scored(tmp_path, synthetic_store, fewer, name, share, seed=seed)
        for name, share in (("good", 0.9), ("poor", 0.4))
        for seed in range(2)
    ]
    seeds, ranks = rank_and_decompose(runs, [fewer], store=synthetic_store)
    assert {row.missingness for row in seeds} == {"complete"}
    assert {row.missingness for row in ranks} == {"all", "complete"}
    assert rank_and_decompose(runs, [task], store=synthetic_store) == ([], [])


def test_a_marker_that_shows_held_out_outcomes_takes_no_part_in_ranks(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    kept, shifted = (f"ecg-marker{word}-deterioration-90" for word in ("", "-shift"))
    patterns = ("complete", kept, shifted)
    task = task.model_copy(update={"missingness": patterns})
    runs = [
        scored(tmp_path, synthetic_store, task, name, share, seed=seed, patterns=patterns)
        for name, share in (("good", 0.9), ("poor", 0.4))
        for seed in range(2)
    ]
    seeds, ranks = rank_and_decompose(runs, [task], store=synthetic_store)
    assert {row.missingness for row in ranks} == {"all", "complete", shifted}
    assert ranks[0].tasks == [task.name] * 2
    assert {row.missingness for row in seeds} == set(patterns)  # no method is ranked there


def test_one_seed_or_one_method_is_told_nothing_of(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    one = scored(tmp_path, synthetic_store, task, "good", 0.8, seed=0)
    assert rank_and_decompose([one], [task], store=synthetic_store) == ([], [])
    assert rank_and_decompose([], [task], store=synthetic_store) == ([], [])


def test_runs_on_other_samples_are_refused(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    runs = [
        scored(tmp_path, synthetic_store, task, "good", 0.8, seed=seed, rows=ROWS - seed)
        for seed in (0, 1)
    ]
    with pytest.raises(DataError, match="were not scored on the same samples"):
        rank_and_decompose(runs, [task], store=synthetic_store)


def test_patterns_of_which_results_are_withheld_take_no_part_in_ranks(
    tmp_path: Path, synthetic_store: CohortStore, task: Retrieval
):
    runs = [
        scored(tmp_path, synthetic_store, task, method, share, seed=0)
        for method, share in (("symile", 0.9), ("clip", 0.2))
    ]
    _, before = rank_and_decompose(runs, [task], store=synthetic_store)
    assert {row.missingness for row in before} >= {"complete", "without-ecg", "all"}
    file = runs[0].path / "results.jsonl"
    rows = [
        replace(row, n_subjects=9) if row.missingness == "without-ecg" else row
        for row in read_rows(file, Result)
    ]
    write_rows(file, rows)
    _, after = rank_and_decompose([Run(run.path) for run in runs], [task], store=synthetic_store)
    assert "without-ecg" not in {row.missingness for row in after}
    assert all(len(row.tasks) == 1 for row in after if row.missingness == "all")
