"""A finding says how severe it is, and names samples in no sentence."""

import numpy as np
import pytest

from clinical_symile.data.audit.finding import (
    PART,
    AuditFinding,
    Severity,
    in_parts,
    sample_ids,
    value_codes,
)
from clinical_symile.data.store import CohortStore


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
