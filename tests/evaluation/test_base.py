"""The values that a chance level depends on."""

import numpy as np
import pandas as pd

from clinical_symile.evaluation.base import TaskOutcome, chance_inputs


def test_chance_of_a_retrieval_depends_on_the_lengths_of_the_lists():
    outcome = pd.DataFrame({"row": [0, 1], "candidates": [10, 4]})
    np.testing.assert_array_equal(chance_inputs(outcome), [10, 4])


def test_chance_of_a_classification_depends_on_the_labels():
    outcome = TaskOutcome(pd.DataFrame({"row": [0, 1, 2], "label": [0, 1, 1]}))
    assert isinstance(outcome.chance_inputs, np.ndarray)
    np.testing.assert_array_equal(outcome.chance_inputs, [0, 1, 1])
    assert outcome.tuning is None


def test_chance_of_several_outcomes_depends_on_labels_and_parts():
    outcome = pd.DataFrame({"label": [0, 1], "part": ["edema", "fracture"]})
    label, part = chance_inputs(outcome)
    assert label.tolist() == [0, 1]
    assert part.tolist() == ["edema", "fracture"]
