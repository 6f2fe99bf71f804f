"""A pytest plugin that checks types and shapes of the calls of the package, at a lower cost.

`jaxtyping.jaxtyped` binds the arguments of each call and checks them twice. Here beartype checks
arguments and return value once, within one scope of axis sizes. A function is checked in its first
calls of each test, or in all of them with `--check-every-call`, as the long suites run.
"""

import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jaxtyping
import pytest
from beartype import BeartypeConf, beartype

PACKAGE = "clinical_symile"
_beartype = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
_slow_check = jaxtyping.jaxtyped
_own_axis_sizes = jaxtyping.jaxtyped("context")
_settings = jaxtyping.config
FIRST_CALLS = 10


@dataclass
class _Now:
    """The test that runs, by its place, and the calls of a function that are checked in it."""

    test: int = 0
    checked_calls: float = FIRST_CALLS


_now = _Now()


def check_calls(*, typechecker: Any) -> Callable[[Any], Any]:
    """Decorate as `jaxtyping.jaxtyped` does: functions, and `__init__` of data classes.

    Args:
        typechecker: the checker of the import hook, for what needs jaxtyping's own decorator.

    Returns:
        A decorator; what it decorates checks the arguments and the return value of each call.
    """

    def decorate(target: Any) -> Any:
        if not inspect.isclass(target):
            return _check_function(target, typechecker)
        if dataclasses.is_dataclass(target) and not hasattr(target.__init__, "_checks_calls"):
            target.__init__ = _check_function(target.__init__, typechecker)  # pyright: ignore[reportAttributeAccessIssue]
        return target

    return decorate


def _check_function(function: Callable[..., Any], typechecker: Any) -> Callable[..., Any]:
    hints = list(function.__annotations__.values())
    arrays = [array for hint in hints for array in _arrays_of(hint)]
    if (
        any(isinstance(hint, str) for hint in hints)
        or any("{" in array.dim_str for array in arrays)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        checked = _slow_check(function, typechecker=typechecker)
    else:
        checked = _check_first_calls(function, _own_axis_sizes if arrays else nullcontext())
    checked._checks_calls = True  # pyright: ignore[reportFunctionMemberAccess]
    return checked


def _arrays_of(hint: Any) -> list[Any]:
    """List the array annotations inside an annotation."""
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return [hint]
    inside = [*typing.get_args(hint), getattr(hint, "__value__", None)]
    return [array for one in inside if one is not None for array in _arrays_of(one)]


def _check_first_calls(
    function: Callable[..., Any], scope: AbstractContextManager[Any]
) -> Callable[..., Any]:
    checked: Callable[..., Any] | None = None
    test, calls = -1, 0

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal checked, test, calls
        if test != _now.test:
            test, calls = _now.test, 0
        calls += 1
        if calls > _now.checked_calls or _settings.jaxtyping_disable:
            return function(*arguments, **named)
        checked = checked or _beartype(function)
        with scope:
            return checked(*arguments, **named)

    return call


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that checks every call."""
    parser.addoption(
        "--check-every-call",
        action="store_true",
        help=f"check types and shapes of every call, not of the first {FIRST_CALLS} in each test",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the option."""
    if config.getoption("--check-every-call"):
        _now.checked_calls = math.inf


def pytest_runtest_setup() -> None:
    """Begin to count the calls of a test."""
    _now.test += 1


jaxtyping.jaxtyped = check_calls
jaxtyping.install_import_hook(PACKAGE, "beartype.beartype")
