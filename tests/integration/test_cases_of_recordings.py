"""Recordings that went wrong without a word: each case of ../shared/cases/files."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

RECORDING_CASES = (12, 13, 15, 17, 18, 20, 24)


@pytest.mark.slow
@pytest.mark.parametrize("number", RECORDING_CASES)
def test_a_recording_is_read_right_or_its_fault_is_named(
    cases: ModuleType, number: int, tmp_path: Path
) -> None:
    (folder,) = cases.HERE.glob(f"{number:02d}_*")
    program = [sys.executable, "-m", "clinical_symile"]
    tried = cases.Tried(folder, program, "mimic_iv/all", tmp_path)
    right, observed = cases.JUDGES[number](tried)
    assert right, observed
    assert "Traceback" not in tried.said
