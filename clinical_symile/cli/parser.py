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
from clinical_symile.formatting import mask_subject_counts

# Each verb is a module of its own, which defines `add_<verb>_arguments` and `run_<verb>`. It is
# imported where its arguments are needed, so that no verb waits for another.
VERBS = {
    "list": "list cohorts, tasks, reports and components by name",
    "show": "print a cohort, task or report with everything it inherits",
    "schema": "print the JSON Schema of definitions, for editors, or of results and records",
    "check": "check every cohort, task and report, and list all problems",
    "doctor": "check this machine: packages, devices, disk space and definitions",
    "explain": "explain an error code and what to do about it",
    "completion": "print the script that completes commands in a shell",
    "init": "start a cohort of your own from a template or from raw tables",
    "prepare": "convert the raw files of a cohort into a store",
    "audit": "search a store for problems that would bias results",
    "validate": "compare the form of results, runs, benchmarks and stores with its schema",
    "verify": "compare every file of a store, run, benchmark or bundle with its checksum",
    "card": "describe a store, or the model of a run, on an HTML page and in a file beside it",
    "checklist": "fill the TRIPOD+AI and CLAIM checklists from a benchmark or a run",
    "train": "train encoders on a pretraining task",
    "import-checkpoint": "import the released Symile-MIMIC model as a run",
    "interpolate": "write runs between a run and one that started from it (WiseFT)",
    "evaluate": "evaluate a run or the output of an external model on tasks",
    "rerun": "compute one line of results again and compare it to the digit",
    "compare": "test the differences between runs on the same samples",
    "sample-size": "compute how many subjects a wanted difference of two runs needs",
    "benchmark": "prepare, train, evaluate, compare and report; finished steps are kept",
    "sweep": "try settings from ranges of fields, and run a benchmark with the best on tuning",
    "sync": "copy runs or a benchmark to MLflow again",
    "dashboard": "open the page of MLflow on the runs of a folder",
    "report": "render a report from a finished benchmark",
    "bundle": "write a finished benchmark as one archive that can be shared and verified",
    "leaderboard": "rank the runs of bundles on the same questions, on a page and in a table",
    "export": "export tables and figures of a benchmark or run to files",
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
    """Print problems on standard error, each with its code and without small counts of people."""
    for problem in as_problems(problems, None):
        print(f"error: {mask_subject_counts(problem.with_code())}", file=sys.stderr)


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
            message = f"{message.rstrip('.')}. `{self.prog} --help` shows how it is used."
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
