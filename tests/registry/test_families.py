"""Every name of every family; a new member is tested by being registered."""

import pytest

from clinical_symile.registry.base import describe, resolve
from clinical_symile.registry.families import FAMILIES, PARTS
from clinical_symile.registry.source import read_literal

MEMBERS = [
    pytest.param(name, family, id=f"{family.what}: {name}")
    for family in (*FAMILIES.values(), *PARTS.values())
    for name in family
]


@pytest.mark.parametrize(("name", "family"), MEMBERS)
def test_every_name_resolves(name, family):
    assert resolve(name, family) is not None


@pytest.mark.parametrize(("name", "family"), MEMBERS)
def test_every_object_brings_its_display_name_and_describes_itself_in_a_sentence(name, family):
    assert read_literal(family[name], "display_name", what=family.what)
    about = describe(name, family)
    assert about.description[0].isupper()
    assert about.description.endswith(".")
    assert "\n" not in about.description
    assert not any(need.endswith(".") for need in about.needs)


@pytest.mark.parametrize(("name", "family"), MEMBERS)
def test_an_object_says_of_itself_at_runtime_what_is_read_from_its_source(name, family):
    component, about = resolve(name, family), describe(name, family)
    for attribute in ("display_name", "description", "source"):
        value = getattr(component, attribute, None)
        if isinstance(value, str) and value:
            assert value == getattr(about, attribute)
