"""What is told of a run is what its outcomes say, and on made-up people what the oracle says."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.analysis.analyze import analyze_run
from clinical_symile.files import remove_file, write_file
from clinical_symile.metrics.classification import AUROC, BRIER, expected_calibration_error
from clinical_symile.metrics.shapley import interaction, shapley_values
from clinical_symile.stats.bootstrap import bootstrap
from clinical_symile.stats.proportions import mean_estimate
from clinical_symile.synthetic.world import WORLD_MODALITIES
from clinical_symile.tracking.analysis_tables import ANALYSIS_TABLES, RunAnalysis, read_analysis
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.run import Run

ALL = (
    "complete",
    "without-cxr",
    "without-ecg",
    "without-labs",
    "only-cxr",
    "only-ecg",
    "only-labs",
)


@pytest.fixture
def classification(catalog: Catalog) -> Classification:
    name = "classification/deterioration"
    task = read_task(catalog, name)
    assert isinstance(task, Classification)
    return task


@pytest.fixture
def retrieval(catalog: Catalog) -> Retrieval:
    name = "retrieval/cxr_given_ecg_labs"
    task = read_task(catalog, name)
    assert isinstance(task, Retrieval)
    return task


def scored_run(
    folder: Path,
    task: Classification | Retrieval,
    outcomes: dict[str, pd.DataFrame],
    tuning: dict[str, pd.DataFrame] | None = None,
) -> Run:
    """A run with these outcomes, as evaluation leaves it."""
    run = Run(folder)
    run.write_metadata({"name": run.name, "seed": 0})
    results = [
        Result(
            run=run.name,
            cohort="synthetic",
            task=task.name,
            split=task.split,
            missingness=pattern,
            metric=task.primary,
            value=0.5,
            low=0.0,
            high=1.0,
            interval="bca",
            chance=0.5,
            n_samples=len(outcome),
            n_subjects=len(outcome),
            hidden={"ecg": 0.0, "labs": 0.0},
            mask="0123",
            seed=0,
            digest="same",
        )
        for pattern, outcome in outcomes.items()
    ]
    run.write_evaluation(
        task.name,
        results=results,
        unscored=[],
        outcomes=outcomes,
        tuning=tuning or {},
        candidates=pd.DataFrame(),
    )
    return run


def predicted(rng: np.random.Generator, rows: np.ndarray, *, blur: float = 0.0) -> pd.DataFrame:
    log_odds = np.random.default_rng(5).normal(0, 1.5, len(rows))
    label = (np.random.default_rng(6).random(len(rows)) < expit(log_odds)).astype(int)
    probability = expit(log_odds + rng.normal(0, blur, len(rows)) if blur else log_odds)
    return pd.DataFrame({"row": rows, "label": label, "probability": probability})


def numbers(told: RunAnalysis, pattern: str) -> dict[str, float]:
    return {row.measure: row.value for row in told.measures if row.missingness == pattern}


def test_measures_are_those_of_the_outcomes(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    rows, tuning_rows = np.arange(100), np.arange(30, 100)
    whole, less = predicted(rng, rows), predicted(rng, rows, blur=2.0)
    tuning = predicted(rng, tuning_rows)
    run = scored_run(
        tmp_path / "a-0",
        classification,
        {"complete": whole, "only-ecg": less},
        {"complete": tuning, "only-ecg": tuning},
    )
    told = analyze_run(run, [classification], store=synthetic_store)
    found = numbers(told, "only-ecg")
    label, probability = less["label"].to_numpy(), less["probability"].to_numpy()
    assert found["calibration/brier"] == pytest.approx(BRIER.compute(label, probability))
    error = expected_calibration_error(label, probability)
    assert found["calibration/expected_error"] == pytest.approx(error)
    parts = [found[f"calibration/{part}"] for part in ("miscalibration", "discrimination")]
    total = parts[0] - parts[1] + found["calibration/uncertainty"]
    assert total == pytest.approx(found["calibration/brier"])
    right = ((probability > 0.5) == label).mean()
    before = ((whole["probability"] > 0.5) == whole["label"]).mean()
    assert found["high_confidence_errors/accuracy"] == pytest.approx(right)
    assert found["high_confidence_errors/accuracy_fall"] == pytest.approx(before - right)
    fall, unsure = (
        found["high_confidence_errors/accuracy_fall"],
        found["high_confidence_errors/confidence_fall"],
    )
    assert found["high_confidence_errors/gap"] == pytest.approx(fall - unsure)
    assert "high_confidence_errors/gap" not in numbers(told, "complete")
    assert 0 <= found["conformal/coverage"] <= 1
    assert found["recalibrated/brier"] != found["calibration/brier"]
    for row in told.measures:
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.high


def test_the_intervals_are_the_bootstrap_over_subjects_or_those_for_few_subjects(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    outcome = predicted(rng, np.arange(100))
    run = scored_run(tmp_path / "a-0", classification, {"complete": outcome})
    told = analyze_run(run, [classification], store=synthetic_store)
    subjects = synthetic_store.samples["subject"].to_numpy()[:100]
    label, probability = outcome["label"].to_numpy(), outcome["probability"].to_numpy()
    rng = np.random.default_rng(classification.seed)
    expected = bootstrap(expected_calibration_error, [label, probability], subjects, rng=rng)
    rows = {row.measure: row for row in told.measures}
    row = rows["calibration/expected_error"]
    assert (row.value, row.low, row.high) == pytest.approx(expected[:3])
    # Fewer than 100 subjects: a mean has the interval for few subjects.
    few = mean_estimate((label - probability) ** 2, subjects).interval()
    row = rows["calibration/brier"]
    assert (row.value, row.low, row.high) == pytest.approx(few[:3])


def test_without_tuning_predictions_nothing_is_recalibrated_and_no_sets_are_made(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    run = scored_run(tmp_path / "a-0", classification, {"complete": predicted(rng, np.arange(60))})
    told = analyze_run(run, [classification], store=synthetic_store)
    prefixes = {row.measure.split("/")[0] for row in told.measures}
    assert prefixes == {"calibration", "high_confidence_errors", "selective"}
    assert not any(row.recalibrated for row in told.calibration)


def test_small_bins_of_a_curve_are_withheld(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    run = scored_run(tmp_path / "a-0", classification, {"complete": predicted(rng, np.arange(60))})
    told = analyze_run(run, [classification], store=synthetic_store)
    assert len(told.calibration) == 10  # of six samples each
    for row in told.calibration:
        assert row.predicted is row.observed is row.low is row.high is row.n_samples is None


def test_what_is_written_is_read_again(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    rows = np.arange(120)
    outcomes = {pattern: predicted(rng, rows, blur=1.0) for pattern in ALL}
    run = scored_run(tmp_path / "a-0", classification, outcomes)
    told = analyze_run(run, [classification], store=synthetic_store)
    read = read_analysis(run.path)
    for name in ANALYSIS_TABLES:
        assert getattr(told, name)
        assert list(getattr(read, name)) == list(getattr(told, name))
    assert read_analysis(tmp_path) == RunAnalysis()


def test_what_was_told_of_the_same_results_is_not_told_again(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    run = scored_run(tmp_path / "a-0", classification, {"complete": predicted(rng, np.arange(60))})
    analyze_run(run, [classification], store=synthetic_store)
    remove_file(run.path / "measures.jsonl")  # on purpose, as its checksums say
    assert not analyze_run(run, [classification], store=synthetic_store).measures
    scored_run(tmp_path / "a-0", classification, {"only-ecg": predicted(rng, np.arange(60))})
    assert analyze_run(run, [classification], store=synthetic_store).measures


def test_a_table_that_was_lost_is_computed_again(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    run = scored_run(tmp_path / "a-0", classification, {"complete": predicted(rng, np.arange(60))})
    first = analyze_run(run, [classification], store=synthetic_store)
    (run.path / "measures.jsonl").unlink()
    assert analyze_run(run, [classification], store=synthetic_store) == first


def test_other_tuning_predictions_are_told_of_anew(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    outcomes, tuning_rows = {"complete": predicted(rng, np.arange(60))}, np.arange(60, 100)
    tuning = predicted(rng, tuning_rows)
    run = scored_run(tmp_path / "a-0", classification, outcomes, {"complete": tuning})
    before = numbers(analyze_run(run, [classification], store=synthetic_store), "complete")
    blurred = predicted(rng, tuning_rows, blur=2.0)
    write_file(run.path / "tuning" / classification.name / "complete.parquet", blurred.to_parquet)
    after = numbers(analyze_run(run, [classification], store=synthetic_store), "complete")
    assert after["recalibrated/brier"] != before["recalibrated/brier"]
    assert after["calibration/brier"] == before["calibration/brier"]
    scored_run(tmp_path / "a-0", classification, outcomes)
    assert run.analysis_digest(classification.name) is None
    told = analyze_run(run, [classification], store=synthetic_store)
    assert "recalibrated/brier" not in numbers(told, "complete")


def test_what_was_told_of_other_tasks_stays(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    other = classification.model_copy(update={"name": "classification/other"})
    for task in (classification, other):
        run = scored_run(tmp_path / "a-0", task, {"complete": predicted(rng, np.arange(60))})
    both = analyze_run(run, [classification, other], store=synthetic_store)
    scored_run(tmp_path / "a-0", other, {"complete": predicted(rng, np.arange(60), blur=2.0)})
    told = analyze_run(run, [other], store=synthetic_store)
    assert {row.task for row in told.measures} == {other.name}
    # The uncertainty depends on the labels alone, which are the same.
    changed = [row for row in told.measures if row.measure != "calibration/uncertainty"]
    assert set(changed).isdisjoint(both.measures)
    kept = [row for row in both.measures if row.task == classification.name]
    assert list(read_analysis(run.path).measures) == [*kept, *told.measures]


def test_shapley_values_are_those_of_the_metric_under_each_pattern(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    rows = np.arange(120)
    outcomes = {name: predicted(rng, rows, blur=place) for place, name in enumerate(ALL)}
    run = scored_run(tmp_path / "a-0", classification, outcomes)
    told = analyze_run(run, [classification], store=synthetic_store)
    shown = [
        {*WORLD_MODALITIES},
        {"ecg", "labs"},
        {"cxr", "labs"},
        {"cxr", "ecg"},
        *({m} for m in WORLD_MODALITIES),
    ]
    values = {frozenset(): 0.5} | {
        frozenset(some): AUROC.compute(
            outcomes[name]["label"].to_numpy(), outcomes[name]["probability"].to_numpy()
        )
        for name, some in zip(ALL, shown, strict=True)
    }
    found = {(row.quantity, row.modalities): row.value for row in told.modality_value}
    for name, value in shapley_values(values, WORLD_MODALITIES).items():
        assert found["shapley", name] == pytest.approx(value)
    assert found["interaction", "ecg+labs"] == pytest.approx(interaction(values, ["ecg", "labs"]))
    total = sum(found["shapley", name] for name in WORLD_MODALITIES)
    assert found["total", "cxr+ecg+labs"] == pytest.approx(total)
    assert all(row.low <= row.value <= row.high for row in told.modality_value)  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]


def test_shapley_values_need_every_combination_on_the_same_samples(
    retrieval: Retrieval, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    def outcome(rows: int) -> pd.DataFrame:
        return pd.DataFrame({"row": np.arange(rows), "above": 0, "tied": 0, "candidates": 10})

    few = scored_run(tmp_path / "a-0", retrieval, {n: outcome(9) for n in ("complete", "only-ecg")})
    assert not analyze_run(few, [retrieval], store=synthetic_store).modality_value
    names = ("complete", "without-ecg", "without-labs")
    every = scored_run(tmp_path / "b-0", retrieval, {name: outcome(9) for name in names})
    told = analyze_run(every, [retrieval], store=synthetic_store).modality_value
    assert [row.value for row in told if row.quantity == "alone"] == pytest.approx([0.9, 0.9])
    other = {name: outcome(9 - (name == "without-ecg")) for name in names}
    mixed = scored_run(tmp_path / "c-0", retrieval, other)
    with pytest.raises(DataError, match="were scored on different samples"):
        analyze_run(mixed, [retrieval], store=synthetic_store)


def test_groups_are_told_with_gaps_of_one_family(
    retrieval: Retrieval, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    rows = np.arange(len(synthetic_store.samples))
    frames = {
        name: pd.DataFrame(
            {"row": rows, "above": rng.integers(3, size=len(rows)), "tied": 0, "candidates": 10}
        )
        for name in ("observed", "complete")
    }
    run = scored_run(tmp_path / "a-0", retrieval, frames)
    told = analyze_run(run, [retrieval], store=synthetic_store).subgroups
    assert {row.subgroup for row in told} == {"sex", "age", "availability"}
    assert {row.level for row in told if row.subgroup == "sex"} == {"F", "M"}
    both = [row for row in told if (row.subgroup, row.missingness) == ("sex", "complete")]
    assert both[0].p_holm == both[1].p_holm  # one gap, told twice and tested once
    (tests,) = {row.n_tests for row in told}
    distinct = {(r.missingness, r.subgroup, abs(r.gap)) for r in told if r.gap is not None}
    assert tests <= len({(*key[:2], round(key[2], 9)) for key in distinct}) + 2
    for row in told:
        if row.p_value is not None:
            assert row.p_holm is not None
            assert row.p_holm >= row.p_value
        if row.withheld:
            assert {v for k, v in asdict(row).items() if k in ("value", "gap", "n_samples")} == {
                None
            }


def test_coverage_of_a_class_is_of_its_own_samples_and_not_told_of_few(
    classification: Classification, synthetic_store: CohortStore, tmp_path: Path, rng
) -> None:
    tuning = predicted(rng, np.arange(60))
    for positives, told in ((40, True), (4, False)):
        outcome = predicted(rng, np.arange(100))
        outcome["label"] = (np.arange(100) < positives).astype(int)
        run = scored_run(
            tmp_path / f"{positives}-0", classification, {"complete": outcome}, {"complete": tuning}
        )
        rows = analyze_run(run, [classification], store=synthetic_store).measures
        sizes = {row.measure: row.n_samples for row in rows}
        assert sizes["conformal/coverage"] == 100
        of_class = [sizes.get(f"conformal/coverage_{name}") for name in ("positive", "negative")]
        assert of_class == ([40, 60] if told else [None, None])
