"""Every cohort, task and report that stands here is right, and of use somewhere."""

import tomllib
from pathlib import Path

import pytest

from clinical_symile.cli.check import check_definitions
from clinical_symile.cli.list import LISTS, list_catalog
from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.cohort import modality_adapters, read_cohort
from clinical_symile.config.presets import cohort_names
from clinical_symile.config.report_file import read_requirements
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import KINDS, applicability_problems, parse_task, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.missingness.patterns import PATTERN_FORMS, PATTERN_GROUPS, parse_pattern
from clinical_symile.registry.base import load_object, resolve
from clinical_symile.registry.families import (
    CLASSIFICATION_METRICS,
    DIAGNOSTICS,
    ENCODERS,
    FAMILIES,
    MODALITIES,
    OBJECTIVES,
    PARTS,
    RETRIEVAL_METRICS,
)

ROOT = Path(__file__).resolve().parents[2]
OURS = open_catalog()
EXAMPLES = [path.parent for path in sorted(ROOT.glob("examples/*/cohorts"))]
EVERYONES = open_catalog(EXAMPLES)
COHORTS = [
    each for name, path in EVERYONES.cohorts.items() for each in cohort_names(path, name=name)
]


@pytest.mark.parametrize("name", COHORTS)
def test_a_cohort_is_read_and_its_modalities_are_there(name: str):
    cohort = read_cohort(EVERYONES.path("cohorts", name), name=name)
    adapters = modality_adapters(cohort)
    assert adapters.keys() == cohort.modalities.keys()
    for adapter in adapters.values():
        assert adapter.encoder in ENCODERS
    if cohort.generator is not None:
        assert callable(load_object(cohort.generator.write, what="generator"))


@pytest.mark.parametrize("name", EVERYONES.tasks)
def test_a_task_is_read_and_what_it_names_is_there(name: str):
    task = read_task(EVERYONES, name)
    assert task.description.endswith(".")
    if isinstance(task, Pretraining):
        assert callable(resolve(task.objective.name, OBJECTIVES))
        for encoder in task.encoders.values():
            assert callable(resolve(encoder.name, ENCODERS))
        assert set(task.modalities) <= set(MODALITIES)
        return
    if isinstance(task, DiagnosticTask):
        assert callable(resolve(task.diagnostic.name, DIAGNOSTICS))
        return
    tables = {Retrieval: RETRIEVAL_METRICS, Classification: CLASSIFICATION_METRICS}
    for metric in task.metrics:
        assert resolve(metric, tables[type(task)]).name == metric


@pytest.mark.parametrize("name", EVERYONES.tasks)
def test_a_task_applies_somewhere(name: str):
    task = read_task(EVERYONES, name)
    cohorts = [read_cohort(EVERYONES.path("cohorts", each), name=each) for each in COHORTS]
    if isinstance(task, Pretraining):
        assert any(set(task.modalities) <= set(cohort.modalities) for cohort in cohorts)
    else:
        assert any(
            not applicability_problems(task, list(cohort.modalities), list(cohort.outcomes))
            for cohort in cohorts
        )


@pytest.mark.parametrize("name", EVERYONES.tasks)
def test_the_path_says_what_kind_a_task_is(name: str):
    task = read_task(EVERYONES, name)
    assert task.kind in name.split("/")


@pytest.mark.parametrize("name", EVERYONES.reports)
def test_a_report_asks_for_what_there_is(name: str):
    asked = read_requirements(OURS.path("reports", name))
    if asked.of == "store":
        assert asked.pretraining == asked.tasks == asked.seeds == ()
        return
    for task in asked.pretraining:
        assert isinstance(read_task(OURS, task), Pretraining)
    assert asked.pretraining
    assert asked.tasks
    assert asked.seeds


def test_check_finds_nothing_wrong_here():
    problems, notes = check_definitions(EXAMPLES)
    assert problems == []
    assert f"{len(EVERYONES.tasks)} tasks" in notes[0]


def test_list_shows_everything_by_name(catalog: Catalog):
    shown = list_catalog([], LISTS)
    objects = [name for family in {**FAMILIES, **PARTS}.values() for name in family]
    patterns = [*PATTERN_FORMS, *PATTERN_GROUPS]
    for name in (*catalog.cohorts, *catalog.tasks, *catalog.reports, *objects, *patterns):
        assert name in shown


@pytest.mark.parametrize("form", PATTERN_FORMS)
def test_the_patterns_that_list_shows_are_patterns(form: str):
    for word in ("modality", "column", "outcome", "name"):
        form = form.replace(f"<{word}>", "ecg")
    form = form.replace("<mechanism>", "mcar-30").replace("<seconds>", "3")
    form = form.replace("<decibels>", "10")
    assert parse_pattern(form.replace("<percent>", "30").replace("<rates>", "30"))


def _blocks(page: Path) -> list[str]:
    parts = page.read_text(encoding="utf-8").split("```")
    return [block.removeprefix("toml\n") for block in parts[1::2] if block.startswith("toml\n")]


def test_the_examples_on_the_tasks_page_are_tasks():
    tables = [tomllib.loads(block) for block in _blocks(ROOT / "tasks" / "README.md")]
    tasks = [
        parse_task(table, name="x/y", where="README.md") for table in tables if "kind" in table
    ]
    assert {task.kind for task in tasks} == {*KINDS}


@pytest.mark.parametrize("kind", [*KINDS.values()])
def test_every_field_of_a_task_stands_on_the_tasks_page(kind: type):
    text = (ROOT / "tasks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in kind.model_fields if name not in text] == []
