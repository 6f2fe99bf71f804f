import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from clinical_symile.config.catalog import open_catalog, read_definition, read_toml
from clinical_symile.config.cohort_schema import Outcome, Samples, Subgroup
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DefinitionError


def _task(folder: Path, name: str = "retrieval/mine") -> Path:
    path = folder / "tasks" / f"{name}.toml"
    path.parent.mkdir(parents=True)
    path.write_text('kind = "retrieval"\n')
    return path


def test_our_definitions_are_found_in_a_checkout():
    catalog = open_catalog()
    assert "synthetic" in catalog.cohorts
    assert "retrieval/cxr_given_ecg_labs" in catalog.tasks
    assert "benchmark" in catalog.reports


def test_the_path_is_the_name(tmp_path: Path):
    path = _task(tmp_path, "st_elsewhere/retrieval/ecg_given_labs")
    assert open_catalog([tmp_path]).tasks["st_elsewhere/retrieval/ecg_given_labs"] == path


def test_a_name_defined_twice_is_an_error_that_names_both_files(tmp_path: Path):
    path = _task(tmp_path, "retrieval/cxr_given_ecg_labs")
    with pytest.raises(DefinitionError, match="defined twice") as caught:
        open_catalog([tmp_path])
    assert str(path) in str(caught.value)


def test_the_same_directory_named_twice_is_read_once(tmp_path: Path):
    _task(tmp_path)
    assert "retrieval/mine" in open_catalog([tmp_path, tmp_path]).tasks


def test_directories_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _task(tmp_path / "a", "a")
    _task(tmp_path / "b", "b")
    monkeypatch.setenv(
        "CLINICAL_SYMILE_CATALOG", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])
    )
    assert {"a", "b"} <= open_catalog().tasks.keys()


def test_a_directory_without_definitions_is_refused(tmp_path: Path):
    with pytest.raises(DefinitionError, match="no cohorts/, tasks/ or reports/ in it"):
        open_catalog([tmp_path / "nowhere"])


def test_an_unknown_name_brings_the_nearest_one():
    with pytest.raises(DefinitionError, match="did you mean 'retrieval/cxr_given_ecg_labs'"):
        open_catalog().path("tasks", "retrieval/cxr_given_ecg_lab")


def test_broken_toml_is_reported_with_its_line(tmp_path: Path):
    path = tmp_path / "x.toml"
    path.write_text("a = 1\na = 2\n")
    with pytest.raises(DefinitionError, match=r"x\.toml: not valid TOML: .*line 2"):
        read_toml(path)


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    column: str


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int
    parts: dict[str, _Inner] = {}


def test_every_problem_of_a_definition_is_raised_at_once():
    table = {"siez": 3, "parts": {"a": {"colum": "x"}}}
    with pytest.raises(DefinitionError) as caught:
        read_definition(_Outer, table, where="f.toml")
    assert set(caught.value.problems) == {
        "f.toml: the file has no 'size'. Add it.",
        "f.toml: parts.a has no 'column'. Add it.",
        "f.toml: parts.a: unknown key 'colum'; did you mean 'column'? Known: column.",
        "f.toml: unknown key 'siez'; did you mean 'size'? Known: parts, size.",
    }


def test_a_value_of_the_wrong_kind_is_reported_with_the_value():
    with pytest.raises(DefinitionError, match=r"f\.toml: size is 'big'; it should be a valid int"):
        read_definition(_Outer, {"size": "big"}, where="f.toml")


SAMPLES = {"sql": "a.sql", "sample": "admission", "subject": "person"}
BY_VALUE = {"column": "year", "train": [1], "tuning": [2], "held_out": [3]}
TASK = {"name": "n", "description": "d", "split": "tuning", "missingness": ["complete"]}
RETRIEVAL = TASK | {
    "kind": "retrieval",
    "query": ["ecg"],
    "target": "cxr",
    "metrics": ["recall_at_1"],
    "primary": "recall_at_1",
}
CLASSIFICATION = TASK | {
    "kind": "classification",
    "inputs": ["ecg"],
    "probe": {"name": "logistic"},
    "metrics": ["auroc"],
    "primary": "auroc",
}


@pytest.mark.parametrize(
    ("model", "table", "told"),
    [
        (
            Samples,
            SAMPLES | {"split": {"tuning": 0.75, "held_out": 0.45, "seed": 1}},
            ["split: tuning and held_out leave nothing for train; expected a sum below 1"],
        ),
        (
            Samples,
            SAMPLES | {"split": {"tuning": 0.1, "hel_out": 0.2, "seed": 1}},
            [
                "split has no 'held_out'. Add it.",
                "split: unknown key 'hel_out'; did you mean 'held_out'? "
                "Known: held_out, seed, tuning.",
            ],
        ),
        (
            Samples,
            SAMPLES | {"split": BY_VALUE | {"tuning": [1]}},
            ["split: 1 is in two splits; expected each value in one."],
        ),
        (
            Samples,
            SAMPLES | {"split": BY_VALUE | {"seed": 1}},
            ["split: unknown key 'seed'. Known: column, held_out, train, tuning."],
        ),
        (
            Samples,
            SAMPLES | {"split": 3},
            [
                "split is 3; expected a column, { tuning, held_out, seed } or "
                "{ column, train, tuning, held_out }."
            ],
        ),
        (
            Outcome,
            {"column": "died", "positive": [[1]], "negative": [0]},
            ["positive[0] is [1]; expected a text, a number, true or false."],
        ),
        (
            Subgroup,
            {"column": "age", "bands": ["old"]},
            ["bands[0] is 'old'; expected a number."],
        ),
        (
            Retrieval,
            RETRIEVAL | {"candidates": 1},
            ["candidates is 1; expected a whole number from 2, 'all' or 'published'."],
        ),
        (
            Classification,
            CLASSIFICATION | {"outcome": []},
            ["outcome is []; expected the name of an outcome, or a list of names."],
        ),
    ],
)
def test_one_mistake_in_a_field_of_several_kinds_is_told_of_the_kind_that_was_meant(
    model: type[BaseModel], table: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(model, table, where="f.toml")
    assert list(caught.value.problems) == [f"f.toml: {problem}" for problem in told]
