"""Tasks that extend others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.tasks.inheritance import merge_task_tables, resolve_task_table
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task, task_digest
from clinical_symile.errors import DefinitionError, RenamedWordWarning


@pytest.fixture
def define(tmp_path: Path) -> Callable[..., Catalog]:
    """A function that writes tasks `mine/<name>` and opens the catalog that has them."""

    def define(**tasks: str) -> Catalog:
        folder = tmp_path / "tasks" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in tasks.items():
            (folder / f"{name}.toml").write_text(text)
        return open_catalog([tmp_path])

    return define


def test_a_task_inherits_what_it_does_not_say(define: Callable[..., Catalog]):
    catalog = define(
        longer='extends = "pretraining/symile"\nepochs = 99\n[optimiser]\nweight_decay = 0.5\n'
    )
    parent, child = read_task(catalog, "pretraining/symile"), read_task(catalog, "mine/longer")
    assert isinstance(parent, Pretraining)
    assert isinstance(child, Pretraining)
    assert (child.epochs, child.optimiser.weight_decay) == (99, 0.5)
    assert child.optimiser.learning_rate == parent.optimiser.learning_rate
    assert child.encoders == parent.encoders


def test_the_digest_is_that_of_the_resolved_task(define: Callable[..., Catalog]):
    catalog = define(
        same='extends = "pretraining/symile"\ndescription = "The same."\n',
        other='extends = "mine/same"\nepochs = 99\n',
    )
    digests = [
        task_digest(read_task(catalog, name))
        for name in ("pretraining/symile", "mine/same", "mine/other")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_component_of_another_name_inherits_no_arguments():
    before = {"probe": {"name": "logistic", "strengths": [1.0]}, "epochs": 3}
    assert merge_task_tables(before, {"probe": {"name": "prototype"}}) == {
        "probe": {"name": "prototype"},
        "epochs": 3,
    }
    assert merge_task_tables(before, {"probe": {"strengths": [2.0]}})["probe"] == {
        "name": "logistic",
        "strengths": [2.0],
    }


def test_a_chain_is_followed_to_its_end(define: Callable[..., Catalog]):
    catalog = define(
        first='extends = "mine/second"\nepochs = 1\n',
        second='extends = "pretraining/clip"\nepochs = 2\ndim = 4\n',
    )
    table = resolve_task_table(catalog, "mine/first")
    assert (table["epochs"], table["dim"], table["objective"]["name"]) == (1, 4, "clip")
    assert "extends" not in table


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            {"a": 'extends = "mine/b"\n', "b": 'extends = "mine/a"\n'},
            "'mine/a' extends 'mine/b' extends 'mine/a'; expected an end",
        ),
        ({"a": 'extends = "mine/a"\n'}, "'mine/a' extends 'mine/a'"),
        ({"a": 'extends = "pretraining/symil"\n'}, "extends: unknown task 'pretraining/symil'"),
        ({"a": "extends = 3\n"}, "extends is 3; expected the name of a task"),
        (
            {"a": 'extends = "pretraining/symile"\nkind = "retrieval"\n'},
            "kind is 'retrieval', but the task that it extends is of kind 'pretraining'",
        ),
        ({"a": 'extends = "pretraining/symile"\nepoch = 3\n'}, "did you mean 'epochs'"),
    ],
)
def test_what_cannot_be_extended_is_an_error(
    define: Callable[..., Catalog], tasks: dict[str, str], message: str
):
    catalog = define(**tasks)
    with pytest.raises(DefinitionError, match=message):
        read_task(catalog, "mine/a")


def test_old_words_are_read_in_a_task_that_extends_another(define: Callable[..., Catalog]):
    catalog = define(
        old='extends = "pretraining/symile"\nabsent = "learned"\n',
        child='extends = "mine/old"\nmissing_modality = "dropout"\n',
    )
    with pytest.warns(RenamedWordWarning, match="old.toml: key 'absent'"):
        assert resolve_task_table(catalog, "mine/child")["missing_modality"] == "dropout"
