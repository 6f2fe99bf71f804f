"""`clinical-symile init cohort`: write a folder with a cohort of your own to fill in."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from clinical_symile.config.catalog import builtin_folder, open_catalog
from clinical_symile.errors import DefinitionError
from clinical_symile.files import write_text
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.names import path_in

PLACE = "@NAME@"  # where the cohort's name goes, in files and in their names
TEMPLATES = {
    "tables": "CSV or Parquet tables of admissions, X-rays, ECGs and lab results",
    "meds": "labs, outcomes and splits in MEDS, tables of X-rays and ECGs",
}


def add_init_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `init`."""
    parser.add_argument("what", choices=("cohort",), help="kind of definition to write")
    parser.add_argument("cohort", metavar="NAME", help="name of the cohort, such as st_elsewhere")
    parser.add_argument("--at", metavar="DIR", type=Path, required=True, help="folder to write")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--like",
        choices=("tables", "meds"),
        default="tables",
        help="form of the raw files: separate tables, or MEDS (default: tables)",
    )
    either.add_argument(
        "--from",
        dest="raw",
        metavar="RAW",
        type=Path,
        help="read the raw tables in this folder and propose the cohort from them",
    )


def run_init(options: argparse.Namespace) -> int:
    """Write the folder, and print its files and the next command."""
    check = f"clinical-symile --catalog {options.at} check"
    if options.raw is None:
        written, notes = init_cohort(options.cohort, at=options.at, like=options.like), ()
    else:
        written, notes = init_cohort_from(options.cohort, at=options.at, raw=options.raw)
        check += f" --cohort {options.cohort} --source {options.raw}"
        notes = (*notes, "Search these files for TODO: the tables do not answer these questions.")
    print("\n".join([*map(str, written), *notes, f"Next: `{check}`."]))
    return 0


def init_cohort(name: str, *, at: Path, like: str) -> list[Path]:
    """Write a catalog with one commented cohort and a task of its own.

    Args:
        name: of the cohort.
        at: the folder to write; it may be there, the files may not.
        like: one of `TEMPLATES`.

    Returns:
        The files that were written.

    Raises:
        DefinitionError: the name is not valid or is taken; there is no such template; or a file
            is there already. Then nothing is written.
    """
    _check_name(name)
    if like not in TEMPLATES:
        raise DefinitionError(
            unknown_name_message(like, TEMPLATES, what="template"), code="CS-F023"
        )
    template = builtin_folder("templates") / like
    return _write_new(
        {
            at / path.relative_to(template).as_posix().replace(PLACE, name): path.read_text(
                encoding="utf-8"
            ).replace(PLACE, name)
            for path in sorted(template.rglob("*"))
            if path.is_file()
        }
    )


def init_cohort_from(name: str, *, at: Path, raw: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Write a catalog with a cohort that is proposed from raw tables; `TODO` marks what to check.

    Args:
        name: of the cohort.
        at: the folder to write; it may be there, the files may not.
        raw: the folder of the raw tables and recordings.

    Returns:
        The files that were written, and a note for each table.

    Raises:
        DefinitionError: the name is not valid or is taken, or a file is there already.
        DataError: the folder has no tables, no admissions, or no modality.
    """
    _check_name(name)
    from clinical_symile.data.wizard.propose import propose_cohort  # pandas takes a while

    proposal = propose_cohort(name, raw)
    folder = path_in(at / "cohorts", name)
    written = _write_new({folder / file: text for file, text in proposal.files.items()})
    return written, proposal.notes


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise DefinitionError(
            f"'{name}' is no name of a cohort; expected letters, digits and _, such as "
            "st_elsewhere. Choose another.",
            code="CS-F023",
        )
    if name in open_catalog().cohorts:
        raise DefinitionError(
            f"cohort '{name}' comes with clinical-symile. Choose another name.", code="CS-F023"
        )


def _write_new(files: Mapping[Path, str]) -> list[Path]:
    """Write files, none of which may be there, unless an earlier call was stopped between them."""
    there = [file for file in files if file.exists()]
    is_stopped = len(there) < len(files) and all(_has(file, files[file]) for file in there)
    if there and not is_stopped:
        raise DefinitionError(
            f"{', '.join(map(str, there))}: there already. Give another folder after --at.",
            code="CS-F023",
        )
    for file, text in files.items():
        write_text(file, text)
    return list(files)


def _has(file: Path, text: str) -> bool:
    return file.is_file() and file.read_bytes() == text.encode()
