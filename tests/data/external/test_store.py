from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.audit.audit import audit_store
from clinical_symile.data.croissant import croissant
from clinical_symile.data.external.predictions import Predictions, read_predictions
from clinical_symile.data.external.store import external_task, write_store
from clinical_symile.errors import DataError
from clinical_symile.reporting.cohort_card import recorded_words, render_card
from tests.data.external.conftest import MEDS, MORTALITY, OURS, PHENOTYPES


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
    assert "Samples as the files of predictions name them." in out.read_text("utf-8")
    assert recorded_words(store.manifest) == [("whole record", "<10")]
    names = {part["name"] for part in croissant(store)["distribution"]}
    assert names == {"record.npy", "samples.parquet"}
    with pytest.raises(DataError, match="without recordings and training samples"):
        audit_store(store)


def test_a_file_without_labels_or_of_two_minds_makes_no_store(
    write: Callable, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="has no labels; expected them in the file or in a store"):
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
