"""Arguments that several verbs have, with their checks and their completion."""

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.registry.run_names import check_run_name

COHORT = "name of the cohort, such as synthetic; `list cohorts` shows all"
REPORT = "name of the report, such as benchmark; `list reports` shows all"
STORE = "folder of the store that `prepare` wrote"
NEW_STORE = "folder where the store is written"
RUNS = "folder that holds all runs; each run gets a folder in it"
MARGIN = "largest loss of the primary metric that still counts as harmless, such as 0.02"
LAUNCHER_NAMES = ("local", "ray", "slurm")
_DEFAULT_TASKS = ("default",)


def add_catalog(parser: argparse.ArgumentParser, destination: str) -> None:
    """Add `--catalog`, before or after the verb."""
    parser.add_argument(
        "--catalog",
        dest=destination,
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="folder with your own cohorts/, tasks/ or reports/; may be repeated",
    )


def add_store(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `--store`."""
    parser.add_argument("--store", metavar="STORE", type=Path, required=required, help=STORE)


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """Add `--tasks` of evaluations and comparisons."""
    added = parser.add_argument(
        "--tasks",
        metavar="A,B",
        type=name_list,
        default=list(_DEFAULT_TASKS),
        help="names of tasks, or patterns such as retrieval/*; ! before a name leaves it out "
        "(default: the tasks that are not marked `default = false`)",
    )
    offer(added, "tasks")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `--set`."""
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change a field of the pretraining task, such as epochs=10; may be repeated",
    )


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Add `--generate`."""
    parser.add_argument(
        "--generate",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change a parameter of a synthetic cohort, such as synergy=0.5; may be repeated",
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add `--verbose`."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="also list the tasks and patterns that do not apply to the cohort or to a run",
    )


def add_links(parser: argparse.ArgumentParser) -> None:
    """Add `--allow-links`."""
    parser.add_argument(
        "--allow-links",
        action="store_true",
        help="also read files that symbolic links name outside the folder of raw files",
    )


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add `--accelerator`, `--devices`, `--nodes` and `--deterministic`."""
    parser.add_argument(
        "--accelerator",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="device to train on; auto uses a GPU if there is one (default: auto)",
    )
    parser.add_argument(
        "--devices",
        metavar="N",
        type=positive_number,
        default=1,
        help="number of GPUs (default: 1)",
    )
    parser.add_argument(
        "--nodes",
        metavar="N",
        type=positive_number,
        default=1,
        help="number of machines that share one training, each with --devices GPUs (default: 1)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="use algorithms that give the same bits every time, also on CUDA; says what it costs",
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add `--launcher`, `--jobs`, `--threads` and `--retries`."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHER_NAMES,
        default=LAUNCHER_NAMES[0],
        help="where runs are trained: local for this machine, or a cluster (default: local)",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=positive_number,
        help="train N runs at once, each in a process of its own (default: one after another)",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=positive_number,
        help="processor threads of each run; a cluster needs it (default: the processors divided "
        "by --jobs)",
    )
    parser.add_argument(
        "--retries",
        metavar="N",
        type=natural_number,
        default=2,
        help="how often a run is started again whose process was killed (default: 2)",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add `--engine`."""
    parser.add_argument(
        "--engine",
        metavar="KEY=VALUE",
        action="append",
        type=key_and_value,
        default=[],
        help="what to ask a cluster for, such as partition=gpu; may be repeated",
    )


def add_offline(parser: argparse.ArgumentParser) -> None:
    """Add `--offline`."""
    parser.add_argument(
        "--offline",
        action="store_true",
        help="tell libraries to stay offline, and refuse a tracking server on another machine",
    )


def offer(action: argparse.Action, kind: str) -> None:
    """Let the shell complete an argument by the names of one kind of definition.

    Args:
        action: the argument.
        kind: `cohorts`, `tasks` or `reports`.
    """
    complete_by(action, lambda options: defined_names(kind, options))


def complete_by(
    action: argparse.Action, words: Callable[[argparse.Namespace], Iterable[str]]
) -> None:
    """Let the shell complete an argument by words; of `a,b` the last part is completed."""

    def complete(*, prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        before = prefix[: prefix.rfind(",") + 1]
        return [before + word for word in words(parsed_args)]

    vars(action)["completer"] = complete  # read by argcomplete


def defined_names(kind: str, options: argparse.Namespace) -> list[str]:
    """Return the names of a kind of definition in the catalogs of a command."""
    from clinical_symile.config.catalog import open_catalog

    directories = [*options.catalog, *getattr(options, "further_catalog", [])]
    found = getattr(open_catalog(directories), kind)
    if kind != "cohorts":
        return list(found)
    from clinical_symile.config.presets import cohort_names

    return [each for name, path in found.items() for each in cohort_names(path, name=name)]


def name_list(text: str) -> list[str]:
    """Return the names of a list with commas; at least one."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("is empty; expected one name or several with commas")
    return found


def optional_name_list(text: str) -> list[str]:
    """Return the names of a list with commas; `none` for no name."""
    return [] if text == "none" else name_list(text)


def key_and_value(text: str) -> tuple[str, str]:
    """Return the two parts of `key=value`.

    Raises:
        ArgumentTypeError: it has no `=`, or nothing before it.
    """
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(f"'{text}'; expected KEY=VALUE, such as partition=gpu")
    return key.strip(), value.strip()


def natural_number(text: str) -> int:
    """Return a whole number from 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number from 0")
    return int(text)


def seeds(text: str) -> list[int]:
    """Return the seeds of a list with commas."""
    return [natural_number(name) for name in name_list(text)]


def margin(text: str) -> float:
    """Return a margin of harmless loss, a number above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a number above 0, such as 0.02")
    return found


def positive_number(text: str) -> int:
    """Return a whole number from 1.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number from 1")
    return int(text)


def run_folder_name(text: str) -> str:
    """Return a name that can be a folder of a run."""
    try:
        return check_run_name(text, where="--name")
    except DataError as error:
        raise argparse.ArgumentTypeError(error.problems[0].removeprefix("--name: ")) from None
