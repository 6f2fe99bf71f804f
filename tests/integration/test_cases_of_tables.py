"""Tables with which cohorts went wrong without a word: each case of ../shared/cases/files."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

TABLE_CASES = (1, 3, 5, 6, 7, 8, 10, 11, 23, 26)


@pytest.mark.slow
@pytest.mark.parametrize("number", TABLE_CASES)
def test_a_table_is_read_right_or_its_fault_is_named(
    cases: ModuleType, number: int, tmp_path: Path
) -> None:
    (folder,) = cases.HERE.glob(f"{number:02d}_*")
    program = [sys.executable, "-m", "clinical_symile"]
    tried = cases.Tried(folder, program, "mimic_iv/all", tmp_path)
    right, observed = cases.JUDGES[number](tried)
    assert right, observed
    assert "Traceback" not in tried.said
