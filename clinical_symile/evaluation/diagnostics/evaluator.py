"""Evaluate a model on a diagnostic task."""

import numpy as np
import pandas as pd

from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.base import TaskOutcome
from clinical_symile.evaluation.diagnostics.base import Diagnostic, DiagnosticInputs
from clinical_symile.evaluation.predictors.base import Predictor, draw_request
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import DIAGNOSTICS


class DiagnosticEvaluator:
    """Measure a model by the diagnostic of a task.

    Args:
        task: the diagnostic task.
        predictor: the model.
        store: the cohort.
    """

    def __init__(self, task: DiagnosticTask, predictor: Predictor, store: CohortStore):
        self._task, self._predictor, self._store = task, predictor, store
        self.candidates = pd.DataFrame()

    def outcome(self, pattern: Pattern) -> TaskOutcome:
        """Measure the samples of the split under a pattern.

        Returns:
            Per sample its row and the columns of the measures, and the measures as metrics.

        Raises:
            CannotScore: no sample has what the pattern needs, or the diagnostic cannot measure.
        """
        request = draw_request(self._task, self._store, pattern)
        if not len(request.rows):
            raise CannotScore("no sample of the split has what this pattern needs.", code="CS-S007")
        named = self._task.diagnostic
        diagnostic: Diagnostic = resolve(named.name, DIAGNOSTICS)(**named.arguments)
        made = diagnostic.measure(DiagnosticInputs(request, self._predictor, self._store))
        measures = [
            one
            for name in self._task.metrics
            for one in made
            if one.metric.name.partition("/")[0] == name
        ]
        columns = {name: values for one in measures for name, values in one.columns.items()}
        frame = pd.DataFrame({"row": request.rows, **columns})
        return TaskOutcome(frame, metrics=tuple(one.metric for one in measures))


def samples_of_measure(per_sample: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    """Return the rows of the store that a measure is of; of an average, those of its smallest part.

    Args:
        per_sample: the outcome of each sample.
        columns: those of the measure, NaN where a sample takes no part.
    """
    known = [per_sample["row"].to_numpy()[per_sample[name].notna()] for name in columns]
    return min(known, key=len)
