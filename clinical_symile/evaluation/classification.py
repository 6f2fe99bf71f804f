"""Evaluate a model on a classification task."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.base import TaskOutcome
from clinical_symile.evaluation.labels import labelled_request, train_prevalence
from clinical_symile.evaluation.predictors.base import Predictor, Request, RiskPredictor
from clinical_symile.missingness.patterns import Pattern


class ClassificationEvaluator:
    """Predict each outcome of a task, and each draw of few labels, by a model.

    Args:
        task: the classification task.
        predictor: the model.
        store: the cohort.
    """

    def __init__(self, task: Classification, predictor: Predictor, store: CohortStore):
        self._task, self._predictor, self._store = task, predictor, store
        self.candidates = pd.DataFrame()

    def outcome(self, pattern: Pattern) -> TaskOutcome:
        """Predict every labelled sample of the split under a pattern.

        Returns:
            Per sample and part: its row, `label` and `probability`; `tuning` has the same for the
            tuning split where its predictions may be used.

        Raises:
            CannotScore: the model does not predict outcomes, no labelled sample has what the
                pattern needs, or the model cannot predict.
        """
        predictor = self._predictor
        if not isinstance(predictor, RiskPredictor):
            raise CannotScore(
                "the model scores candidates only; it does not predict outcomes.", code="CS-S006"
            )
        made = {
            part: self._predicted(question, predictor, pattern)
            for part, question in self._task.questions.items()
        }
        scored = _joined({part: frame for part, (frame, _) in made.items()})
        tuning = _joined({part: frame for part, (_, frame) in made.items()})
        return TaskOutcome(scored, tuning if len(tuning) else None)

    def _predicted(
        self, task: Classification, predictor: RiskPredictor, pattern: Pattern
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Predict the scored and the tuning samples of one outcome.

        The second frame is empty if the task scores the tuning split, if the task allows only a
        share of the tuning labels, or if the model did not predict all tuning samples.
        """
        request, label = labelled_request(task, self._store, pattern, split=task.split)
        scored = len(label)
        if not scored:
            raise CannotScore(
                "no sample of the split has what this pattern needs and a label of "
                f"{task.outcome}.",
                code="CS-S007",
            )
        if task.split != "tuning" and task.label_share == 1:
            tuning, tuning_label = labelled_request(task, self._store, pattern, split="tuning")
            # One request for both splits, since a probe is fitted anew for each request.
            request = Request(
                task,
                np.append(request.rows, tuning.rows),
                np.concatenate([request.available, tuning.available]),
                pattern,
            )
            label = np.append(label, tuning_label)
        probability = self._probabilities(request, predictor)
        frame = pd.DataFrame({"row": request.rows, "label": label, "probability": probability})
        tuned = frame.iloc[scored:].reset_index(drop=True)
        return frame.iloc[:scored], tuned.iloc[:0] if tuned["probability"].isna().any() else tuned

    def _probabilities(
        self, request: Request[Classification], predictor: RiskPredictor
    ) -> Float[np.ndarray, " sample"]:
        """Predict the samples with a modality available; the others have the train prevalence.

        Raises:
            CannotScore: the model cannot predict, or the train split has no label.
        """
        informed = np.asarray(request.available.any(axis=1))
        if informed.all():
            return predictor.predict_proba(request)
        probability = np.full(
            len(informed), train_prevalence(request.task, self._store, request.pattern)
        )
        if informed.any():
            probability[informed] = predictor.predict_proba(request.take(informed))
        return probability


def _joined(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all parts, with a column `part` if there are several."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    frame = pd.concat([made.assign(part=part) for part, made in frames.items()])
    return frame.reset_index(drop=True)
