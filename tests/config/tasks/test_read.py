from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.overrides import parse_override
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import (
    applicability_problems,
    parse_task,
    read_task,
    setting_tasks,
    task_digest,
)
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DefinitionError

RETRIEVAL = {
    "kind": "retrieval",
    "description": "Find.",
    "query": ["ecg", "labs"],
    "target": "cxr",
    "split": "held_out",
    "candidates": 10,
    "missingness": ["complete"],
    "metrics": ["recall_at_1"],
    "primary": "recall_at_1",
}


def _read(catalog: Catalog, name: str, *overrides: str):
    return read_task(catalog, name, overrides=overrides)


def test_every_kind_is_read(catalog: Catalog):
    assert isinstance(_read(catalog, "pretraining/symile"), Pretraining)
    assert isinstance(_read(catalog, "retrieval/cxr_given_ecg_labs"), Retrieval)
    assert isinstance(_read(catalog, "classification/deterioration"), Classification)


def test_a_field_is_overridden_where_it_stands(catalog: Catalog):
    task = _read(
        catalog, "pretraining/symile", "epochs=3", "optimiser.learning_rate=0.5", "norm=layer_norm"
    )
    assert isinstance(task, Pretraining)
    assert (task.epochs, task.optimiser.learning_rate, task.norm) == (3, 0.5, "layer_norm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "ecg"}, "target 'ecg' is in the query too"),
        ({"candidates": "published", "same_subject": True}, "same_subject is of lists that are"),
        ({"metrics": ["recall_at_2"]}, "unknown retrieval metric 'recall_at_2'"),
        ({"primary": "mean_reciprocal_rank"}, "is not one of the metrics"),
        ({"missingness": ["without-cxr"]}, "'cxr' is not among the modalities"),
        ({"missingness": ["mcar-0"]}, "unknown missingness pattern 'mcar-0'"),
        ({"kind": "retreival"}, "unknown kind 'retreival'; did you mean 'retrieval'"),
        ({"name": "x"}, "the path is the name"),
        ({"split": "test"}, "split is 'test'"),
    ],
)
def test_a_wrong_definition_is_refused_with_what_to_do(change: dict, message: str):
    with pytest.raises(DefinitionError, match=message):
        parse_task({**RETRIEVAL, **change}, name="retrieval/x", where="x.toml")


def test_several_problems_are_raised_at_once():
    table = {**RETRIEVAL, "target": "ecg", "metrics": ["recall_at_2"]}
    with pytest.raises(DefinitionError) as caught:
        parse_task(table, name="retrieval/x", where="x.toml")
    assert len(caught.value.problems) == 3


def test_an_unknown_key_does_not_hide_what_else_is_wrong():
    table = {**RETRIEVAL, "splt": "tuning", "target": "ecg", "metrics": ["recall_at_2"]}
    with pytest.raises(DefinitionError) as caught:
        parse_task(table, name="retrieval/x", where="x.toml")
    assert len(caught.value.problems) == 4
    assert "unknown key 'splt'; did you mean 'split'?" in caught.value.problems[0]


def test_the_digest_changes_with_what_is_asked_and_not_with_the_words():
    task = parse_task(RETRIEVAL, name="retrieval/x", where="x.toml")
    reworded = parse_task({**RETRIEVAL, "description": "Seek."}, name="retrieval/y", where="")
    harder = parse_task({**RETRIEVAL, "candidates": 100}, name="retrieval/x", where="")
    assert task_digest(task) == task_digest(reworded) != task_digest(harder)


def test_a_setting_is_toml_or_a_string():
    assert parse_override("a.b=[1, 2]") == ("a.b", [1, 2])
    assert parse_override("a=true") == ("a", True)
    assert parse_override("a=only-ecg") == ("a", "only-ecg")


def test_a_task_that_asks_for_what_a_cohort_lacks_is_not_applicable(catalog: Catalog):
    task = _read(catalog, "classification/deterioration")
    assert not isinstance(task, Pretraining)
    problems = applicability_problems(task, ["ecg", "labs"], ["sepsis"])
    assert len(problems) == 2
    assert "no modality 'cxr'" in problems[0]
    assert "no outcome 'deterioration'; it has sepsis" in problems[1]


def test_a_missing_file_is_reported(tmp_path: Path):
    catalog = Catalog(cohorts={}, tasks={"nowhere": tmp_path / "nowhere.toml"}, reports={})
    with pytest.raises(DefinitionError, match="no such file"):
        read_task(catalog, "nowhere")


CLIP_SETTINGS = 'extends = "pretraining/clip"\nsettings = [\n{}]\n'


def _catalog_with(tmp_path: Path, settings: str) -> Catalog:
    folder = tmp_path / "tasks" / "mine"
    folder.mkdir(parents=True)
    (folder / "clip.toml").write_text(CLIP_SETTINGS.format(settings), encoding="utf-8")
    return open_catalog([tmp_path])


def test_a_task_is_read_in_each_of_its_settings(tmp_path: Path):
    catalog = _catalog_with(tmp_path, '{ "objective.temperature" = 0.5, epochs = 3 },\n')
    own, other = setting_tasks(catalog, "mine/clip", ["batch_size=64"])
    assert (own.objective.arguments["temperature"], own.epochs, own.batch_size) == (0.07, 8, 64)
    assert (other.objective.arguments["temperature"], other.epochs, other.batch_size) == (
        0.5,
        3,
        64,
    )
    assert other.name == own.name
    assert task_digest(own) != task_digest(other)


def test_settings_are_no_part_of_the_digest_and_are_not_inherited(tmp_path: Path):
    catalog = _catalog_with(tmp_path, '{ "objective.temperature" = 0.5 },\n')
    parent, child = (_read(catalog, name) for name in ("pretraining/clip", "mine/clip"))
    assert isinstance(parent, Pretraining)
    assert isinstance(child, Pretraining)
    assert parent.settings != child.settings
    assert task_digest(parent) == task_digest(child)
    (tmp_path / "tasks" / "mine" / "next.toml").write_text('extends = "mine/clip"\n')
    grandchild = _read(open_catalog([tmp_path]), "mine/next")
    assert isinstance(grandchild, Pretraining)
    assert grandchild.settings == ()


def test_every_problem_of_every_setting_is_said_at_once(tmp_path: Path):
    settings = '{ "objective.warmth" = 0.5 },\n{ "objektive.temperature" = 0.5 },\n{},\n'
    with pytest.raises(DefinitionError) as refused:
        _read(_catalog_with(tmp_path, settings), "mine/clip")
    text = str(refused.value)
    assert "setting 2" in text
    assert "warmth" in text
    assert "'objektive'; did you mean 'objective'" in text
    assert "setting 4: changes no field" in text


def test_a_task_has_four_settings_at_most(tmp_path: Path):
    settings = '{ "objective.temperature" = 0.5 },\n' * 4
    with pytest.raises(DefinitionError, match="settings"):
        _read(_catalog_with(tmp_path, settings), "mine/clip")
