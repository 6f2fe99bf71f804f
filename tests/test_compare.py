from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.catalog import Catalog
from clinical_symile.compare import compare
from clinical_symile.errors import DataError
from clinical_symile.results import Result
from clinical_symile.run import Run
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification, Retrieval, read_task


@pytest.fixture
def task(catalog: Catalog) -> Retrieval | Classification:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog.path("tasks", name), name=name)
    assert isinstance(made, Retrieval)
    return made


def _run(
    folder: Path,
    task: Retrieval | Classification,
    above: list[int],
    *,
    rows: list[int] | None = None,
    digest: str = "same",
    patterns: tuple[str, ...] = ("complete",),
) -> Run:
    """A run that was scored with so many candidates above the right one."""
    run = Run(folder)
    run.write_record({"name": run.name, "seed": 0})
    outcome = pd.DataFrame({"row": rows or list(range(len(above))), "above": above, "tied": 0})
    results = [
        Result(
            run=run.name,
            cohort="synthetic",
            task=task.name,
            split=task.split,
            missingness=pattern,
            metric=task.primary,
            value=sum(place == 0 for place in above) / len(above),
            low=0.0,
            high=1.0,
            chance=0.1,
            n_samples=len(above),
            n_subjects=len(above),
            seed=0,
            digest=digest,
        )
        for pattern in patterns
    ]
    run.write_evaluation(
        task.name,
        results=results,
        unscored=[],
        outcomes=dict.fromkeys(patterns, outcome),
        candidates=pd.DataFrame(),
    )
    return run


def test_the_difference_is_that_of_the_two_values(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    # Recall at 1 is 3 / 4 for the one, 1 / 4 for the other; no resample leaves [0, 1].
    run = _run(tmp_path / "symile-0", task, [0, 0, 0, 4])
    other = _run(tmp_path / "clip-0", task, [1, 0, 2, 4])
    (made,) = compare(run, other, task, store=synthetic_store)
    assert made.difference == 0.5
    assert 0 <= made.low <= made.difference <= made.high <= 1
    assert (made.run, made.baseline, made.metric) == ("symile-0", "clip-0", "recall_at_1")
    assert (made.n_samples, made.digest, made.split) == (4, "same", "held_out")
    assert made.n_subjects == len(set(synthetic_store.samples["subject"][:4]))
    (back,) = compare(other, run, task, store=synthetic_store)
    assert back.difference == -0.5
    assert (back.low, back.high) == pytest.approx((-made.high, -made.low))


def test_a_difference_that_is_the_same_for_everyone_is_certain(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "symile-0", task, [0] * 6)
    other = _run(tmp_path / "clip-0", task, [1] * 6)
    (made,) = compare(run, other, task, store=synthetic_store)
    assert (made.difference, made.low, made.high) == (1, 1, 1)


def test_identical_runs_do_not_differ(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run, other = [_run(tmp_path / name, task, [0, 3, 1, 0, 0]) for name in ("a-0", "b-0")]
    (made,) = compare(run, other, task, store=synthetic_store)
    assert (made.difference, made.low, made.high) == (0, 0, 0)


def test_only_patterns_of_both_are_compared(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "a-0", task, [0, 1], patterns=("complete", "mcar-30"))
    other = _run(tmp_path / "b-0", task, [0, 1], patterns=("observed", "complete"))
    made = compare(run, other, task, store=synthetic_store)
    assert [comparison.missingness for comparison in made] == ["complete"]


@pytest.mark.parametrize("other", [{"rows": [0, 2]}, {"digest": "another"}])
def test_runs_that_were_scored_on_different_samples_are_refused(
    other: dict, task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "a-0", task, [0, 1])
    baseline = _run(tmp_path / "b-0", task, [0, 1], **other)
    with pytest.raises(DataError, match=r"'a-0' and 'b-0' were not scored on the same samples of"):
        compare(run, baseline, task, store=synthetic_store)
