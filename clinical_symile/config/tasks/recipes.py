"""Recipes: sets of fields of a pretraining task that are changed together, by one word."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from clinical_symile.config._tables import is_table
from clinical_symile.config.overrides import parse_override
from clinical_symile.config.tasks.inheritance import merge_task_tables

FIELD, BASIC = "recipe", "basic"


@cache
def recipes() -> Mapping[str, Mapping[str, Any]]:
    """Return the fields that each recipe sets, from `recipes.toml`."""
    text = (
        files("clinical_symile.config.tasks").joinpath("recipes.toml").read_text(encoding="utf-8")
    )
    return tomllib.loads(text)


def with_recipe(table: Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return a task's table with the fields of its recipe.

    A recipe that is set on the command line replaces the file's. The fields replace those of the
    table. A word that is no recipe stays as it is, for the check of the task.

    Args:
        table: what the file says, with everything that it inherits.
        overrides: `field=value`, as after `--set`.
    """
    word = table.get(FIELD, BASIC)
    for field, value in map(parse_override, overrides):
        word = value if field == FIELD else word
    if not isinstance(word, str) or word not in recipes():
        return dict(table)
    fields = dict(recipes()[word])
    modalities = table.get("modalities", ())
    if is_table(augment := fields.get("augment")):
        fields["augment"] = {name: made for name, made in augment.items() if name in modalities}
    merged = merge_task_tables(table, fields)
    return {**merged, FIELD: word} if word != BASIC or FIELD in table else merged
