"""The example in the docstring of every public function runs and gives what it says."""

import doctest
import inspect
from pathlib import Path
from typing import Any

import pytest

import clinical_symile as cs

SLOW = ("benchmark", "report", "bundle", "leaderboard")
FUNCTIONS = [name for name in cs.__all__ if inspect.isfunction(getattr(cs, name))]


def _examples(thing: Any, name: str) -> doctest.DocTest:
    found = doctest.DocTestParser().get_doctest(
        inspect.getdoc(thing) or "", {"cs": cs}, name, None, 0
    )
    assert found.examples, f"{name} has no example"
    return found


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in SLOW])
def test_the_example_of_a_public_function_runs(name: str, workplace: Path):
    test = _examples(getattr(cs, name), name)
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.slow
def test_the_examples_of_a_benchmark_run_one_after_the_other(workplace: Path):
    runner = doctest.DocTestRunner()
    for name in SLOW:
        runner.run(_examples(getattr(cs, name), name))
    assert runner.summarize(verbose=False).failed == 0
