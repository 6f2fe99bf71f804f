"""Predict by the head that a supervised objective trained for the outcome."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import expit

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.probes.base import ProbeInputs
from clinical_symile.objectives.label_predictor import LabelPredictor


class Head:
    """The fusion and the head of an objective that predicts labels, as training left them.

    Nothing is fitted: training and tuning samples are not read.
    """

    display_name = "trained head"
    description = "The head that a supervised objective trained for the outcome; fits nothing."
    needs = ("a run with outcome, farcon or alike that was trained on the label",)

    def predict(self, inputs: ProbeInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Probe`.

        Raises:
            CannotScore: the model has no head for the outcome.
        """
        objective = None if inputs.encoders is None else inputs.encoders.learner.objective
        if not isinstance(objective, LabelPredictor) or inputs.embeddings is None:
            raise CannotScore(
                "the probe 'head' needs a run with an objective that predicts labels, such as "
                "'outcome' or 'farcon'; this model has no head for an outcome. Evaluate it on a "
                "task with another probe.",
                code="CS-S006",
            )
        if inputs.outcome not in objective.label_names:
            raise CannotScore(
                f"the run has no head for '{inputs.outcome}'; it was trained on "
                f"{', '.join(objective.label_names)}. Name the outcome in side.labels of its task "
                "and train again, or evaluate it on a task with another probe.",
                code="CS-S006",
            )
        with torch.inference_mode():
            imputations = (inputs.embeddings, *inputs.further)
            log_odds = torch.stack([objective.log_odds(one) for one in imputations]).mean(dim=0)
        return expit(log_odds[:, objective.label_names.index(inputs.outcome)].double().numpy())
