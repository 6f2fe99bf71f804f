"""Inputs of a baseline, made from a table of labs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.baselines.base import BaselineInputs
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.training.supervised import LabelledRows

MakeInputs = Callable[..., BaselineInputs]


@pytest.fixture
def make_inputs(catalog: Catalog, tiny_task: Pretraining, tmp_path: Path) -> MakeInputs:
    """A function of labs `[sample, value]` and labels to inputs.

    The first half of the samples are train, the next quarter tuning, and the last are predicted.
    """
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)

    def make(
        labs: np.ndarray, label: np.ndarray, *, available: np.ndarray | None = None
    ) -> BaselineInputs:
        n = len(labs)
        shapes = {"cxr": [1, 4, 4], "ecg": [12, 10], "labs": [labs.shape[1]]}
        np.save(tmp_path / "labs.npy", labs.astype(np.float32))
        table = {"sample": range(n), "subject": range(n), "split": "train"}
        modalities = {name: {"shape": shape} for name, shape in shapes.items()}
        present = np.ones((n, 3), dtype=bool) if available is None else available
        store = CohortStore(
            tmp_path,
            {"cohort": "made", "modalities": modalities},
            pd.DataFrame(table),
            tuple(shapes),
            present,
            None,
        )
        columns = [list(shapes).index(name) for name in task.input_modalities]
        parts = np.split(np.arange(n), [n // 2, 3 * n // 4])
        train, tuning = (
            LabelledRows(rows, present[rows][:, columns], label[rows]) for rows in parts[:2]
        )
        shown = present[parts[2]][:, columns]
        request = Request(task, parts[2], shown, parse_pattern("observed"))
        return BaselineInputs(train, tuning, request, store, tiny_task)

    return make
