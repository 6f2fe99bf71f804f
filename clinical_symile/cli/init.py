"""`clinical-symile init cohort`: a folder to begin a cohort of one's own with."""

import re
from pathlib import Path

from clinical_symile.config.catalog import builtin_folder, open_catalog
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import unknown_name_message

PLACE = "@NAME@"  # where the cohort's name goes, in files and in their names
TEMPLATES = {
    "tables": "CSV or Parquet tables of admissions, X-rays, ECGs and lab results",
    "meds": "labs, outcomes and splits in MEDS, tables of X-rays and ECGs",
}


def init_cohort(name: str, *, at: Path, like: str) -> list[Path]:
    """Write a catalog with one commented cohort and a task of its own.

    Args:
        name: of the cohort.
        at: the folder to write; it may be there, the files may not.
        like: one of `TEMPLATES`.

    Returns:
        What was written.

    Raises:
        DefinitionError: the name is none, or taken; there is no such template; or a file is there
            already. Nothing is written then.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise DefinitionError(
            f"'{name}' is no name of a cohort; expected letters, digits and _, such as "
            "st_elsewhere. Choose another."
        )
    if like not in TEMPLATES:
        raise DefinitionError(unknown_name_message(like, TEMPLATES, what="template"))
    if name in open_catalog().cohorts:
        raise DefinitionError(f"cohort '{name}' comes with clinical-symile. Choose another name.")
    template = builtin_folder("templates") / like
    files = {
        at / path.relative_to(template).as_posix().replace(PLACE, name): path
        for path in sorted(template.rglob("*"))
        if path.is_file()
    }
    there = [str(file) for file in files if file.exists()]
    if there:
        raise DefinitionError(f"{', '.join(there)}: there already. Give another folder after --at.")
    for file, path in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8").replace(PLACE, name)
        file.write_text(text, encoding="utf-8")
    return list(files)
