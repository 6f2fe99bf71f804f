"""The sections of a docstring, as pages of the documentation and schemas show them."""

from clinical_symile.registry.docstrings import docstring_section, first_paragraph
from clinical_symile.tracking.results import Comparison, Result


def test_the_summary_is_the_first_paragraph_on_one_line():
    assert first_paragraph(Comparison) == "The difference of two runs on the same samples."


def test_a_section_has_each_entry_with_its_further_lines_joined():
    found = docstring_section(Result, "Attributes")
    assert found["seed"] == "seed of the run's training."
    assert "interval over subjects; None where there is none." in found["low"]
    assert docstring_section(Result, "Raises") == {}
