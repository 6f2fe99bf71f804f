"""A diagnostic task: the measures it names, in its order, and on whom they count."""

import numpy as np
import pandas as pd
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.diagnostics.evaluator import DiagnosticEvaluator, samples_of_measure
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.missingness.patterns import parse_pattern
from tests.helpers.examined import examined, fixture_f

pytestmark = pytest.mark.usefixtures("few_resamples")


def _evaluator(inputs: DiagnosticInputs) -> DiagnosticEvaluator:
    return DiagnosticEvaluator(inputs.request.task, inputs.predictor, inputs.store)


def test_the_task_chooses_measures_and_their_order() -> None:
    table = {"metrics": ["paired_gap", "gap"], "primary": "gap"}
    outcome = _evaluator(examined(fixture_f(), table=table)).outcome(parse_pattern("observed"))
    assert outcome.metrics is not None
    names = [metric.name for metric in outcome.metrics]
    pairs = ("a-b", "a-c", "b-c")
    parts = [[name, *(f"{name}/{pair}" for pair in pairs)] for name in ("paired_gap", "gap")]
    assert names == [*parts[0], *parts[1]]
    assert outcome.per_sample["row"].tolist() == [8, 9, 10, 11]


def test_a_measure_counts_its_own_samples_and_an_average_the_fewest() -> None:
    frame = pd.DataFrame({"row": [5, 6, 7], "x": [1, np.nan, 2], "y": [1.0, 2, 3]})
    assert samples_of_measure(frame, ("x",)).tolist() == [5, 7]
    assert samples_of_measure(frame, ("y", "x")).tolist() == [5, 7]


def test_results_count_the_subjects_who_have_what_a_measure_needs() -> None:
    z = np.tile(fixture_f(), (8, 1, 1)) + np.random.default_rng(0).normal(size=(32, 3, 3)) / 9
    has = np.ones((32, 3), dtype=bool)
    has[:20, 2] = False
    inputs = examined(z, available=has)
    made = evaluate(inputs.request.task, inputs.predictor, store=inputs.store, run="a-0", seed=3)
    rows = {row.metric: row for row in made.results}
    assert rows["gap/a-b"].n_subjects == 32
    assert rows["gap/a-c"].n_subjects == 12
    assert rows["gap"].n_samples == 12
    assert all(row.low is not None and row.chance is None for row in made.results)


def test_a_pattern_that_no_sample_fits_is_a_reason() -> None:
    has = np.zeros((4, 3), dtype=bool)
    has[:, 0] = True
    with pytest.raises(CannotScore, match="no sample of the split"):
        _evaluator(examined(fixture_f(), available=has)).outcome(parse_pattern("complete"))
