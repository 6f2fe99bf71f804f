"""Resolved definitions and their JSON Schemas."""

import json
import tomllib
from pathlib import Path

import pytest

from clinical_symile.cli.check import check_definitions
from clinical_symile.cli.schema import definition_schema
from clinical_symile.cli.show import show_definition
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task, task_digest
from clinical_symile.errors import DefinitionError


def test_a_task_is_shown_with_what_it_inherits_and_its_digest(catalog: Catalog):
    shown = show_definition([], "task", "pretraining/clip")
    table = tomllib.loads(shown)
    assert "extends" not in table
    assert (table["objective"]["name"], table["kind"]) == ("clip", "pretraining")
    assert task_digest(read_task(catalog, "pretraining/clip")) in shown.splitlines()[0]


@pytest.mark.parametrize(("kind", "name"), [("cohort", "synthetic"), ("report", "benchmark")])
def test_cohorts_and_reports_are_shown(kind: str, name: str):
    assert tomllib.loads(show_definition([], kind, name))


def test_an_unknown_definition_is_not_shown():
    with pytest.raises(DefinitionError, match="did you mean 'pretraining/clip'"):
        show_definition([], "task", "pretraining/clp")


@pytest.mark.parametrize("kind", ["cohort", "task", "report"])
def test_a_schema_is_json(kind: str):
    schema = json.loads(definition_schema(kind))
    assert schema["$schema"].startswith("https://json-schema.org/")
    fields = [one["properties"] for one in schema.get("oneOf", [schema])]
    assert all("name" not in one for one in fields) or kind != "task"


def test_check_finds_names_that_mean_nothing(tmp_path: Path):
    (tmp_path / "tasks/mine").mkdir(parents=True)
    (tmp_path / "tasks/mine/way.toml").write_text(
        'extends = "pretraining/symile"\nmissing_modality = "nowhere:WAY"\n'
    )
    (tmp_path / "reports/mine").mkdir(parents=True)
    (tmp_path / "reports/mine/report.toml").write_text(
        'description = "Mine."\npretraining = ["pretraining/symil"]\nbaselines = ["prevalenc"]\n'
    )
    problems, _ = check_definitions([tmp_path])
    assert any("missing-modality method 'nowhere:WAY': no module" in one for one in problems)
    assert any("did you mean 'pretraining/symile'" in one for one in problems)
    assert any("unknown baseline 'prevalenc'; did you mean 'prevalence'" in one for one in problems)
