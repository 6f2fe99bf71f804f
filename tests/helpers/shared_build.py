"""Build what several test processes read once for all of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return a folder that the first process that asks builds; no test may write into it.

    Args:
        factory: makes the folders of a test session.
        name: of the folder, the same in all processes.
        build: writes into the folder, which is there and empty.
    """
    base = factory.getbasetemp()
    # With workers, each has a folder of its own in the one of the session.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "shared" / name, shared / "shared" / f"{name}.done"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not done.exists():
            folder.mkdir()
            build(folder)
            done.touch()
    return folder
