"""Tables as external models write them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

OURS = {"sample": [7, 8, 9], "probability": [0.1, 0.2, 0.9]}
MEDS = {
    "subject_id": [1, 1, 2],
    "prediction_time": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-01-01"]),
    "boolean_value": [True, False, None],
    "predicted_boolean_value": [True, False, False],
    "predicted_boolean_probability": [0.8, 0.3, 0.1],
}
# As CareBench writes them: mortality, then phenotypes.
MORTALITY = {
    "predictions": [0.1, 0.7, 0.4],
    "labels": [0.0, 1.0, 0.0],
    "meta_age": [50, 60, 70],
    "meta_race": ["WHITE", "ASIAN", "OTHER"],
    "meta_has_cxr": [True, False, True],
    "pred_ehr": [0.1, 0.6, 0.3],
}
PHENOTYPES = {
    "pred_class_0": [0.1, 0.7],
    "pred_class_1": [0.2, 0.6],
    "label_class_0": [0.0, 1.0],
    "label_class_1": [1.0, 0.0],
    "meta_age": [50, 60],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a table, as Parquet or CSV."""

    def write(columns: dict, name: str = "file.csv") -> Path:
        table = pd.DataFrame(columns)
        path = tmp_path / name
        if name.endswith(".parquet"):
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
        return path

    return write
