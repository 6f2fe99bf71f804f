"""One model for each modality alone, whose log odds are averaged."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines import late_fusion
from clinical_symile.evaluation.baselines.late_fusion import LateFusion
from tests.evaluation.baselines.conftest import MakeInputs

LOG_ODDS = {"cxr": 2.0, "ecg": -1.0, "labs": 5.0}


@pytest.fixture
def fixed_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace each modality's trained model by one with the same log odds for every sample."""
    monkeypatch.setattr(LateFusion, "_classifier", lambda self, name, *rest: name)
    monkeypatch.setattr(
        late_fusion,
        "predict_log_odds",
        lambda name, store, rows, available: np.full(len(rows), LOG_ODDS[name]),
    )


@pytest.mark.usefixtures("fixed_models")
def test_the_log_odds_of_the_available_modalities_are_averaged(make_inputs: MakeInputs):
    inputs = make_inputs(np.zeros((8, 1)), np.tile([0, 1], 4))
    names = inputs.request.task.input_modalities
    available = np.array([[True] * 3, [name == "ecg" for name in names]])
    request = replace(inputs.request, available=available)
    made = LateFusion().predict(replace(inputs, request=request))
    np.testing.assert_allclose(made, expit([(2.0 - 1.0 + 5.0) / 3, -1.0]))


def test_a_modality_without_an_encoder_in_the_task_is_a_reason_to_skip(
    make_inputs: MakeInputs, tiny_task: Pretraining
):
    inputs = make_inputs(np.zeros((8, 1)), np.tile([0, 1], 4))
    few = tiny_task.model_copy(update={"modalities": ("ecg", "labs")})
    with pytest.raises(CannotScore, match="has no encoder for cxr"):
        LateFusion().predict(replace(inputs, pretraining=few))
