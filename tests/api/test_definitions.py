"""Definitions and components are listed by name with a sentence each."""

from pathlib import Path

import pytest

import clinical_symile as cs
from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.families import ENCODERS, METRICS, OBJECTIVES


def test_cohorts_tasks_and_reports_are_those_of_the_catalog(catalog: Catalog):
    assert set(cs.list_tasks()) == set(catalog.tasks)
    assert set(cs.list_reports()) == set(catalog.reports)
    assert {name.partition("/")[0] for name in cs.list_cohorts()} == set(catalog.cohorts)
    for listed in (cs.list_tasks(), cs.list_reports(), cs.list_cohorts()):
        assert all(listed.values()), "a name without a description"


def test_tasks_of_one_kind_are_listed_alone():
    retrieval = cs.list_tasks(kind="retrieval")
    assert retrieval
    assert {cs.get_task(name).kind for name in retrieval} == {"retrieval"}
    kinds = ("pretraining", "retrieval", "classification", "diagnostic")
    assert sum(len(cs.list_tasks(kind=kind)) for kind in kinds) == len(cs.list_tasks())


def test_components_describe_themselves():
    for listed, family in (
        (cs.list_objectives(), OBJECTIVES),
        (cs.list_encoders(), ENCODERS),
        (cs.list_metrics(), METRICS),
    ):
        assert set(listed) == set(family)
        assert all(sentence.endswith(".") for sentence in listed.values())


def test_a_task_is_read_with_what_it_inherits_and_its_overrides():
    task = cs.get_task("pretraining/symile", overrides={"epochs": 3})
    assert (task.kind, task.epochs) == ("pretraining", 3)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_catalog_of_ones_own_is_listed_beside_ours(tmp_path: Path):
    folder = tmp_path / "tasks" / "mine"
    folder.mkdir(parents=True)
    (folder / "one.toml").write_text('kind = "retrieval"\ndescription = "Mine."\n')
    assert cs.list_tasks(catalog=[tmp_path])["mine/one"] == "Mine."
    with pytest.raises(DefinitionError, match="unknown task 'mine/one'"):
        cs.get_task("mine/one")
