"""Parse the command line."""

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from clinical_symile import __version__
from clinical_symile.cli.arguments import add_catalog
from clinical_symile.errors import Problem, as_problems

# Each verb is a module of its own, which defines `add_<verb>_arguments` and `run_<verb>`. It is
# imported where its arguments are needed, so that no verb waits for another.
VERBS = {
    "list": "show what there is to choose from",
    "show": "print a definition with everything that it inherits",
    "schema": "print the JSON Schema of a kind of definition, for editors",
    "check": "read every definition and report every problem",
    "doctor": "check this machine: packages, devices, disk space and definitions",
    "explain": "say what an error code means and what to do",
    "completion": "print the script that completes commands in a shell",
    "init": "write a folder with a cohort of your own to fill in",
    "prepare": "convert the raw files of a cohort into a store",
    "audit": "look for what could make the results of a store wrong",
    "card": "write a page that describes a store, and a Croissant file beside it",
    "train": "train encoders as a pretraining task defines",
    "import-checkpoint": "import the released Symile-MIMIC model as a run",
    "evaluate": "evaluate a run, or the file of an external model, on tasks",
    "compare": "test the differences between runs on the same samples",
    "benchmark": "run everything that a report needs, and render it; what exists is kept",
    "report": "render the report of a benchmark again",
    "export": "write tables and figures of a benchmark or run as files",
}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the verb and its arguments; a mistake ends the program with a sentence, status 1."""
    words = sys.argv[1:] if arguments is None else arguments
    options, unknown = build_parser(words).parse_known_args(words)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.catalog = [*options.catalog, *options.further_catalog]
    return options


def verb_function(verb: str, pattern: str) -> Callable[..., Any]:
    """Import a function of a verb's module.

    Args:
        verb: a name of `VERBS`.
        pattern: `add_{}_arguments` or `run_{}`.
    """
    name = verb.replace("-", "_")
    module = importlib.import_module(f"clinical_symile.cli.{name}")
    return getattr(module, pattern.format(name))


def print_problems(problems: Sequence[str]) -> None:
    """Print problems on standard error, each with its code."""
    for problem in as_problems(problems, None):
        print(f"error: {problem.with_code()}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command in a sentence, with the nearest word that is right."""

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            word, known = choice[1], re.findall(r"[\w-]+", choice[2])
            close = get_close_matches(word, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            message = f"unknown word '{word}'{hint} Known: {', '.join(known)}."
        else:
            message = f"{message}. `{self.prog} --help` shows how it is used."
        print_problems([Problem(message, "CS-U001")])
        sys.exit(1)


def build_parser(needed: Collection[str] = VERBS) -> argparse.ArgumentParser:
    """Build the parser.

    Args:
        needed: the verbs whose arguments are added; other words are ignored. Without it, all.
    """
    parser = _Parser(
        prog="clinical-symile",
        description="Which way of learning from chest X-ray, ECG and labs together holds up when "
        "some of them are missing?",
        epilog="An error ends with a code such as [CS-D015]; `clinical-symile explain CS-D015` "
        "says what to do.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    add_catalog(parser, "catalog")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, about in VERBS.items():
        verb = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        verb.set_defaults(verb=name, parser=verb)
        add_catalog(verb, "further_catalog")
        if name in needed:
            verb_function(name, "add_{}_arguments")(verb)
    return parser
