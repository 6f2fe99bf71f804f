"""The names of `import clinical_symile`: complete, sorted, documented, and loaded when used."""

import ast
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import clinical_symile as cs

HEAVY = ("torch", "mlflow", "numpy", "pandas", "matplotlib", "scipy", "sklearn", "pydantic", "rich")
FUNCTIONS = [name for name in cs.__all__ if inspect.isfunction(getattr(cs, name))]


def test_every_public_name_is_in_all_and_all_is_sorted():
    assert list(cs.__all__) == sorted(cs.__all__)
    assert set(cs.__all__) <= set(dir(cs))
    for name in cs.__all__:
        getattr(cs, name)
    tree = ast.parse(Path(cs.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == set(cs.__all__) - {"__version__"}, "type checkers see other names"


def test_no_public_name_is_hidden_by_a_subpackage():
    for name in cs.__all__:
        assert importlib.util.find_spec(f"clinical_symile.{name}") is None, name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        cs.trian  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_loads_nothing_heavy_and_nothing_of_its_own():
    code = (
        "import sys, clinical_symile; dir(clinical_symile)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "print([name for name in sys.modules if name.startswith('clinical_symile.')])"
    )
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert made.stdout.split("\n")[:2] == ["[]", "[]"]


def test_listing_definitions_loads_neither_pytorch_nor_mlflow():
    code = (
        "import sys, clinical_symile as cs; cs.list_tasks(); cs.list_objectives()\n"
        "print([name for name in ('torch', 'mlflow') if name in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert made.stdout.strip() == "[]"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_documents_its_arguments(name: str):
    function = getattr(cs, name)
    text = inspect.getdoc(function) or ""
    assert ">>> " in text
    arguments = text.partition("Args:")[2].partition("\n\n")[0]
    for parameter in inspect.signature(function).parameters:
        assert f"    {parameter}: " in arguments.replace("*", ""), f"{name}: {parameter}"


@pytest.mark.parametrize("name", [n for n in cs.__all__ if inspect.isclass(getattr(cs, n))])
def test_a_public_class_is_documented(name: str):
    assert (getattr(cs, name).__doc__ or "").strip()


def test_a_store_and_what_comes_from_it_print_no_rows(synthetic_store: cs.CohortStore):
    sample = str(synthetic_store.samples["sample"].iloc[0])
    printed = [repr(synthetic_store), repr(cs.draw_mask("mcar-30", synthetic_store, split="train"))]
    for text in printed:
        assert len(text) < 300
        assert sample not in text
        assert "array" not in text
