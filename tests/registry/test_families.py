"""Every name of every family; a new member is tested by being registered."""

import pytest

from clinical_symile.registry.base import describe, resolve
from clinical_symile.registry.families import FAMILIES, KERNELS

MEMBERS = [
    pytest.param(name, family, id=f"{family.what}: {name}")
    for family in (*FAMILIES.values(), KERNELS)
    for name in family
]


@pytest.mark.parametrize(("name", "family"), MEMBERS)
def test_every_name_resolves(name, family):
    assert resolve(name, family) is not None


@pytest.mark.parametrize(("name", "family"), MEMBERS)
def test_every_object_describes_itself_in_a_sentence(name, family):
    about = describe(name, family)
    assert about.description[0].isupper()
    assert about.description.endswith(".")
    assert about.display_name
