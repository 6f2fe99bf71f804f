"""Measures of predicted risks, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.evaluation.analysis.risk_predictions import risk_measures
from clinical_symile.tracking.analysis_tables import RunAnalysis
from tests.helpers.outcomes import sample_outcomes

# Two hundred subjects: of those with risk 0.2 a fifth, of those with 0.8 four fifths have it.
PROBABILITY = np.repeat([0.2, 0.8], 100)
LABEL = np.concatenate([np.arange(100) < 20, np.arange(100) < 80]).astype(int)


def _outcome(probability: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"row": np.arange(200), "label": LABEL, "probability": probability})


def test_correct_risks_have_slope_one_and_no_offset(risk_task: Classification):
    one = sample_outcomes(risk_task, _outcome(PROBABILITY))
    made = {row.measure: row for row in risk_measures(one, complete=None, part=None).measures}
    assert made["calibration/slope"].value == pytest.approx(1, abs=1e-6)
    assert made["calibration/observed_minus_predicted"].value == pytest.approx(0, abs=1e-6)
    assert all(row.n_samples <= 200 for row in made.values())
    # Errors that are at least 0, such as miscalibration, are biased upwards in resamples.
    for name in ("calibration/slope", "calibration/observed_minus_predicted", "calibration/brier"):
        row = made[name]
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high


def test_the_net_benefit_is_the_definition(risk_task: Classification):
    one = sample_outcomes(risk_task, _outcome(PROBABILITY))
    curve = {
        round(row.threshold, 3): row
        for row in risk_measures(one, complete=None, part=None).net_benefit
    }
    threshold = min(curve, key=lambda at: abs(at - 0.5))
    odds = threshold / (1 - threshold)
    assert 0.2 < threshold < 0.8
    assert curve[threshold].value == pytest.approx(80 / 200 - 20 / 200 * odds)
    assert curve[threshold].treat_all == pytest.approx(100 / 200 - 100 / 200 * odds)


def test_the_points_of_the_curve_are_shares_of_samples(risk_task: Classification):
    one = sample_outcomes(risk_task, _outcome(PROBABILITY))
    curve = risk_measures(one, complete=None, part=None).calibration
    assert not any(row.recalibrated for row in curve)
    for row in curve:
        assert row.predicted is not None
        assert row.observed is not None
        assert row.predicted == pytest.approx(row.observed, abs=0.35)
    assert sum(row.n_samples or 0 for row in curve) == 200


def test_a_retrieval_has_no_risks(search_task: Retrieval):
    outcome = pd.DataFrame({"row": [0], "above": [0], "tied": [0], "candidates": [2]})
    one = sample_outcomes(search_task, outcome)
    assert risk_measures(one, complete=None, part=None) == RunAnalysis()
