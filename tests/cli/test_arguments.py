"""Values of arguments, and the words that a shell is offered for them."""

import argparse
from pathlib import Path

import pytest

from clinical_symile.cli import arguments


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (arguments.name_list, "a, b", ["a", "b"]),
        (arguments.optional_name_list, "none", []),
        (arguments.natural_number, "3", 3),
        (arguments.seeds, "0,2", [0, 2]),
        (arguments.margin, "0.02", 0.02),
        (arguments.positive_number, "2", 2),
        (arguments.run_folder_name, "symile-0", "symile-0"),
    ],
)
def test_a_valid_text_becomes_a_value(read, text: str, value: object):
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (arguments.name_list, ","),
        (arguments.natural_number, "-1"),
        (arguments.seeds, "0,x"),
        (arguments.margin, "0"),
        (arguments.margin, "inf"),
        (arguments.margin, "nan"),
        (arguments.positive_number, "0"),
        (arguments.run_folder_name, "../x"),
        (arguments.run_folder_name, ""),
    ],
)
def test_another_text_is_refused_with_what_was_expected(read, text: str):
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        read(text)


def _completer(action: argparse.Action):
    return vars(action)["completer"]


def test_the_last_name_of_a_list_is_completed():
    action = argparse.ArgumentParser().add_argument("--tasks")
    arguments.complete_by(action, lambda _: ["x", "y"])
    offered = _completer(action)(prefix="a,b,x", parsed_args=argparse.Namespace())
    assert offered == ["a,b,x", "a,b,y"]


def test_names_of_a_catalog_of_ones_own_are_offered(tmp_path: Path):
    (tmp_path / "tasks/pretraining").mkdir(parents=True)
    (tmp_path / "tasks/pretraining/mine.toml").write_text('kind = "pretraining"\n')
    action = argparse.ArgumentParser().add_argument("task")
    arguments.offer(action, "tasks")
    options = argparse.Namespace(catalog=[], further_catalog=[tmp_path])
    offered = _completer(action)(prefix="", parsed_args=options)
    assert "pretraining/mine" in offered
    assert "pretraining/symile" in offered
