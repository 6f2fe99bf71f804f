"""The parser of the command line."""

import importlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from clinical_symile.cli.parser import VERBS, build_parser, parse_arguments, verb_function
from docs.hooks.reference import verbs


def test_help_is_help(run: Callable[..., tuple[int, str, str]]):
    status, shown, _ = run("--help")
    assert status == 0
    assert all(verb in shown for verb in ("list", "check", "doctor", "prepare", "benchmark"))
    assert run("train", "--help")[0] == 0


def test_help_tells_of_every_argument(run: Callable[..., tuple[int, str, str]]):
    for verb, told in {
        "list": ("[KIND]", "one of cohorts, tasks,"),
        "prepare": ("`list cohorts` shows all",),
        "audit": ("folder of the store that `prepare` wrote",),
        "benchmark": ("`list reports` shows all", "folder of all results"),
        "report": ("folder of the benchmark",),
    }.items():
        shown = " ".join(run(verb, "--help")[1].split())
        assert all(part in shown for part in told)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_module_that_says_what_it_does(verb: str):
    name = verb.replace("-", "_")
    module = importlib.import_module(f"clinical_symile.cli.{name}")
    assert (module.__doc__ or "").startswith(f"`clinical-symile {verb}")
    assert callable(verb_function(verb, "run_{}"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_of_a_verb_has_a_help_text(verb: str):
    for action in verbs(build_parser())[verb]._actions:
        assert action.help, f"{verb}: {action.dest}"


def test_the_arguments_of_the_verb_in_a_command_alone_are_loaded():
    code = (
        "import sys\n"
        "from clinical_symile.cli.parser import parse_arguments\n"
        "parse_arguments(['report', 'missingness', '--out', 'x'])\n"
        "loaded = {m.split('.')[-1] for m in sys.modules if m.startswith('clinical_symile.cli.')}\n"
        "assert loaded == {'arguments', 'parser', 'report'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_catalogs_before_and_after_the_verb_are_joined():
    options = parse_arguments(["--catalog", "a", "list", "--catalog", "b"])
    assert [str(path) for path in options.catalog] == ["a", "b"]


def test_a_value_that_is_the_name_of_a_verb_is_a_value():
    options = parse_arguments(["report", "list", "--out", "train"])
    assert (options.verb, options.report, str(options.out)) == ("report", "list", "train")
