"""Evaluate a model on a retrieval task."""

import numpy as np
import pandas as pd

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.base import TaskOutcome
from clinical_symile.evaluation.pooled_auc import pooled_auc_per_query
from clinical_symile.evaluation.predictors.base import Predictor, RetrievalPredictor, draw_request
from clinical_symile.evaluation.ranking import SharedRanks
from clinical_symile.evaluation.task_metrics import task_metrics
from clinical_symile.missingness.patterns import Pattern

# Columns that some metrics need besides ranks; each costs another scoring of all pairs.
_EXTRA_COLUMNS = {"separation": pooled_auc_per_query}


class RetrievalEvaluator:
    """Rank the candidates of each query by a model's scores.

    Args:
        task: the retrieval task.
        predictor: the model.
        store: the cohort.

    Raises:
        DataError: the candidate lists cannot be drawn.
    """

    def __init__(self, task: Retrieval, predictor: Predictor, store: CohortStore):
        self._task, self._predictor, self._store = task, predictor, store
        self._lists = candidate_lists(task, store)
        self._columns = {name for metric in task_metrics(task) for name in metric.columns}
        self._ranks: SharedRanks | None = None
        self.candidates = self._lists.table()

    def outcome(self, pattern: Pattern) -> TaskOutcome:
        """Rank the right candidate of each query under a pattern.

        Returns:
            Per query: its row, how many candidates score `above` the right one, how many others
            are `tied` with it, the number of `candidates`, and the first answers.

        Raises:
            CannotScore: the model does not score candidates, no query has what the pattern needs,
                or a score is NaN.
        """
        predictor = self._predictor
        if not isinstance(predictor, RetrievalPredictor):
            raise CannotScore(
                "the model predicts outcomes only; it does not score candidates.", code="CS-S006"
            )
        request = draw_request(self._task, self._store, pattern)
        request = request.take(np.isin(request.rows, self._lists.queries))
        if not len(request.rows):
            raise CannotScore("no sample of the split has what this pattern needs.", code="CS-S007")
        if self._ranks is None:
            self._ranks = SharedRanks(predictor, self._lists)
        try:
            ranking = self._ranks.rank(request)
            extra = {
                name: column(request, predictor, among=self._lists)
                for name, column in _EXTRA_COLUMNS.items()
                if name in self._columns
            }
        except ValueError as error:
            raise CannotScore(str(error), code="CS-S014") from error
        counts = {name: getattr(ranking, name) for name in ("above", "tied", "candidates")}
        answers = {f"answer_{place}": row for place, row in enumerate(ranking.answers.T, start=1)}
        return TaskOutcome(pd.DataFrame({"row": request.rows, **counts, **extra, **answers}))
