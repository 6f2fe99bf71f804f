import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.external.predictions import read_predictions
from clinical_symile.errors import DataError
from tests.data.external.conftest import MEDS, MORTALITY, OURS, PHENOTYPES


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_each_form_is_columns_by_its_columns(name: str, write: Callable) -> None:
    forms = [("ours", OURS), ("meds", MEDS), ("carebench", MORTALITY), ("carebench", PHENOTYPES)]
    for form, columns in forms:
        read = read_predictions(write(columns, name))
        assert (read.form, read.file, len(read.sha256)) == (form, name, 64)


def test_ids_are_the_same_whether_numbers_or_text(write: Callable) -> None:
    for sample in ([7, 8, 9], ["7", "8", "9"], [7.0, 8.0, 9.0]):
        table = read_predictions(write({**OURS, "sample": sample}, "a.parquet")).table
        assert table["sample"].tolist() == ["7", "8", "9"]


def test_a_file_of_carebench_has_a_row_for_each_label(write: Callable) -> None:
    table = read_predictions(write(PHENOTYPES)).table
    assert table["outcome"].tolist() == ["class_0", "class_0", "class_1", "class_1"]
    assert table["probability"].tolist() == [0.1, 0.7, 0.2, 0.6]
    assert table["label"].tolist() == [0, 1, 1, 0]
    assert table["kept_age"].tolist() == [50, 60, 50, 60]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**OURS, "probability": [0.1, 1.2, -3]}, "2 of 3 predictions lie outside 0 … 1. Scores"),
        ({**OURS, "probability": [0.1, None, 0.2]}, "1 of 3 predictions are NaN or no number"),
        ({**OURS, "probability": ["0.1", "high", "?"]}, "2 of 3 predictions are NaN or no number"),
        ({**OURS, "sample": [7, 7, 9]}, "1 of 3 predictions repeat a sample of an earlier row"),
        ({**OURS, "sample": ["a", None, "b"]}, "1 of 3 predictions have no id"),
        ({**OURS, "sample": ["a", " ", "b"]}, "1 of 3 predictions have no id"),
        ({**OURS, "outcome": ["x", "x", None]}, "1 of 3 predictions do not say which outcome"),
        ({**OURS, "label": [0, 2, 1]}, "1 of 3 predictions have a label that is neither 0 nor 1"),
        ({**OURS, "label": ["0", "pos", "1"]}, "1 of 3 predictions have a label that is neither"),
        ({**MEDS, "boolean_value": ["Y", "N", None]}, "2 of 3 predictions have a label that is"),
        ({**OURS, "label": ["yes", "no", "?"]}, "nor 1. Write 0 or false, 1 or true, and nothing"),
        (
            {**OURS, "missingness": ["witout-ecg", None, "witout-ecg"]},
            "2 of 3 predictions are under an unknown missingness pattern 'witout-ecg'; did you",
        ),
        (
            {**MEDS, "prediction_time": [pd.Timestamp("2020-01-01")] * 3},
            "1 of 3 predictions repeat",
        ),
        ({"id": [1], "score": [0.5]}, "its columns are id, score; expected sample and probability"),
        (
            {k: v for k, v in PHENOTYPES.items() if "label" not in k} | {"labels": [0, 5]},
            "predicts 2 classes of one label",
        ),
        ({"sample": [], "probability": []}, "has no rows"),
    ],
)
def test_what_cannot_be_scored_is_columns_with_counts(
    columns: dict, message: str, write: Callable
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_predictions(write(columns))


def test_of_many_words_that_are_no_pattern_the_rest_is_counted(write: Callable) -> None:
    words = [f"word_{number}" for number in range(5)]
    columns = {"sample": range(5), "probability": [0.5] * 5, "missingness": words}
    with pytest.raises(DataError, match="2 more words are no pattern either") as caught:
        read_predictions(write(columns))
    assert sum("unknown missingness pattern" in problem for problem in caught.value.problems) == 3


@pytest.mark.parametrize("kind", ["object", "string", "string[pyarrow]", "Int64"])
def test_an_empty_cell_is_no_id_of_whatever_type_its_column_is(kind: str, write: Callable) -> None:
    for name, columns in (("sample", OURS), ("subject_id", MEDS)):
        ids = pd.Series([1, None, 2], dtype="Int64").astype(kind)
        with pytest.raises(DataError, match="1 of 3 predictions have no id"):
            read_predictions(write({**columns, name: ids}, "a.parquet"))


def test_nothing_else_than_csv_and_parquet_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(DataError, match="neither CSV nor Parquet by its name"):
        read_predictions(tmp_path / "a.pkl")
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "a.parquet")


def test_a_label_is_unknown_where_its_cell_is_empty_and_only_there(write: Callable) -> None:
    columns = {**OURS, "label": ["true", " ", "0.0"]}
    for name in ("a.parquet", "a.csv"):
        table = read_predictions(write(columns, name)).table
        np.testing.assert_array_equal(table["label"], [1, np.nan, 0])
