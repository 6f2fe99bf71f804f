"""The judge of `../shared/cases/files`, which runs the commands of a user."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
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
