"""Pictures of what absence costs, from results whose numbers are made up here."""

from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.absence_panels import calibration, degradation, lost, met, subgroups, worth
from clinical_symile.measures import Measure, ModalityValue, SubgroupResult
from clinical_symile.results import Result
from clinical_symile.scores import Scores, Series

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
def scores() -> Scores:
    return Scores(
        replace(
            RESULT, run=run, missingness=pattern, value=0.8 - 0.05 * place - 0.1 * (run == "b-0")
        )
        for run in ("a-0", "b-0", "oracle")
        for place, pattern in enumerate(PATTERNS)
    )


def test_degradation_goes_from_nothing_missing_to_the_highest_rate_of_a_mechanism(scores):
    by_chance, severe = degradation(scores, tasks=TASKS, series=SERIES)
    assert by_chance.head == ["run", "0 % missing", "10 % missing", "50 % missing"]
    assert severe.head == ["run", "0 % missing", "50 % missing"]
    assert by_chance.body[0] == [
        "masked cube",
        "0.800 (0.750 to 0.850)",
        "0.700 (0.750 to 0.850)",
        "0.650 (0.750 to 0.850)",
    ]
    assert by_chance.body[-1] == ["best possible", "0.800", "0.700", "0.650"]
    assert "% of each modality missing" in by_chance.picture


def test_the_matrix_has_a_column_for_each_run_and_a_row_for_each_pattern(scores):
    (panel,) = met(scores, tasks=TASKS, series=SERIES)
    assert panel.head == ["met with", "masked cube", "learned"]
    assert [row[0] for row in panel.body][:2] == ["nothing missing", "without ECG"]
    assert len(panel.body) == len(PATTERNS)
    assert panel.picture.count("0.80") == 1


def test_what_was_not_scored_is_said_and_left_blank():
    few = Scores([RESULT, replace(RESULT, run="b-0", missingness="mcar-50")])
    (panel,) = met(few, tasks=TASKS, series=SERIES)
    assert panel.body[0][2] == "not scored"
    assert panel.body[1][1] == "not scored"


def test_worth_calibration_and_subgroups_have_a_line_for_each_label():
    ends: dict[str, Any] = {"value": 0.1, "low": 0.05, "high": 0.2}
    sizes: dict[str, Any] = {"n_samples": 100, "n_subjects": 90}
    shapley = ModalityValue(
        run="a-0", **ABOUT, metric="auroc", quantity="shapley", modalities="ecg", **ends, **sizes
    )
    values = [shapley, replace(shapley, quantity="interaction", modalities="cxr+ecg")]
    (panel,) = worth(values, tasks=TASKS, series=SERIES)
    assert panel.body == [["ECG", "0.100 (0.050 to 0.200, 100 samples)", "not told"]]
    error = Measure(
        run="b-0",
        **ABOUT,
        missingness="without-ecg",
        part=None,
        measure="calibration/expected_error",
        **ends,
        n_samples=7,
    )
    others = [replace(error, measure="calibration/slope"), replace(error, low=None, high=None)]
    (panel,) = calibration([error], tasks=TASKS, series=SERIES)
    assert panel.body == [["without ECG", "not told", "0.100 (0.050 to 0.200, <10 samples)"]]
    assert calibration(others, tasks=TASKS, series=SERIES) == []
    group = SubgroupResult(
        run="a-0",
        **ABOUT,
        missingness="complete",
        metric="auroc",
        subgroup="sex",
        level="female",
        **ends,
        gap=None,
        gap_low=None,
        gap_high=None,
        p_value=None,
        p_holm=None,
        n_tests=1,
        worst=None,
        **sizes,
        withheld=None,
    )
    withheld = replace(group, level="male", value=None, low=None, high=None, withheld="few")
    (panel,) = subgroups([group, withheld], tasks=TASKS, series=SERIES)
    assert [row[0] for row in panel.body] == ["sex: female"]


def test_what_is_lost_is_told_in_a_sentence_from_the_numbers(scores):
    assert lost(scores, tasks=TASKS, series=SERIES) == [
        "Predict died from chest X-ray and ECG: with nothing missing, AUROC is from 0.70 (learned) "
        "to 0.80 (masked cube) of 0.80 possible; where 50 % of each modality is missing at random, "
        "from 0.55 (learned) to 0.65 (masked cube) of 0.65 possible."
    ]
    assert lost(Scores([RESULT]), tasks=TASKS, series=SERIES) == []
