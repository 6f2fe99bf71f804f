"""What is told of the oracle is what exact enumeration of its world says it should be."""

from dataclasses import fields
from functools import cache

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.analyze import analyze_run
from clinical_symile.evaluation.analysis.modality_contribution import contribution_values
from clinical_symile.evaluation.references import evaluate_oracle
from clinical_symile.metrics.conformal import conformal_threshold, prediction_sets
from clinical_symile.metrics.shapley import modality_subsets
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.synthetic.oracle import Bayes
from clinical_symile.synthetic.world import WORLD_MODALITIES, World, bits_to_integers
from clinical_symile.tracking.analysis_tables import RunAnalysis
from clinical_symile.tracking.run import Run

DETERIORATION = "classification/deterioration"
SETTLED = (
    "complete",
    "without-cxr",
    "without-ecg",
    "without-labs",
    "only-cxr",
    "only-ecg",
    "only-labs",
)

WORLD = World(redundant=1, unique=1, synergistic=3, synergy=1.0, flip=0.05)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    """Some thousand admissions of the world of the synthetic cohort, without their recordings."""
    rng, n = np.random.default_rng(3), 2400
    drawn = [WORLD.draw(rng) for _ in range(n)]
    shown = bits_to_integers(np.stack([bits for bits, _ in drawn]))
    table = pd.DataFrame(
        {
            "sample": np.arange(n),
            "subject": np.arange(n) // 2,
            "split": np.where(np.arange(n) < 800, "tuning", "held_out"),
            "outcome_deterioration": [float(ends) for _, ends in drawn],
            "group_sex": rng.choice(["F", "M"], n),
            **{
                f"kept_shown_{name}": shown[:, place] for place, name in enumerate(WORLD_MODALITIES)
            },
        }
    )
    parameters = {field.name: getattr(WORLD, field.name) for field in fields(WORLD)}
    oracle = "clinical_symile.synthetic.oracle:Oracle"
    manifest = {
        "cohort": "synthetic",
        "cohort_digest": "of-the-cohort",
        "digest": "of-the-store",
        "generator": {"parameters": parameters, "oracle": oracle},
    }
    present = np.ones((n, 3), dtype=bool)
    about = {"dtype": "float32", "shape": [1], "unit": "none", "parts": []}
    manifest |= {
        "modalities": dict.fromkeys(WORLD_MODALITIES, about),
        "units": {},
        "counts": {
            "held_out": {
                "samples": n,
                "subjects": n,
                "present": dict.fromkeys(WORLD_MODALITIES, n),
            }
        },
    }
    folder = tmp_path_factory.mktemp("people")
    return CohortStore(folder, manifest, table, WORLD_MODALITIES, present, None)


@pytest.fixture(scope="module")
def oracle(catalog: Catalog, people: CohortStore) -> tuple[Run, RunAnalysis]:
    """The oracle as a run, and what is told of it."""
    tasks = []
    for name in ("classification/deterioration", "retrieval/cxr_given_ecg_labs"):
        task = read_task(catalog, name)
        assert isinstance(task, Classification | Retrieval)
        tasks.append(task)
    run = evaluate_oracle(tasks, store=people, run=Run(people.path / "oracle"))
    assert run is not None
    return run, analyze_run(run, tasks, store=people)


SEEN = {"auroc": WORLD_MODALITIES, "recall_at_1": ("ecg", "labs")}


@cache
def enumerated(metric: str) -> dict[frozenset[str], float]:
    """The exact value of the best answer for every combination of modalities."""
    bayes = Bayes(WORLD)
    if metric == "auroc":
        value = lambda visible: bayes.auroc(visible)  # noqa: E731
        modalities, nothing = WORLD_MODALITIES, 0.5
    else:
        value = lambda visible: bayes.recall_at_1(visible, "cxr", candidates=10)  # noqa: E731
        modalities, nothing = ("ecg", "labs"), 0.1
    return {
        some: value(tuple(name for name in modalities if name in some)) if some else nothing
        for some in modality_subsets(modalities)
    }


def test_the_ceilings_of_all_patterns_are_those_of_enumeration(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    run, _ = oracle
    available = 0
    for row in run.results:
        modalities = WORLD_MODALITIES if row.metric == "auroc" else ("ecg", "labs")
        if row.metric not in ("auroc", "recall_at_1") or row.missingness.startswith("mcar"):
            continue
        shown = frozenset(parse_pattern(row.missingness).visible_modalities(modalities))
        exact = enumerated(row.metric)[shown]
        reach = (row.high - row.low) / 2  # pyright: ignore[reportOperatorIssue]
        assert row.value == pytest.approx(exact, abs=1.5 * reach), row.missingness
        available += 1
    assert available == 7 + 4


@pytest.mark.parametrize("metric", ["auroc", "recall_at_1"])
def test_shapley_values_and_interactions_of_the_oracle_are_those_of_enumeration(
    metric: str, oracle: tuple[Run, RunAnalysis]
) -> None:
    told = [row for row in oracle[1].modality_value if row.metric == metric]
    modalities = WORLD_MODALITIES if metric == "auroc" else ("ecg", "labs")
    exact = contribution_values(enumerated(metric), modalities)
    assert {(row.quantity, row.modalities) for row in told} == {*exact}
    for row in told:
        reach = (row.high - row.low) / 2  # pyright: ignore[reportOperatorIssue]
        assert row.value == pytest.approx(exact[row.quantity, row.modalities], abs=1.5 * reach), (
            row.quantity
        )
    if metric == "recall_at_1":
        (pair,) = [row for row in told if row.quantity == "interaction"]
        assert pair.low > 0.3  # three factors of the X-ray are XORs: the pair is synergistic  # pyright: ignore[reportOptionalOperand]


def test_the_oracle_is_calibrated_covers_what_it_promises_and_is_never_silent(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    right = {"calibration/slope": 1, "calibration/intercept": 0, "high_confidence_errors/gap": 0}
    right |= {"calibration/observed_minus_predicted": 0, "recalibrated/slope": 1}
    beyond: dict[str, list[float]] = {name: [] for name in right}
    patterns = set()
    for row in oracle[1].measures:
        patterns.add(row.missingness)
        if row.measure in right:
            assert row.low is not None
            assert row.high is not None
            reach = (row.high - row.low) / 2
            beyond[row.measure].append(abs(row.value - right[row.measure]) / reach)
        if row.measure == "conformal/coverage":
            assert row.value == pytest.approx(0.9, abs=0.02) or row.value > 0.9
        if row.measure == "calibration/expected_error":
            assert row.value < 0.04
        if row.measure == "high_confidence_errors/accuracy_fall" and row.missingness.startswith(
            "only-"
        ):
            assert row.value > 0
    # Not `mcar-30`: it leaves some people nothing, and there is no train split to know prevalence.
    assert len(patterns) == 7
    for name, values in beyond.items():
        # Of seven patterns on the same people nearly all reach the truth, and none is far from it.
        assert sum(value > 1 for value in values) <= 2, name
        assert max(values) < 1.7, name


def test_the_decisions_of_the_oracle_are_worth_more_than_treating_all_or_none(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    gains = [row for row in oracle[1].net_benefit if row.missingness == "complete"]
    assert len(gains) == 19
    assert all(row.gain_high >= 0 for row in gains)  # pyright: ignore[reportOptionalOperand]
    assert max(row.gain_low for row in gains) > 0.05  # pyright: ignore[reportArgumentType]


def test_no_group_of_the_made_up_people_is_found_to_be_worse(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    gaps = [row.p_holm for row in oracle[1].subgroups if row.subgroup == "sex"]
    assert len(gaps) == 2 * (7 + 5)  # without `mcar-30`, as above
    assert all(p is not None and p > 0.05 for p in gaps)


@cache
def risks(pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """Every combination of words that a pattern shows: its risk, and how likely it is."""
    shown = tuple(parse_pattern(pattern).visible_modalities(WORLD_MODALITIES))
    bayes = Bayes(WORLD)
    hidden = tuple(place for place, name in enumerate(WORLD_MODALITIES) if name not in shown)
    return bayes.probabilities(shown), bayes.joint.sum(axis=hidden).ravel()


def lie_where_they_should(rows: list[tuple[float, float | None, float | None, float]]) -> None:
    """Of values, the ends of their intervals and what is true: no value is far from the truth.

    All are of the same people, so that they stray together: each may by 3.3 standard errors.
    """
    assert rows
    for value, low, high, exact in rows:
        assert low is not None
        assert high is not None
        assert value == pytest.approx(exact, abs=1.7 * (high - low) / 2)


def measured(
    told: RunAnalysis, name: str
) -> list[tuple[tuple[float, float | None, float | None], str]]:
    return [
        ((row.value, row.low, row.high), row.missingness)
        for row in told.measures
        if row.measure == name and row.missingness in SETTLED
    ]


def test_brier_score_accuracy_and_confidence_are_those_of_enumeration(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    # A risk p is right: its squared distance is p (1 - p) on average, the called class is the true
    # one with max(p, 1 - p), and that is how sure the oracle is.
    exact = {
        "calibration/brier": lambda p: p * (1 - p),
        "high_confidence_errors/accuracy": lambda p: np.maximum(p, 1 - p),
        "high_confidence_errors/confidence": lambda p: np.maximum(p, 1 - p),
    }
    for name, of in exact.items():
        found = measured(oracle[1], name)
        assert len(found) == len(SETTLED)
        truths = {
            pattern: float(of(p) @ mass) for pattern in SETTLED for p, mass in [risks(pattern)]
        }
        lie_where_they_should([(*row, truths[pattern]) for row, pattern in found])


def test_the_uncertainty_of_the_outcome_is_that_of_enumeration(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    found = measured(oracle[1], "calibration/uncertainty")
    p, mass = risks("complete")
    prevalence = float(p @ mass)
    lie_where_they_should([(*row, prevalence * (1 - prevalence)) for row, _ in found])


def test_a_calibration_curve_of_the_oracle_lies_on_the_diagonal(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    bins = [
        (row.observed, row.low, row.high, row.predicted)
        for row in oracle[1].calibration
        if row.missingness in SETTLED and not row.recalibrated
        if row.observed is not None and row.predicted is not None and row.low != row.high
    ]
    outside = [
        low is None or high is None or not low <= predicted <= high
        for _, low, high, predicted in bins
    ]
    assert len(bins) > 20
    assert np.mean(outside) < 0.15


def test_the_net_benefit_of_the_oracle_is_that_of_enumeration(
    oracle: tuple[Run, RunAnalysis],
) -> None:
    rows, everybody = [], []
    for row in oracle[1].net_benefit:
        if row.missingness not in SETTLED:
            continue
        p, mass = risks(row.missingness)
        t = row.threshold
        worth = p - (1 - p) * t / (1 - t)
        everybody.append(abs(row.treat_all - float(worth @ mass)))
        if row.low is not None and row.high is not None:
            rows.append((row.value, row.low, row.high, float((worth * (p >= t)) @ mass)))
    assert len(rows) > 100
    lie_where_they_should([row for row in rows if row[0] > 0.02])
    assert max(everybody[:10]) < 0.05


def test_the_sets_of_the_oracle_hold_what_enumeration_says_of_their_threshold(
    oracle: tuple[Run, RunAnalysis], people: CohortStore
) -> None:
    run, told = oracle
    found = {(row.missingness, row.measure): row for row in told.measures}
    names = ("conformal/coverage", "conformal/set_size", "conformal/cannot_tell")
    rows: dict[str, list[tuple[float, float | None, float | None, float]]] = {n: [] for n in names}
    for pattern in SETTLED:
        tuning = run.tuning_outcome(DETERIORATION, pattern)
        assert tuning is not None
        threshold = conformal_threshold(
            tuning["label"].to_numpy(),
            tuning["probability"].to_numpy(),
            people.samples["subject"].to_numpy()[tuning["row"]],
        )
        p, mass = risks(pattern)
        sets = prediction_sets(p, threshold=threshold)
        truths = {
            "conformal/coverage": float((sets[:, 1] * p + sets[:, 0] * (1 - p)) @ mass),
            "conformal/set_size": float(sets.sum(axis=1) @ mass),
            "conformal/cannot_tell": float((sets.sum(axis=1) == 2) @ mass),
        }
        for name in names:
            row = found[pattern, name]
            rows[name].append((row.value, row.low, row.high, truths[name]))
            assert name != "conformal/coverage" or truths[name] > 0.85
    for name in names:
        lie_where_they_should([row for row in rows[name] if row[1] != row[2]])


def test_both_sexes_fare_as_enumeration_says_all_people_do(oracle: tuple[Run, RunAnalysis]) -> None:
    rows = []
    for row in oracle[1].subgroups:
        if row.subgroup == "sex" and row.missingness in SETTLED and row.value is not None:
            shown = frozenset(parse_pattern(row.missingness).visible_modalities(SEEN[row.metric]))
            rows.append((row.value, row.low, row.high, enumerated(row.metric)[shown]))
    lie_where_they_should(rows)
