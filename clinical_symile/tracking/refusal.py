"""Leave nothing behind of a command that is refused."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clinical_symile.errors import ClinicalSymileError


@contextmanager
def remove_if_refused(*folders: Path) -> Iterator[None]:
    """Remove folders that the block makes if it is refused, so that nothing half-made looks whole.

    A folder that was there before stays as it is. So does one of a block that is stopped otherwise,
    such as by a signal: running it again goes on from there. Hold the lock of the folders.

    Args:
        folders: folders that the block may make.

    Raises:
        ClinicalSymileError: the block did.
    """
    new = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except ClinicalSymileError:
        for folder in new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
