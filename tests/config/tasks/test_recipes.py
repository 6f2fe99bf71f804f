"""A recipe sets the same fields of every task, as its file of data says, and says so."""

from typing import get_args

import pytest

from clinical_symile.cli.show import show_definition
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import (
    parse_task,
    read_task,
    setting_tasks,
    shown_task_table,
    task_digest,
)
from clinical_symile.config.tasks.recipes import recipes, with_recipe
from clinical_symile.errors import DefinitionError


def read(catalog: Catalog, *overrides: str, name: str = "pretraining/symile") -> Pretraining:
    task = read_task(catalog, name, overrides=overrides)
    assert isinstance(task, Pretraining)
    return task


def test_the_words_of_the_field_are_the_recipes_of_the_file():
    assert get_args(Pretraining.model_fields["recipe"].annotation) == tuple(recipes())


@pytest.mark.parametrize(
    "name", ["pretraining/symile", "pretraining/clip", "pretraining/objectives/gram"]
)
def test_the_resolved_task_has_every_field_of_the_strong_recipe(catalog: Catalog, name: str):
    basic, strong = read(catalog, name=name), read(catalog, "recipe=strong", name=name)
    shown = strong.model_dump(mode="json")
    assert shown["augment"] == recipes()["strong"]["augment"]
    for field, value in recipes()["strong"]["optimiser"].items():
        assert shown["optimiser"][field] == value
    assert shown.pop("recipe") == "strong"
    before = basic.model_dump(mode="json")
    changed = {field for field in shown if shown[field] != before[field]}
    assert changed == {"augment", "optimiser"}
    assert task_digest(basic) != task_digest(strong)


def test_basic_is_the_task_as_it_is_written(catalog: Catalog):
    assert read(catalog, "recipe=basic") == read(catalog)
    assert task_digest(read(catalog, "recipe=basic")) == task_digest(read(catalog))


def test_a_field_of_the_command_line_replaces_that_of_the_recipe_in_any_order(catalog: Catalog):
    for overrides in (
        ("recipe=strong", "optimiser.weight_decay=0.3", "augment.cxr.degrees=1"),
        ("augment.cxr.degrees=1", "optimiser.weight_decay=0.3", "recipe=strong"),
    ):
        task = read(catalog, *overrides)
        assert task.optimiser.weight_decay == 0.3
        assert task.optimiser.warmup_fraction == 0.2
        assert task.augment["cxr"].arguments["degrees"] == 1


def test_a_recorded_definition_is_read_as_it_was_trained(catalog: Catalog):
    task = read(catalog, "recipe=strong", "optimiser.weight_decay=0.3")
    record = task.model_dump(mode="json", exclude={"name", "settings"})
    again = parse_task(record, name=task.name, where="run.toml")
    assert again == task.model_copy(update={"settings": ()})


def test_only_modalities_of_the_task_are_varied():
    table = with_recipe({"modalities": ["labs", "notes"], "recipe": "strong"})
    assert set(table["augment"]) == {"labs"}
    assert with_recipe({"recipe": "strong"}, ["recipe=basic"]) == {"recipe": "basic"}
    assert with_recipe({"epochs": 3}) == {"epochs": 3}


def test_a_setting_may_be_a_recipe(catalog: Catalog):
    settings = 'settings=[{ recipe = "strong", "optimiser.weight_decay" = 0.3 }]'
    _, other = setting_tasks(catalog, "pretraining/symile", [settings])
    assert set(other.augment) == {"cxr", "ecg", "labs"}
    assert other.optimiser.weight_decay == 0.3


def test_an_unknown_recipe_is_refused(catalog: Catalog):
    with pytest.raises(DefinitionError, match="recipe"):
        read(catalog, "recipe=stronger")


def test_the_shown_task_has_the_fields_of_its_recipe(catalog: Catalog):
    shown = shown_task_table(catalog, "pretraining/symile", ["recipe=strong", "epochs=3"])
    assert shown["augment"] == recipes()["strong"]["augment"]
    assert (shown["recipe"], shown["epochs"]) == ("strong", 3)
    assert "augment" not in shown_task_table(catalog, "pretraining/symile", [])
    text = show_definition([], "task", "pretraining/symile", overrides=["recipe=strong"])
    assert 'name = "vary_image"' in text
    with pytest.raises(DefinitionError, match="fields of a task can be set; this is a report"):
        show_definition([], "report", "objectives", overrides=["epochs=3"])
