"""A finding says how severe it is, and names samples in no sentence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.audit.finding import (
    PART,
    AuditFinding,
    Severity,
    file_names,
    in_parts,
    sample_ids,
    value_codes,
)
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from tests.helpers.audited import Made


@pytest.mark.parametrize(
    ("severity", "status"),
    [(Severity.FINE, 0), (Severity.NOTE, 0), (Severity.WARNING, 2), (Severity.ERROR, 3)],
)
def test_only_warnings_and_errors_change_the_exit_status(severity: Severity, status: int):
    assert severity.status == status


def test_a_finding_is_one_line_without_its_samples():
    finding = AuditFinding(check="same", severity=Severity.NOTE, sentence="Two.", samples=(71, 72))
    assert str(finding) == "note    same: Two."


def test_parts_cover_every_row_once_and_none_is_larger_than_is_read_at_once():
    rows = np.arange(2 * PART + 3)
    parts = list(in_parts(rows))
    assert [len(part) for part in parts] == [PART, PART, 3]
    np.testing.assert_array_equal(np.concatenate(parts), rows)


def test_codes_are_equal_where_values_are_and_ids_are_those_of_the_rows(
    synthetic_store: CohortStore,
):
    codes = value_codes(synthetic_store, "split")
    split = synthetic_store.samples["split"].to_numpy()
    np.testing.assert_array_equal(codes[:, None] == codes, split[:, None] == split)
    sample = synthetic_store.samples["sample"]
    assert sample_ids(synthetic_store, [2, 0]) == (sample[2], sample[0])


@pytest.mark.parametrize("kind", ["cut", "another type", "a row less", "another modality"])
def test_a_table_of_files_that_was_damaged_is_one_sentence(
    made: Made, tmp_path: Path, kind: str
) -> None:
    """In a store whose files are not compared with checksums each time."""
    store = made.write(tmp_path / "store")
    assert file_names(store)["cxr"] == made.files["cxr"].tolist()
    file, table = store.path / "files.parquet", pd.read_parquet(store.path / "files.parquet")
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif kind == "another type":
        table.assign(cxr=1).to_parquet(file)
    elif kind == "a row less":
        table.iloc[1:].to_parquet(file)
    else:
        table.rename(columns={"cxr": "mri"}).to_parquet(file)
    with pytest.raises(DataError, match=r"files\.parquet: .*prepare it again\.") as caught:
        file_names(store)
    assert len(caught.value.problems) == 1
