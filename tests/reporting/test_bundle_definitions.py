"""Definitions of a bundle are compared with their digests; code that they name is not imported."""

from typing import Any

import pytest

from clinical_symile import __version__
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import portable_fields, read_task, task_digest
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.reporting.bundle_definitions import DefinitionCheck, named_code
from clinical_symile.reporting.run_data import task_table

NAME = "retrieval/cxr_given_ecg_labs"


@pytest.fixture
def table(catalog: Catalog) -> dict[str, Any]:
    task = read_task(catalog, NAME)
    assert isinstance(task, Retrieval)
    return task_table(task)


def test_a_table_has_the_digest_of_its_task(catalog: Catalog, table: dict[str, Any]):
    check = DefinitionCheck()
    check.task(NAME, table, task_digest(read_task(catalog, NAME)))
    assert (check.problems, check.skipped) == ([], [])
    check.task(NAME, table | {"candidates": 3, "description": "a.b:C"}, "0123456789abcdef")
    assert "the definition was changed" in "\n".join(check.problems)
    assert check.skipped == []


def test_a_task_that_names_code_is_compared_without_its_direction(table: dict[str, Any]):
    own = table | {"metrics": ["nowhere.x:METRIC"], "primary": "nowhere.x:METRIC"}
    check = DefinitionCheck()
    check.task(NAME, own, "0123456789abcdef")
    (problem,), (skipped,) = check.problems, check.skipped
    digest = problem.rpartition(" ")[2].rstrip(".")
    assert "names nowhere.x:METRIC, code that is not imported" in skipped
    check = DefinitionCheck()
    check.task(NAME, own, digest)
    assert (check.problems, check.skipped) == ([], [skipped])


def test_every_task_to_train_agrees_with_its_record_and_no_other(catalog: Catalog):
    check = DefinitionCheck()
    names = [name for name in catalog.tasks if name.startswith("pretraining/")][:5]
    for name in names:
        task = read_task(catalog, name)
        definition = portable_fields(task, exclude={"name", "settings"})
        written = {key: value for key, value in definition.items() if value is not None}
        record = {"name": name, "task": name, "version": __version__, "definition": written}
        check.run(record | {"task_digest": task_digest(task)})
        assert (check.problems, check.skipped) == ([], [])
        check.run(record | {"task_digest": "0123456789abcdef"})
        assert len(check.problems) == 1
        check.problems.clear()


def test_texts_name_no_code():
    assert named_code({"name": "a:B", "description": "a:B", "x": [{"name": "a:B"}]}) == ["a:B"]
    assert named_code({"name": "a:B", "description": "see a.b:C"}) == []
