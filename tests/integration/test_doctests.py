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


def _has_example(source: str) -> bool:
    if ">>> " not in source:  # most modules: they need not be parsed
        return False
    texts = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    return any(">>> " in text and not PUBLIC.search(text) for text in texts)


WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if _has_example(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name: str):
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        if not PUBLIC.search(test.docstring or ""):
            runner.run(test)
    assert runner.summarize(verbose=False).attempted > 0
    assert runner.summarize(verbose=False).failed == 0
