"""Fields set on the command line."""

import pytest

from clinical_symile.config.overrides import apply_override, parse_override
from clinical_symile.errors import DefinitionError

TABLE = {"epochs": 3, "encoders": {"ecg": {"width": 8}, "cxr": {}}, "name": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=3", 3),
        ("a=0.5", 0.5),
        ("a=true", True),
        ('a=["x", "y"]', ["x", "y"]),
        ("a=plain words", "plain words"),
        ("a=", ""),
        ("a=b=c", "b=c"),
    ],
)
def test_a_value_is_toml_or_else_a_text(text: str, value: object):
    assert parse_override(text) == ("a", value)


@pytest.mark.parametrize("text", ["epochs", "=3", ""])
def test_a_setting_without_field_or_value_is_refused(text: str):
    with pytest.raises(DefinitionError, match="expected field=value"):
        parse_override(text)


def test_a_field_inside_a_table_is_set_and_the_rest_is_kept():
    made = apply_override(TABLE, "encoders.ecg.width=16")
    assert made == {**TABLE, "encoders": {"ecg": {"width": 16}, "cxr": {}}}
    assert TABLE["encoders"] == {"ecg": {"width": 8}, "cxr": {}}


def test_a_table_that_the_definition_leaves_out_begins_with_the_field():
    assert apply_override(TABLE, "side.labels=['died']") == {**TABLE, "side": {"labels": ["died"]}}


def test_dots_into_a_field_that_is_no_table_are_refused():
    with pytest.raises(DefinitionError, match="unknown table 'epochs'"):
        apply_override(TABLE, "epochs.first=1")
