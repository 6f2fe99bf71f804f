"""The examples in docstrings run, and give what they say."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "clinical_symile"
# Examples of the public API need a store and runs: tests/api/test_examples.py runs them.
PUBLIC = re.compile(r"\bcs\.")


def _has_example(node: ast.AST) -> bool:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        return False
    text = ast.get_docstring(node) or ""
    return ">>> " in text and not PUBLIC.search(text)


WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if any(map(_has_example, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name: str):
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        if not PUBLIC.search(test.docstring or ""):
            runner.run(test)
    assert runner.summarize(verbose=False).attempted > 0
    assert runner.summarize(verbose=False).failed == 0
