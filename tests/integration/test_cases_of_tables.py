"""Tables with which cohorts went wrong without a word: each case of ../shared/cases/files."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TABLE_CASES = (1, 3, 5, 6, 7, 8, 10, 11, 23, 26)


@pytest.fixture(scope="module")
def cases(shared: Path) -> ModuleType:
    """The judge of the cases, which runs the commands of a user."""
    file = shared / "cases/files/try_cases.py"
    if not file.is_file():
        pytest.skip("no ../shared/cases beside this checkout")
    spec = importlib.util.spec_from_file_location("try_cases", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
