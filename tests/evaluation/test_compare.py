from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.benchmarking.comparisons import compare_runs
from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.compare import compare, compare_all, losses_under_missingness
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.stats.hypothesis_tests import auroc_difference, delong, mcnemar
from clinical_symile.stats.multiple_testing import benjamini_hochberg, holm
from clinical_symile.tracking.results import Comparison, Result, read_rows
from clinical_symile.tracking.run import Run


@pytest.fixture
def task(catalog: Catalog) -> Retrieval | Classification:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog, name)
    assert isinstance(made, Retrieval)
    return made


def _run(
    folder: Path,
    store: CohortStore,
    task: Retrieval | Classification,
    above: list[int],
    *,
    rows: list[int] | None = None,
    digest: str | None = None,
    patterns: tuple[str, ...] = ("complete",),
    tied: int = 0,
) -> Run:
    """A run that was scored with so many candidates above the right one, or tied with it."""
    run = Run(folder)
    run.write_metadata({"name": run.name, "seed": 0})
    outcome = pd.DataFrame({"row": rows or list(range(len(above))), "above": above, "tied": tied})
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
            interval="bca",
            chance=0.1,
            n_samples=len(above),
            n_subjects=len(above),
            hidden={"ecg": 0.0, "labs": 0.0},
            mask="0123",
            seed=0,
            digest=digest or expected_fingerprints(task, store)(pattern),
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
    # Recall at 1 is 3 / 4 for the one, 1 / 4 for the other.
    run = _run(tmp_path / "symile-0", synthetic_store, task, [0, 0, 0, 4])
    other = _run(tmp_path / "clip-0", synthetic_store, task, [1, 0, 2, 4])
    (made,) = compare(run, other, task, store=synthetic_store)
    assert made.difference == 0.5
    assert made.low is not None
    assert made.high is not None
    assert -1 <= made.low < made.difference < made.high <= 1
    assert (made.run, made.baseline, made.metric) == ("symile-0", "clip-0", "recall_at_1")
    assert (made.n_samples, made.split) == (4, "held_out")
    assert made.digest == expected_fingerprints(task, synthetic_store)("complete")
    assert made.n_subjects == len(set(synthetic_store.samples["subject"][:4]))
    (back,) = compare(other, run, task, store=synthetic_store)
    assert back.difference == -0.5
    assert (back.low, back.high) == pytest.approx((-made.high, -made.low))


def test_a_difference_that_is_the_same_for_six_samples_is_not_certain(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "symile-0", synthetic_store, task, [0] * 6)
    other = _run(tmp_path / "clip-0", synthetic_store, task, [1] * 6)
    (made,) = compare(run, other, task, store=synthetic_store)
    assert made.difference == made.high == 1
    assert made.low is not None
    assert made.low < 0.9


def test_identical_runs_do_not_differ_and_have_no_interval_but_a_reason(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run, other = [
        _run(tmp_path / name, synthetic_store, task, [0, 3, 1, 0, 0]) for name in ("a-0", "b-0")
    ]
    (made,) = compare(run, other, task, store=synthetic_store)
    assert (made.difference, made.low, made.high) == (0, None, None)
    assert made.no_interval is not None
    assert "say nothing of its variation" in made.no_interval


def test_only_patterns_of_both_are_compared(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "a-0", synthetic_store, task, [0, 1], patterns=("complete", "mcar-30"))
    other = _run(tmp_path / "b-0", synthetic_store, task, [0, 1], patterns=("observed", "complete"))
    made = compare(run, other, task, store=synthetic_store)
    assert [comparison.missingness for comparison in made] == ["complete"]


def test_runs_that_were_scored_on_different_samples_are_refused(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "a-0", synthetic_store, task, [0, 1])
    baseline = _run(tmp_path / "b-0", synthetic_store, task, [0, 1], rows=[0, 2])
    with pytest.raises(DataError, match=r"'a-0' and 'b-0' were not scored on the same samples of"):
        compare(run, baseline, task, store=synthetic_store)


def test_runs_that_were_scored_on_another_store_or_task_than_this_are_refused(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run, baseline = [
        _run(tmp_path / name, synthetic_store, task, [0, 1]) for name in ("a-0", "b-0")
    ]
    (made,) = compare(run, baseline, task, store=synthetic_store)
    other = replace(synthetic_store, manifest={**synthetic_store.manifest, "digest": "another"})
    again = "run 'a-0': .* under 'complete' are not of this task and store .* Evaluate it again on"
    for asked, store in ((task, other), (task.model_copy(update={"seed": 1}), synthetic_store)):
        with pytest.raises(DataError, match=again):
            compare(run, baseline, asked, store=store)
        with pytest.raises(DataError, match=again):
            losses_under_missingness(run, asked, store=store)
    stale = _run(tmp_path / "c-0", synthetic_store, task, [0, 1], digest=made.digest[::-1])
    with pytest.raises(DataError, match="run 'c-0'"):
        compare(run, stale, task, store=synthetic_store)


def test_a_run_as_good_as_a_random_ranking_is_not_called_worse(
    catalog: Catalog, task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "a-0", synthetic_store, task, [0, *[1] * 9] * 6)
    reference = _run(tmp_path / "b-0", synthetic_store, task, [0] * 60, tied=9)
    (made,) = compare(run, reference, task, store=synthetic_store)
    assert made.difference == pytest.approx(0)
    assert made.p_value == pytest.approx(1)


def test_a_difference_has_the_test_of_its_metric(
    catalog: Catalog, task: Retrieval, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    ranks = rng.integers(3, size=(2, 60)).tolist()
    run, other = (
        _run(tmp_path / "a-0", synthetic_store, task, ranks[0]),
        _run(tmp_path / "b-0", synthetic_store, task, ranks[1]),
    )
    (made,) = compare(run, other, task, store=synthetic_store)
    hits = (np.array(ranks) == 0).astype(float)
    subjects = synthetic_store.samples["subject"].to_numpy()[:60]
    assert (made.test, made.p_value) == mcnemar(hits[0], hits[1], subjects)[::2]
    reciprocal = task.model_copy(update={"primary": "mean_reciprocal_rank"})
    run, other = (
        _run(tmp_path / name, synthetic_store, reciprocal, above)
        for name, above in zip(("c-0", "d-0"), ranks, strict=True)
    )
    (made,) = compare(run, other, reciprocal, store=synthetic_store)
    assert made.test == "sign flips"
    middle = task.model_copy(update={"primary": "median_rank", "metrics": ("median_rank",)})
    run, other = (
        _run(tmp_path / name, synthetic_store, middle, above)
        for name, above in zip(("e-0", "f-0"), ranks, strict=True)
    )
    (made,) = compare(run, other, middle, store=synthetic_store)
    assert made.test == "bootstrap, normal"
    assert made.standard_error is not None
    assert made.detectable == pytest.approx(2.801585 * made.standard_error, rel=1e-6)


def _risk_runs(
    folder: Path, store: CohortStore, task: Classification, label: np.ndarray, risks: np.ndarray
) -> list[Run]:
    """Two runs that give the samples these risks."""
    runs = []
    for name, risk in zip(("a-0", "b-0"), risks, strict=True):
        run = _run(folder / name, store, task, [0] * len(label))
        frame = pd.DataFrame({"row": range(len(label)), "label": label, "probability": risk})
        frame.to_parquet(run.path / "outcomes" / task.name / "complete.parquet")
        runs.append(run)
    return runs


@pytest.fixture
def risk_task(catalog: Catalog) -> Classification:
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    return task


def _of_subjects(store: CohortStore, number: int) -> np.ndarray:
    """Return which of the first 100 samples are of the first so many subjects, one sample each."""
    subjects = store.samples["subject"].to_numpy()[:100]
    first = np.unique(subjects, return_index=True)[1]
    return np.isin(np.arange(100), np.sort(first)[:number])


@pytest.mark.parametrize("positives", [2, 3, 30])
def test_auroc_is_compared_by_delong_if_two_subjects_have_a_sample_of_each_class(
    positives: int, risk_task: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    label = _of_subjects(synthetic_store, positives).astype(int)
    risks = rng.random((2, 100))
    runs = _risk_runs(tmp_path, synthetic_store, risk_task, label, risks)
    (made,) = compare(runs[0], runs[1], risk_task, store=synthetic_store)
    assert made.test == "DeLong, clustered, Student"
    subjects = synthetic_store.samples["subject"].to_numpy()[:100]
    by_hand = auroc_difference(label, risks[0], risks[1], subjects)
    assert (made.low, made.high) == by_hand.interval()[1:3]
    assert made.difference == pytest.approx(by_hand.value)
    assert made.p_value == pytest.approx(delong(label, risks[0], risks[1], subjects).p_value)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_auroc_has_neither_interval_nor_p_value_if_one_subject_has_all_samples_of_a_class(
    seed: int, flipped: bool, risk_task: Classification, synthetic_store: CohortStore, tmp_path
) -> None:
    task = risk_task.model_copy(update={"seed": seed})
    risks = np.random.default_rng(seed).random((2, 100))
    label = (_of_subjects(synthetic_store, 1) != flipped).astype(int)
    one_run, other = _risk_runs(tmp_path, synthetic_store, task, label, risks)
    (made,) = compare(one_run, other, task, store=synthetic_store)
    one = np.flatnonzero(label != flipped)[0]
    # With one positive the area is the share of negatives below it.
    of_one = (risks < risks[:, [one]]).sum(axis=1) / 99
    assert made.difference == pytest.approx((of_one[0] - of_one[1]) * (-1 if flipped else 1))
    assert (made.low, made.high, made.standard_error, made.p_value) == (None,) * 4
    assert made.no_interval is not None
    assert "fewer than 4 subjects have one of the two" in made.no_interval


@pytest.mark.parametrize(("positives", "has_interval"), [(1, False), (3, False), (4, True)])
@pytest.mark.parametrize("seed", range(6))
def test_the_subjects_of_a_class_decide_whether_to_resample_whatever_the_seed(
    seed: int,
    positives: int,
    has_interval: bool,
    risk_task: Classification,
    synthetic_store,
    tmp_path,
) -> None:
    # Of resamples, 5 % lack a class of three subjects: their number is above or below the limit by
    # chance.
    task = risk_task.model_copy(update={"seed": seed, "primary": "auprc", "metrics": ("auprc",)})
    label = _of_subjects(synthetic_store, positives).astype(int)
    risks = np.random.default_rng(0).random((2, 100))
    one_run, other = _risk_runs(tmp_path, synthetic_store, task, label, risks)
    (made,) = compare(one_run, other, task, store=synthetic_store)
    assert (made.low is not None) == has_interval
    assert (made.p_value is not None) == has_interval


def test_a_metric_of_single_samples_is_compared_whatever_the_classes_are(
    risk_task: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    task = risk_task.model_copy(update={"primary": "brier", "metrics": ("brier",)})
    label, risks = np.zeros(100, dtype=int), rng.random((2, 100))
    label[0] = 1
    one_run, other = _risk_runs(tmp_path, synthetic_store, task, label, risks)
    (made,) = compare(one_run, other, task, store=synthetic_store)
    assert made.low is not None
    assert made.test == "sign flips"


def test_a_mean_over_several_outcomes_is_compared_as_a_mean(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    # Both rank each outcome alike; one gives the rarer outcome the higher risks, so that a single
    # ranking of all rows would tell them apart.
    name = "classification/more/xray_findings"
    task = read_task(catalog, name)
    assert isinstance(task, Classification)
    runs = []
    for run_name, shift in (("a-0", 0.0), ("b-0", 0.5)):
        run = _run(tmp_path / run_name, synthetic_store, task, [0] * 100)
        frames = []
        for place, part in enumerate(task.questions):
            label = (np.arange(100) % (place + 2) == 0).astype(int)
            noise = np.random.default_rng(place).random(100)
            risk = 0.3 * (noise + label) / 2 + shift * (place == 2)
            frames.append(
                pd.DataFrame({"row": range(100), "label": label, "probability": risk, "part": part})
            )
        frame = pd.concat(frames, ignore_index=True)
        frame.to_parquet(run.path / "outcomes" / name / "complete.parquet")
        runs.append(run)
    (made,) = compare(runs[0], runs[1], task, store=synthetic_store)
    assert (made.difference, made.p_value, made.test) == (0.0, 1.0, "bootstrap, normal")


def test_p_values_are_adjusted_for_the_whole_family(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    patterns = ("complete", "without-ecg", "mcar-30")
    runs = [
        _run(
            tmp_path / name,
            synthetic_store,
            task,
            rng.integers(3, size=60).tolist(),
            patterns=patterns,
        )
        for name in ("a-0", "b-0", "c-0")
    ]
    shown: list[tuple[int, ...]] = []
    made, lost = compare_all(
        runs,
        [task],
        store=synthetic_store,
        progress=lambda *of: shown.append(of),
    )
    assert shown == [(done, 6) for done in range(1, 7)]
    assert len(made) == 9
    p_values = [row.p_value for row in made if row.p_value is not None]
    assert [row.p_holm for row in made] == holm(p_values)
    assert [row.p_fdr for row in made] == benjamini_hochberg(p_values)
    assert {row.family for row in made} == {"9 tests: 3 pairs of runs, 1 task, 3 patterns"}
    assert {row.family for row in lost} == {"6 tests: 3 runs, 1 task, 2 patterns"}


def test_patterns_that_a_task_has_no_more_are_not_of_the_family(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    fewer = task.model_copy(update={"missingness": ("complete",)})
    patterns = ("complete", "without-ecg")
    runs = [
        _run(tmp_path / name, synthetic_store, fewer, above, patterns=patterns)
        for name, above in (("a-0", [0] * 60), ("b-0", [0, 1, 2] * 20))
    ]
    (made,) = compare_runs(runs, [fewer], store=synthetic_store)
    assert (made.missingness, made.p_holm) == ("complete", made.p_value)
    assert made.family == "1 test: 1 pair of runs, 1 task, 1 pattern"


def test_what_is_lost_under_a_pattern_is_paired_with_nothing_missing(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(
        tmp_path / "a-0", synthetic_store, task, [0] * 40, patterns=("complete", "without-ecg")
    )
    worse = pd.DataFrame({"row": range(40), "above": [0, 1] * 20, "tied": 0})
    worse.to_parquet(run.path / "outcomes" / task.name / "without-ecg.parquet")
    (made,) = losses_under_missingness(run, task, store=synthetic_store)
    assert (made.run, made.baseline, made.missingness, made.against) == (
        *("a-0", "a-0"),
        *("without-ecg", "complete"),
    )
    assert made.difference == -0.5
    assert made.high < 0  # pyright: ignore[reportOptionalOperand]
    few = pd.DataFrame({"row": range(39), "above": 0, "tied": 0})
    few.to_parquet(run.path / "outcomes" / task.name / "without-ecg.parquet")
    assert losses_under_missingness(run, task, store=synthetic_store) == []


@pytest.mark.parametrize(
    ("share", "margin", "verdict"),
    [(0.0, 0.05, "equivalent"), (0.2, 0.05, "not shown"), (0.2, 0.9, "equivalent")],
)
def test_a_margin_gives_a_verdict(
    share: float,
    margin: float,
    verdict: str,
    task: Retrieval,
    synthetic_store: CohortStore,
    tmp_path: Path,
) -> None:
    right = [0] * 100
    wrong = [int(place < 100 * share) for place in range(100)]
    run, other = (
        _run(tmp_path / "a-0", synthetic_store, task, wrong),
        _run(tmp_path / "b-0", synthetic_store, task, right),
    )
    (made,) = compare(run, other, task, store=synthetic_store, margin=margin)
    assert (made.verdict, made.margin) == (verdict, margin)
    own = task.model_copy(update={"margin": margin})
    assert compare(run, other, own, store=synthetic_store) == [made]
    (without,) = compare(run, other, task, store=synthetic_store)
    assert without.verdict is without.margin is None


def test_where_less_is_better_a_fall_is_no_loss(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    middle = task.model_copy(update={"primary": "median_rank", "metrics": ("median_rank",)})
    run = _run(tmp_path / "a-0", synthetic_store, middle, rng.integers(3, size=100).tolist())
    other = _run(
        tmp_path / "b-0", synthetic_store, middle, (3 + rng.integers(5, size=100)).tolist()
    )
    (made,) = compare(run, other, middle, store=synthetic_store, margin=0.5)
    assert made.difference < 0
    assert made.verdict == "non-inferior"
    (back,) = compare(other, run, middle, store=synthetic_store, margin=0.5)
    assert back.verdict == "not shown"


def test_what_cannot_be_compared_is_refused(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = _run(tmp_path / "a-0", synthetic_store, task, [0, 1])
    with pytest.raises(DataError, match="runs a-0; expected two or more of different names"):
        compare_all([run], [task], store=synthetic_store)
    with pytest.raises(DataError, match="runs a-0, a-0; expected two or more"):
        compare_all([run, run], [task], store=synthetic_store)
    other = _run(tmp_path / "b-0", synthetic_store, task, [0, 1], patterns=("observed",))
    with pytest.raises(DataError, match="runs a-0, b-0 have no task and pattern in common"):
        compare_all([run, other], [task], store=synthetic_store)


def test_the_command_compares_and_keeps_what_it_found(
    task: Retrieval,
    synthetic_store: CohortStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, above in (("a-0", [0] * 60), ("b-0", [0, 1, 2] * 20)):
        _run(
            tmp_path / "runs" / name,
            synthetic_store,
            task,
            above,
            patterns=("complete", "without-ecg"),
        )
    words = ["compare", str(tmp_path / "runs/a-0"), str(tmp_path / "runs/b-0")]
    words += ["--store", str(synthetic_store.path), "--margin", "0.05"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert "a-0 - b-0" in shown
    assert "McNemar" in shown
    assert "2 tests: 1 pair of runs, 1 task, 2 patterns" in shown
    made = read_rows(tmp_path / "runs" / "comparisons.jsonl", Comparison)
    assert [row.verdict for row in made] == ["non-inferior"] * 2
    assert len(read_rows(tmp_path / "runs" / "losses.jsonl", Comparison)) == 2


@pytest.mark.parametrize("margin", ["0", "-0.1", "inf", "nan", "some"])
def test_a_margin_that_is_none_is_refused(margin: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare", "a", "b", "--store", "s", f"--margin={margin}"])
    assert stop.value.code == 1
    assert "expected a number above 0, such as 0.02" in capsys.readouterr().err
