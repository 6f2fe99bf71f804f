"""What is read of objects without importing them."""

import sys
from pathlib import Path

import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import describe, keyword_arguments
from clinical_symile.registry.families import ENCODERS
from clinical_symile.registry.source import (
    describe_as,
    find_definition,
    read_constant,
    read_description,
    read_keyword_arguments,
    read_literal,
)

WAVEFORM = "clinical_symile.models.encoders.waveform"
MODULE = '''
"""A module of someone else."""
import nowhere_at_all
from string import Template as Borrowed

COLUMNS = ("label",)


class Described:
    """A first line.

    And more.
    """

    display_name = "The described one"
    description = "Do what is described."
    source = "A. Author, A title, 2020."
    needs: tuple[str, ...] = ("a CUDA device",)


class Plain:
    """A first line."""


MADE = make(name="made", display_name="Made", columns=("label", "probability"), compute=len)
"""A line below."""


def function(*, size, width=3):
    """Make it."""


@unknown
@nowhere_at_all.describe_as(display_name="Built", description="Builds it.", needs=("a GPU",))
def described(*, size):
    """Make it."""


COMPUTED = COLUMNS + ("value",)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that could not be imported."""
    (tmp_path / "described_elsewhere.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "described_elsewhere"


def test_keywords_are_read_without_importing_the_module():
    sys.modules.pop(WAVEFORM, None)
    known, required = keyword_arguments("resnet1d", ENCODERS)
    assert "sampling_rate_hz" in known
    assert required == set()
    assert WAVEFORM not in sys.modules


def test_descriptions_are_read_without_importing_the_module():
    sys.modules.pop(WAVEFORM, None)
    assert "residual network" in describe("resnet1d", ENCODERS).description
    assert WAVEFORM not in sys.modules


def test_a_class_describes_itself_by_its_literals(module: str):
    about = read_description(f"{module}:Described", name="mine", what="objective")
    assert about.display_name == "The described one"
    assert about.description == "Do what is described."
    assert about.source == "A. Author, A title, 2020."
    assert about.needs == ("a CUDA device",)


def test_without_literals_the_docstring_describes(module: str):
    about = read_description(f"{module}:Plain", name="mine", what="objective")
    assert (about.display_name, about.description) == ("mine", "A first line.")
    about = read_description(f"{module}:Plain", name=f"{module}:Plain", what="objective")
    assert about.display_name == "Plain"


def test_a_constant_describes_itself_by_the_arguments_of_its_call(module: str):
    about = read_description(f"{module}:MADE", name="made", what="metric")
    assert (about.display_name, about.description) == ("Made", "A line below.")
    assert read_literal(f"{module}:MADE", "columns", what="metric") == ("label", "probability")
    assert read_literal(f"{module}:MADE", "compute", what="metric") is None


def test_a_function_describes_itself_by_its_decorator(module: str):
    about = read_description(f"{module}:described", name="built", what="encoder")
    assert (about.display_name, about.description) == ("Built", "Builds it.")
    assert about.needs == ("a GPU",)
    plain = read_description(f"{module}:function", name="plain", what="encoder")
    assert (plain.display_name, plain.description) == ("plain", "Make it.")


def test_the_decorator_leaves_the_function_as_it_is():
    def build() -> int:
        return 3

    assert describe_as(display_name="Built", description="Builds it.")(build) is build


def test_a_literal_constant_is_read_and_a_computed_one_is_refused(module: str):
    assert read_constant(f"{module}:COLUMNS", what="columns") == ("label",)
    for name in ("COMPUTED", "function"):
        with pytest.raises(ValueError, match=f"{module}:{name}' is not a literal"):
            read_constant(f"{module}:{name}", what="columns")


def test_a_functions_keywords_are_its_own(module: str):
    found = read_keyword_arguments(f"{module}:function", what="encoder")
    assert found == ({"size", "width"}, {"size"})


def test_an_imported_name_is_followed_to_its_home(module: str):
    (first, *_) = find_definition(f"{module}:Borrowed", what="thing")
    assert getattr(first, "name", "") == "Template"


def test_keywords_of_a_class_without_a_constructor_are_none():
    assert read_keyword_arguments("string:Formatter", what="thing") == (set(), set())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("string:Nothing", "defines no 'Nothing'"),
        ("nowhere.at.all:Thing", "no module 'nowhere.at.all'"),
        ("string", "expected 'package.module:Name'"),
        ("string:", "expected 'package.module:Name'"),
        ("string:a:b", "expected 'package.module:Name'"),
    ],
)
def test_a_path_that_names_nothing_is_an_error(path: str, message: str):
    with pytest.raises(DefinitionError, match=message):
        find_definition(path, what="thing")
