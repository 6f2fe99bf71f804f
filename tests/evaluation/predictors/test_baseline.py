"""A baseline learns from the labelled samples of the train and the tuning split."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.baselines.base import Baseline, BaselineInputs
from clinical_symile.evaluation.predictors.base import RiskPredictor, draw_request
from clinical_symile.evaluation.predictors.baseline import BaselinePredictor
from clinical_symile.missingness.patterns import parse_pattern


@dataclass
class _Recorded:
    description: str = "Keeps its inputs."
    learns_from_all: bool = False
    inputs: list[BaselineInputs] = field(default_factory=list)

    def predict(self, inputs: BaselineInputs):
        self.inputs.append(inputs)
        return np.full(len(inputs.request.rows), 0.25)


@pytest.mark.parametrize("pattern", ["complete", "without-labs"])
def test_it_gets_labelled_samples_of_their_splits_under_the_pattern_of_the_request(
    pattern: str, catalog: Catalog, synthetic_store: CohortStore, tiny_task: Pretraining
):
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    baseline = _Recorded()
    assert isinstance(baseline, Baseline)
    predictor = BaselinePredictor(baseline, synthetic_store, tiny_task)
    assert isinstance(predictor, RiskPredictor)
    request = draw_request(task, synthetic_store, parse_pattern(pattern))
    assert set(predictor.predict_proba(request)) == {0.25}
    (inputs,) = baseline.inputs
    known = synthetic_store.outcome("deterioration")
    for split, samples in (("train", inputs.train), ("tuning", inputs.tuning)):
        assert set(samples.rows) <= set(synthetic_store.rows(split))
        np.testing.assert_array_equal(samples.label, known[samples.rows])
        labs = samples.available[:, task.input_modalities.index("labs")]
        assert labs.any() == (pattern == "complete")
    assert inputs.request is request
    assert inputs.pretraining is tiny_task
