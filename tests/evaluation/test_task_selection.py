"""The tasks that names and patterns select."""

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.task_selection import applicable_tasks


@pytest.fixture
def select(catalog: Catalog, synthetic_store: CohortStore):
    """A function that returns the names of the selected tasks."""

    def select(*patterns: str) -> set[str]:
        chosen = {"patterns": patterns} if patterns else {}
        tasks, _ = applicable_tasks(catalog, synthetic_store, **chosen)
        return {task.name for task in tasks}

    return select


def test_without_a_pattern_the_default_tasks_are_selected(select):
    selected = select()
    assert "retrieval/cxr_given_ecg_labs" in selected
    assert not any("/more/" in name for name in selected)
    assert selected == select("default") == select("*", "!*/more/*", "!diagnostic/*")


def test_a_pattern_selects_tasks_that_are_no_default_too(select):
    assert "retrieval/more/cxr_given_ecg" in select("retrieval/*")
    assert select("default", "retrieval/more/cxr_given_ecg") - select("default") == {
        "retrieval/more/cxr_given_ecg"
    }


def test_an_exclamation_mark_leaves_out(select):
    assert select("default", "!retrieval/*") == {
        name for name in select("default") if not name.startswith("retrieval/")
    }
    assert select("retrieval/*", "!default") == select("retrieval/more/*")
