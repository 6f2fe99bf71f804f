"""The outcomes of a run on a task, made from arrays."""

import numpy as np
import pandas as pd

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.evaluation.task_metrics import primary_metric


def sample_outcomes(
    task: Classification | Retrieval,
    outcome: pd.DataFrame,
    *,
    pattern: str = "complete",
    tuning: pd.DataFrame | None = None,
) -> SampleOutcomes:
    """The outcomes under a pattern; every row is a subject of its own."""
    return SampleOutcomes(
        about={
            "run": "symile-0",
            "cohort": "synthetic",
            "task": task.name,
            "missingness": pattern,
            "digest": "0123",
        },
        task=task,
        metric=primary_metric(task),
        outcome=outcome,
        tuning=tuning,
        subjects=np.asarray(outcome["row"]),
    )
