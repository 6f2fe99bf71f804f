"""Record the files of the package whose functions work on one number."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from clinical_symile.evaluation.evaluate import Evaluation
from clinical_symile.tracking.snapshot import RunSnapshot
from tests.helpers.source import PACKAGE

# What hands over a whole run or evaluation, whatever is in it, does not work on a number of it.
_CONTAINERS = (RunSnapshot, Evaluation)


def _holds(thing: Any, value: float, depth: int = 4) -> bool:
    """Return True if a value is the number, a row with it, or a list or mapping of such."""
    if isinstance(thing, float):
        return float(thing) == value
    if depth == 0 or isinstance(thing, _CONTAINERS):
        return False
    if is_dataclass(thing) and not isinstance(thing, type):
        named = (getattr(thing, one.name, None) for one in fields(thing))
        return any(_holds(one, value, depth - 1) for one in named)
    if isinstance(thing, Mapping):
        return any(_holds(one, value, depth - 1) for one in list(thing.values())[:200])
    if isinstance(thing, list | tuple):
        return any(_holds(one, value, depth - 1) for one in thing[:200])
    return False


@contextmanager
def files_that_work_on(value: float) -> Iterator[dict[str, set[str]]]:
    """Collect the files of the package whose functions receive or return a number.

    Yields:
        For each file, relative to the package, the names of these functions.
    """
    found: dict[str, set[str]] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(f"{PACKAGE}/"):
            return
        file = Path(code.co_filename).relative_to(PACKAGE).as_posix()
        if code.co_name in found.get(file, ()):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [argument] if event == "return" else [frame.f_locals.get(one) for one in names]
        if any(_holds(one, value) for one in values):
            found.setdefault(file, set()).add(code.co_name)

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
