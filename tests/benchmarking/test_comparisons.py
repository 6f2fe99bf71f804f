"""Which runs are compared with which, and which rows are still current."""

from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking import comparisons
from clinical_symile.benchmarking.comparisons import all_losses, compare_runs, current_rows
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.results import Comparison
from clinical_symile.tracking.run import Run

BASELINES = ("prevalence", "late-fusion")


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made


def _run(folder: Path, name: str, **record) -> Run:
    run = Run(folder / name)
    run.write_metadata({"name": name, **record})
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    trained = [("symile-0", 0), ("clip-0", 0), ("clip-1", 1)]
    made = [_run(tmp_path, name, seed=seed, task="pretraining/x") for name, seed in trained]
    return [*made, *(_run(tmp_path, name, baseline=name) for name in BASELINES)]


def _row(run: Run, other: Run, task: Retrieval, digest: str) -> Comparison:
    return Comparison(
        run=run.name,
        cohort="synthetic",
        task=task.name,
        split=task.split,
        missingness="complete",
        metric=task.primary,
        n_samples=50,
        n_subjects=50,
        digest=digest,
        baseline=other.name,
        difference=0.1,
        low=0.0,
        high=0.2,
        p_value=0.01,
    )


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, task: Retrieval, synthetic_store: CohortStore):
    """Replace each comparison by a row with p = 0.01; the list of pairs that were compared."""
    pairs: list[tuple[str, str]] = []
    digest = expected_fingerprints(task, synthetic_store)("complete")

    def compare(run: Run, other: Run, task: Retrieval, *, store: CohortStore) -> list[Comparison]:
        pairs.append((run.name, other.name))
        return [_row(run, other, task, digest)]

    monkeypatch.setattr(comparisons, "compare", compare)
    return pairs


def test_only_runs_of_one_seed_are_compared_and_never_two_baselines(
    runs: list[Run], task: Retrieval, synthetic_store: CohortStore, compared: list
):
    done: list[tuple[int, int]] = []
    compare_runs(runs, [task], store=synthetic_store, progress=lambda *at: done.append(at))
    trained = {frozenset(pair) for pair in compared if not {*BASELINES} & {*pair}}
    assert trained == {frozenset({"symile-0", "clip-0"})}
    assert len(compared) == 1 + 3 * 2
    assert frozenset(BASELINES) not in {frozenset(pair) for pair in compared}
    assert done[-1] == (7, 7)


def test_differences_from_baselines_are_a_family_of_their_own(
    runs: list[Run], task: Retrieval, synthetic_store: CohortStore, compared: list
):
    made = compare_runs(runs, [task], store=synthetic_store)
    assert len(made) == len(compared)
    between = [row for row in made if not {row.run, row.baseline} & {*BASELINES}]
    with_baseline = [row for row in made if row not in between]
    assert [row.p_holm for row in between] == pytest.approx(list(holm([0.01])))
    assert [row.p_holm for row in with_baseline] == pytest.approx(list(holm([0.01] * 6)))


def test_rows_of_an_old_pattern_task_or_fingerprint_are_left_out(
    runs: list[Run], task: Retrieval, synthetic_store: CohortStore
):
    digest = expected_fingerprints(task, synthetic_store)("complete")
    now = _row(runs[0], runs[1], task, digest)
    old = [
        replace(now, missingness="mcar-11"),
        replace(now, task="retrieval/another"),
        replace(now, digest="0123"),
    ]
    assert current_rows([*old, now], [task], store=synthetic_store) == [now]


def test_every_run_has_its_loss_on_every_task(
    runs: list[Run],
    task: Retrieval,
    synthetic_store: CohortStore,
    monkeypatch: pytest.MonkeyPatch,
):
    digest = expected_fingerprints(task, synthetic_store)("complete")
    margins = []

    def lose(run: Run, task: Retrieval, *, store: CohortStore, margin: float | None):
        margins.append(margin)
        return [_row(run, run, task, digest)]

    monkeypatch.setattr(comparisons, "losses_under_missingness", lose)
    made = all_losses(runs, [task], store=synthetic_store, margin=0.05)
    assert [row.run for row in made] == [run.name for run in runs]
    assert margins == [0.05] * len(runs)
    assert [row.p_holm for row in made] == pytest.approx(list(holm([0.01] * len(runs))))
