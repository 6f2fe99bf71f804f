"""Problems of a definition, in plain words and all at once."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from clinical_symile.config.cohort_schema import Outcome, Samples, Subgroup
from clinical_symile.config.definition import read_definition
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DefinitionError


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    column: str


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int
    parts: dict[str, _Inner] = {}
    names: tuple[str, ...] = ()
    kept: bool = True


def test_every_problem_of_a_definition_is_raised_at_once():
    table = {"siez": 3, "parts": {"a": {"colum": "x"}}}
    with pytest.raises(DefinitionError) as caught:
        read_definition(_Outer, table, where="f.toml")
    assert set(caught.value.problems) == {
        "f.toml: the file has no 'size'. Add it.",
        "f.toml: parts.a has no 'column'. Add it.",
        "f.toml: parts.a: unknown key 'colum'; did you mean 'column'? Known: column.",
        "f.toml: unknown key 'siez'; did you mean 'size'? Known: kept, names, parts, size.",
    }


def test_a_value_of_the_wrong_kind_is_reported_with_the_value():
    with pytest.raises(DefinitionError, match=r"f\.toml: size is 'big'; it should be a valid int"):
        read_definition(_Outer, {"size": "big"}, where="f.toml")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("names", "cxr,ecg", r"names is 'cxr,ecg'; it should be a list, such as \["),
        ("parts", 3, "parts is 3; it should be a table"),
        ("parts", {"a": 3}, r"parts\.a is 3; it should be a table"),
        ("parts", {"a": {"column": 3}}, r"parts\.a\.column is 3; it should be text in quotes"),
        ("kept", "maybe", "kept is 'maybe'; it should be true or false"),
    ],
)
def test_a_kind_is_named_in_the_words_of_toml(key: str, value: Any, said: str):
    with pytest.raises(DefinitionError, match=said):
        read_definition(_Outer, {"size": 1, key: value}, where="f.toml")


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
    ("model", "table", "reported"),
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
def test_one_mistake_in_a_field_of_several_kinds_is_reported_for_the_kind_that_was_meant(
    model: type[BaseModel], table: dict[str, Any], reported: list[str]
) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(model, table, where="f.toml")
    assert list(caught.value.problems) == [f"f.toml: {problem}" for problem in reported]
