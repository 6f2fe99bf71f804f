"""Read example queries and answers of synthetic subjects for a report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.reporting.report_data import QueryExample
from clinical_symile.tracking.run import Run

_EXAMPLES = 3


def query_examples(
    store: CohortStore,
    runs: Sequence[Run],
    tasks: Mapping[str, EvaluationTask],
) -> list[QueryExample]:
    """Return the first queries of the first retrieval task; none unless subjects are synthetic.

    A run that cannot be scored on the task, such as a supervised one, has no answers.
    """
    retrieval = [task for task in tasks.values() if isinstance(task, Retrieval)]
    if not is_synthetic(store.manifest):
        return []
    if not retrieval or "complete" not in retrieval[0].missingness:
        return []
    task = retrieval[0]
    outcomes = {
        run.name: run.outcome(task.name, "complete")
        for run in runs
        if (task.name, "complete", None)
        not in {(row.task, row.missingness, row.metric) for row in run.unscored}
    }
    if not outcomes:
        return []
    rows = next(iter(outcomes.values()))["row"][:_EXAMPLES].tolist()
    return [
        QueryExample(
            task=task.name,
            query={name: _measurement(store, name, row) for name in task.query},
            answers={
                run: _answers(store, task, outcome.set_index("row").loc[row].to_dict(), row)
                for run, outcome in outcomes.items()
            },
        )
        for row in rows
    ]


def _answers(
    store: CohortStore, task: Retrieval, outcome: Mapping[Any, Any], row: int
) -> list[tuple[Any, bool]]:
    answers = [int(value) for name, value in outcome.items() if name.startswith("answer_")]
    return [
        (_measurement(store, task.target, answer), answer == row)
        for answer in answers
        if answer != PADDING
    ]


def _measurement(store: CohortStore, modality: str, row: int) -> Any:
    """Return one stored measurement in the form that a figure draws."""
    about = store.manifest["modalities"][modality]
    value = np.asarray(store.array(modality)[row])
    if about["unit"] == "uV":
        return value / 1000.0
    if value.ndim == 1:
        named = zip(about["parts"], value, strict=True)
        return [(name, float(number), "") for name, number in named if not np.isnan(number)]
    return value
