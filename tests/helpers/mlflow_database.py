"""Make the tables of MLflow's database once, and copy them for each test that needs a new one."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.shared_build import built_once


@pytest.fixture(autouse=True)
def copied_mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> None:
    """MLflow runs its migrations once; a new SQLite file gets a copy of the empty tables.

    It applies as soon as some test has loaded MLflow: most tests never do.
    """
    utils: Any = sys.modules.get("mlflow.store.db.utils")
    original = getattr(utils, "_initialize_tables", None)
    if original is None or hasattr(original, "is_copying"):
        return

    def build(folder: Path) -> None:
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{folder / 'mlflow.db'}")
        original(engine)
        engine.dispose()

    def initialize(engine: Any) -> None:
        file = Path(engine.url.database or "")
        if engine.dialect.name != "sqlite" or not file.is_file() or file.stat().st_size:
            original(engine)
            return
        made = built_once(tmp_path_factory, "mlflow", build) / "mlflow.db"
        engine.dispose()
        shutil.copyfile(made, file)

    initialize.is_copying = True  # pyright: ignore[reportFunctionMemberAccess]
    utils._initialize_tables = initialize
