"""`clinical-symile schema`."""

import json
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("kind", "key"), [("cohort", "samples"), ("task", "primary"), ("report", "sections")]
)
def test_the_schema_of_a_kind_is_json_that_knows_its_keys(
    run: Callable[..., tuple[int, str, str]], kind: str, key: str
):
    status, shown, said = run("schema", kind)
    assert (status, said) == (0, "")
    assert json.loads(shown)["$schema"].endswith("2020-12/schema")
    assert f'"{key}"' in shown
