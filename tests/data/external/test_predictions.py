import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.audit.audit import audit_store
from clinical_symile.data.croissant import croissant
from clinical_symile.data.external.files import Predictions, read_embeddings, read_predictions
from clinical_symile.data.external.store import external_task, write_store
from clinical_symile.errors import DataError
from clinical_symile.reporting.cohort_card import recorded_words, render_card

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


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_each_form_is_told_by_its_columns(name: str, write: Callable) -> None:
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
        ({**OURS, "sample": [7, 7, 9]}, "1 of 3 predictions are of a sample that stands there"),
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
            "1 of 3 predictions are of",
        ),
        ({"id": [1], "score": [0.5]}, "its columns are id, score; expected sample and probability"),
        (
            {k: v for k, v in PHENOTYPES.items() if "label" not in k} | {"labels": [0, 5]},
            "predicts 2 classes of one label",
        ),
        ({"sample": [], "probability": []}, "has no rows"),
    ],
)
def test_what_cannot_be_scored_is_told_with_counts(
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


def test_vectors_are_columns_or_lists(write: Callable) -> None:
    ids = {"sample": [1, 1], "modality": ["cxr", "ecg"]}
    lists = read_embeddings(write({**ids, "embedding": [[1.0, 2.0], [3.0, 4.0]]}, "a.parquet"))
    columns = read_embeddings(write({**ids, "e0": [1.0, 3.0], "e1": [2.0, 4.0]}))
    for read in (lists, columns):
        assert read.z.tolist() == [[1, 2], [3, 4]]
        assert read.samples.tolist() == ["1", "1"]
        assert read.modalities.tolist() == ["cxr", "ecg"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"modality": ["cxr"], "e0": [1.0]}, "has no column sample"),
        ({"sample": [1], "modality": ["cxr"]}, "has no column with numbers"),
        ({"sample": [1, 2], "modality": ["cxr"] * 2, "e": [[1.0], [1.0, 2.0]]}, "of one length"),
        ({"sample": [1], "modality": ["cxr"], "e0": ["a"]}, "not numbers of one length"),
        ({"sample": [1], "modality": ["cxr"], "e0": [np.nan]}, "1 of 1 rows have NaN"),
        ({"sample": [1, 1], "modality": ["cxr"] * 2, "e0": [1.0, 2.0]}, "1 of 2 rows are of a"),
    ],
)
def test_vectors_that_cannot_be_used_are_told_with_counts(
    columns: dict, message: str, write: Callable
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_embeddings(write(columns, "a.parquet"))


def _read(columns: dict, write: Callable) -> Predictions:
    return read_predictions(write(columns, "a.parquet"))


def test_a_store_is_made_of_labels_people_and_what_else_is_known(
    write: Callable, tmp_path: Path
) -> None:
    store = write_store(_read(MEDS, write), tmp_path / "meds")
    assert store.samples["subject"].tolist() == ["1", "1", "2"]
    assert store.samples["sample"].is_unique
    np.testing.assert_array_equal(store.outcome("outcome"), [1, 0, np.nan])
    assert store.manifest["outcomes"]["outcome"]["held_out"] == {
        "positive": 1,
        "negative": 1,
        "uncertain": 0,
        "unknown": 1,
    }
    assert external_task(store).outcome == "outcome"
    store = write_store(_read(PHENOTYPES, write), tmp_path / "phenotypes")
    assert store.outcomes == ("class_0", "class_1")
    assert external_task(store).outcomes == ("class_0", "class_1")
    assert store.samples["subject"].is_unique
    assert store.samples["kept_age"].tolist() == [50, 60]


def test_a_label_is_unknown_where_its_cell_is_empty_and_only_there(write: Callable) -> None:
    told = {**OURS, "label": ["true", " ", "0.0"]}
    for table in (_read(told, write).table, read_predictions(write(told)).table):
        np.testing.assert_array_equal(table["label"], [1, np.nan, 0])


def test_a_file_that_knows_no_label_of_an_outcome_makes_no_store(
    write: Callable, tmp_path: Path
) -> None:
    nothing = {**PHENOTYPES, "label_class_1": [None, None]}
    with pytest.raises(DataError, match=r"knows no label of class_1; expected 0 or 1"):
        write_store(_read(nothing, write), tmp_path / "store")
    assert not (tmp_path / "store").exists()
    assert write_store(_read(PHENOTYPES, write), tmp_path / "store").outcomes


def test_the_same_predictions_make_the_same_store(write: Callable, tmp_path: Path) -> None:
    digests = {write_store(_read(MORTALITY, write), tmp_path / name).digest for name in ("a", "b")}
    assert len(digests) == 1


def test_a_store_of_predictions_has_a_card_and_nothing_to_audit(
    catalog: Catalog, write: Callable, tmp_path: Path
) -> None:
    store = write_store(_read(MORTALITY, write), tmp_path / "store")
    out = tmp_path / "card.html"
    render_card(store, report=catalog.path("reports", "cohort_card"), out=out)
    assert "Samples as the files of predictions tell them." in out.read_text("utf-8")
    assert recorded_words(store.manifest) == [("all that is known", "<10")]
    names = {part["name"] for part in croissant(store)["distribution"]}
    assert names == {"record.npy", "samples.parquet"}
    with pytest.raises(DataError, match="has neither recordings nor training samples"):
        audit_store(store)


def test_a_file_without_labels_or_of_two_minds_makes_no_store(
    write: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="has no labels; expected them in the file"):
        write_store(_read(OURS, write), tmp_path / "a")
    torn = {
        **OURS,
        "sample": [7, 7, 9],
        "missingness": ["complete", "", "complete"],
        "label": [0, 1, 1],
    }
    with pytest.raises(DataError, match="1 samples have two labels of one outcome"):
        write_store(_read(torn, write), tmp_path / "a")
    assert not (tmp_path / "a").exists()
