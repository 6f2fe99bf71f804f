"""Parse the command line."""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from clinical_symile import __version__
from clinical_symile.errors import Problem, as_problems

LISTS = (
    "cohorts",
    "tasks",
    "reports",
    "objectives",
    "missing_modality",
    "encoders",
    "augmentations",
    "modalities",
    "probes",
    "baselines",
    "metrics",
    "missingness",
)

_DEFAULT_TASKS = ["default"]
_TASKS_HELP = "names, patterns with *, or default; ! leaves out; without it, default tasks"

_COHORT = "a name of `list cohorts`, such as synthetic"
_REPORT = "a name of `list reports`, such as benchmark"
_STORE = "the folder that `prepare` wrote"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The verb and what goes with it; a mistake ends the program with a sentence and status 1."""
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.verb == "check" and (options.cohort is None) != (options.source is None):
        options.parser.error("check of a cohort's tables needs --cohort and --source")
    if options.verb == "evaluate":
        _check_evaluate(options.parser, options)
    options.catalog = [*options.catalog, *options.further_catalog]
    return options


def _check_evaluate(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """A run needs a store; a file needs a folder; embeddings need both, and a score.

    What would be ignored is refused.
    """
    needs = {
        "run": ("store",),
        "predictions": ("out",),
        "embeddings": ("store", "out", "objective"),
        "scores": ("store", "out"),
    }
    ignored = {
        "run": {
            "out": "it writes into RUN",
            "name": "RUN has one",
            "objective": "RUN was trained with one",
            "similarity": "RUN was trained with one",
        },
        "predictions": {
            "objective": "predictions need no score to rank them",
            "similarity": "predictions need no score to rank them",
            "missingness": "the column missingness of FILE says it",
        },
        "embeddings": {"missingness": "they are scored under the patterns of the tasks"},
        "scores": {
            "objective": "they are scores already",
            "similarity": "they are scores already",
            "missingness": "the column missingness of FILE says it",
        },
    }
    given = next(name for name in needs if getattr(options, name) is not None)
    what = "a run" if given == "run" else f"--{given}"
    lacking = [name for name in needs[given] if getattr(options, name) is None]
    if lacking:
        parser.error(f"evaluate of {what} needs {', '.join('--' + name for name in lacking)}")
    for name, reason in ignored[given].items():
        if getattr(options, name) is not None:
            parser.error(f"evaluate of {what} takes no --{name}: {reason}")


def print_problems(problems: Sequence[str]) -> None:
    """Print problems on standard error."""
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


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs and options."""
    parser = _Parser(
        prog="clinical-symile",
        description="Which way of learning from chest X-ray, ECG and labs together holds up when "
        "some of them are missing?",
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_catalog(parser, "catalog")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    _add_definition_verbs(verbs)
    _add_data_verbs(verbs)
    _add_run_verbs(verbs)
    _add_benchmark_verbs(verbs)
    return parser


def _add_definition_verbs(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    verb = _add_verb(verbs, "list", "what there is to choose from")
    kinds = f"one of {', '.join(LISTS)}; without it, all of them"
    verb.add_argument("what", metavar="KIND", nargs="?", choices=LISTS, help=kinds)

    verb = _add_verb(verbs, "check", "read every definition and report every problem")
    verb.add_argument(
        "--canary",
        metavar="package.module:Name",
        help="instead, hold a part of your own to it: what is withheld must be unreachable",
    )
    verb.add_argument(
        "--plugin",
        metavar="PACKAGE",
        help="instead, check everything that an installed package registers",
    )
    verb.add_argument("--cohort", metavar="COHORT", help="whose query to try on the tables too")
    verb.add_argument("--source", metavar="DIR", type=Path, help="the raw files of that cohort")
    verb = _add_verb(verbs, "doctor", "what this machine has and what is amiss")
    verb.add_argument("--store", metavar="STORE", type=Path, help="a store to read in full as well")

    verb = _add_verb(verbs, "init", "a folder to begin a cohort of your own with")
    verb.add_argument("what", choices=("cohort",))
    verb.add_argument("cohort", metavar="NAME", help="of the cohort, such as st_elsewhere")
    verb.add_argument("--at", metavar="DIR", type=Path, required=True, help="the folder to write")
    either = verb.add_mutually_exclusive_group()
    either.add_argument(
        "--like", choices=("tables", "meds"), default="tables", help="what it reads"
    )
    either.add_argument(
        "--from",
        dest="raw",
        metavar="RAW",
        type=Path,
        help="propose the cohort from the raw tables in this folder",
    )

    verb = _add_verb(verbs, "show", "print a definition with everything that it inherits")
    verb.add_argument("what", choices=("cohort", "task", "report"))
    verb.add_argument("name", metavar="NAME", help="a name of `list`")

    verb = _add_verb(verbs, "explain", "say what an error code means and what to do")
    verb.add_argument("code", metavar="CODE", nargs="?", help="such as CS-D015; without it, all")

    verb = _add_verb(verbs, "schema", "print the JSON Schema of a kind of definition, for editors")
    verb.add_argument("what", choices=("cohort", "task", "report"))


def _add_data_verbs(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    verb = _add_verb(verbs, "prepare", "raw files of a cohort to a store")
    verb.add_argument("cohort", metavar="COHORT", help=_COHORT)
    verb.add_argument("--source", metavar="DIR", type=Path, required=True, help="the raw files")
    either = verb.add_mutually_exclusive_group(required=True)
    either.add_argument("--out", metavar="STORE", type=Path, help="the store to write")
    either.add_argument("--dry-run", action="store_true", help="read the tables and count")
    _add_generate(verb)

    verb = _add_verb(verbs, "audit", "what could make the numbers of a store wrong")
    verb.add_argument("store", metavar="STORE", type=Path, help=_STORE)
    verb.add_argument(
        "--pretraining",
        metavar="FILE",
        type=Path,
        help="names of recordings that an encoder has seen, one per line",
    )
    verb.add_argument("--samples", action="store_true", help="name the samples of each finding")

    verb = _add_verb(verbs, "card", "a store's card as a page, and as Croissant beside it")
    verb.add_argument("store", metavar="STORE", type=Path, help=_STORE)
    verb.add_argument("--out", metavar="FILE", type=Path, required=True, help="such as card.html")


def _add_run_verbs(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    verb = _add_verb(verbs, "train", "learn embeddings as a pretraining task says")
    verb.add_argument("task", metavar="TASK", help="such as pretraining/symile")
    verb.add_argument("--store", metavar="STORE", type=Path, required=True, help=_STORE)
    verb.add_argument("--out", metavar="RUNS", type=Path, required=True, help="folder of runs")
    verb.add_argument("--name", type=_run, help="of the run; without it, from the task and seed")
    verb.add_argument("--seed", metavar="N", type=_seed, default=0, help="0 without it")
    _add_set(verb)
    _add_devices(verb)

    verb = _add_verb(verbs, "import-checkpoint", "the released Symile-MIMIC model as a run")
    verb.add_argument("file", metavar="FILE", type=Path, help="a checkpoint that Lightning wrote")
    verb.add_argument("--store", metavar="STORE", type=Path, required=True, help=_STORE)
    verb.add_argument("--out", metavar="RUNS", type=Path, required=True, help="folder of runs")
    verb.add_argument("--name", type=_run, default="released", help="of the run; else 'released'")

    verb = _add_verb(verbs, "evaluate", "score a run, or anybody's model, on tasks")
    what = verb.add_mutually_exclusive_group(required=True)
    what.add_argument("run", metavar="RUN", type=Path, nargs="?", help="a run's folder")
    what.add_argument("--predictions", metavar="FILE", type=Path, help="CSV or Parquet, instead")
    what.add_argument("--embeddings", metavar="FILE", type=Path, help="CSV or Parquet, instead")
    what.add_argument("--scores", metavar="FILE", type=Path, help="of candidates; CSV or Parquet")
    verb.add_argument("--store", metavar="STORE", type=Path, help=f"{_STORE}; or labels in FILE")
    verb.add_argument("--out", metavar="DIR", type=Path, help="of FILE: a benchmark's folder")
    verb.add_argument("--name", type=_run, help="of FILE's run; without it, from the file's name")
    verb.add_argument("--objective", metavar="NAME", help="whose score ranks FILE's embeddings")
    verb.add_argument(
        "--similarity",
        choices=("cosine", "dot"),
        help="FILE's embeddings to length 1, or as they are; without it, as the objective says",
    )
    verb.add_argument(
        "--tasks", metavar="A,B", type=_names, default=_DEFAULT_TASKS, help=_TASKS_HELP
    )
    verb.add_argument("--missingness", metavar="P,Q", type=_names, help="instead of the tasks' own")

    verb = _add_verb(verbs, "compare", "test the differences of runs on the same samples")
    verb.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folders of two or more")
    verb.add_argument("--store", metavar="STORE", type=Path, required=True, help=_STORE)
    verb.add_argument(
        "--tasks", metavar="A,B", type=_names, default=_DEFAULT_TASKS, help=_TASKS_HELP
    )
    verb.add_argument("--margin", metavar="D", type=_margin, help="what may be lost without harm")
    verb.add_argument("--out", metavar="DIR", type=Path, help="without it, beside the first run")


def _add_benchmark_verbs(verbs: "argparse._SubParsersAction[_Parser]") -> None:
    verb = _add_verb(verbs, "benchmark", "all that a report needs and is not there yet")
    verb.add_argument("report", metavar="REPORT", help=_REPORT)
    verb.add_argument("--cohort", metavar="COHORT", required=True, help=_COHORT)
    verb.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder of all it makes"
    )
    verb.add_argument("--source", metavar="DIR", type=Path, help="the raw files")
    verb.add_argument("--pretraining", metavar="A,B", type=_names, help="instead of the report's")
    verb.add_argument("--tasks", metavar="A,B", type=_names, help="instead of the report's")
    verb.add_argument("--baselines", metavar="A,B", type=_some, help="instead; none for none")
    verb.add_argument("--seeds", metavar="I,J", type=_seeds, help="instead of the report's")
    verb.add_argument("--margin", metavar="D", type=_margin, help="what may be lost without harm")
    _add_generate(verb)
    _add_set(verb)
    _add_devices(verb)

    verb = _add_verb(verbs, "report", "render a report of a benchmark's folder again")
    verb.add_argument("report", metavar="REPORT", help=_REPORT)
    verb.add_argument("--out", metavar="DIR", type=Path, required=True, help="of the benchmark")

    verb = _add_verb(verbs, "export", "tables and figures of a benchmark or a run as files")
    verb.add_argument("folder", metavar="OUT", type=Path, help="of a benchmark or a run")
    verb.add_argument(
        "--format",
        choices=("csv", "latex", "png", "svg", "pdf"),
        action="append",
        required=True,
        help="csv and latex for tables; png, svg and pdf for figures; may be repeated",
    )
    verb.add_argument("--to", metavar="DIR", type=Path, help="without it, OUT/export")


def _add_verb(
    verbs: "argparse._SubParsersAction[_Parser]",
    name: str,
    about: str,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    verb.set_defaults(verb=name, parser=verb)
    _add_catalog(verb, "further_catalog")
    return verb


def _add_catalog(parser: argparse.ArgumentParser, destination: str) -> None:
    parser.add_argument(
        "--catalog",
        dest=destination,
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a directory with cohorts/, tasks/ or reports/ of your own; may be repeated",
    )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="set a field of the pretraining task, such as epochs=10; may be repeated",
    )


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--generate",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="set a parameter of a made-up cohort, such as synergy=0.5; may be repeated",
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--devices", metavar="N", type=_devices, default=1, help="1 without it")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("is empty; expected one name or several with commas")
    return names


def _some(text: str) -> list[str]:
    return [] if text == "none" else _names(text)


def _seeds(text: str) -> list[int]:
    return [_seed(name) for name in _names(text)]


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number from 0")
    return int(text)


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = 0.0
    if not 0 < margin < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a number above 0, such as 0.02")
    return margin


def _devices(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number from 1")
    return int(text)


def _run(text: str) -> str:
    if not re.fullmatch(r"[\w-]+", text, flags=re.ASCII):
        raise argparse.ArgumentTypeError(f"'{text}'; expected letters, digits, _ and - only")
    return text
