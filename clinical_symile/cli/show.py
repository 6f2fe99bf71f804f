"""`clinical-symile show`: print a cohort, task or report with everything it inherits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import tomli_w

from clinical_symile.cli.arguments import complete_by, defined_names
from clinical_symile.config.catalog import open_catalog, read_toml
from clinical_symile.config.presets import apply_preset
from clinical_symile.config.report_file import read_requirements
from clinical_symile.config.tasks.inheritance import resolve_task_table
from clinical_symile.config.tasks.read import read_task, task_digest

DEFINITION_KINDS = ("cohort", "task", "report")


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `show`."""
    parser.add_argument("what", choices=DEFINITION_KINDS, help="kind of definition")
    name = parser.add_argument("name", metavar="NAME", help="its name; `list` shows all")
    complete_by(name, lambda options: defined_names(f"{options.what}s", options))


def run_show(options: argparse.Namespace) -> int:
    """Print a definition."""
    print(show_definition(options.catalog, options.what, options.name), end="")
    return 0


def show_definition(directories: Sequence[Path], kind: str, name: str) -> str:
    """Return a definition as TOML, with everything that it inherits.

    Args:
        directories: catalogs beside this package's.
        kind: `cohort`, `task` or `report`.
        name: the name in its catalog; a cohort's may end in a slash and a preset.

    Raises:
        DefinitionError: there is no such definition, or it has problems.
    """
    catalog = open_catalog(directories)
    if kind == "task":
        digest = task_digest(read_task(catalog, name))
        return f"# digest: {digest}\n{tomli_w.dumps(resolve_task_table(catalog, name))}"
    if kind == "report":
        needed = read_requirements(catalog.path("reports", name))
        return tomli_w.dumps(needed.model_dump(mode="json", exclude_defaults=True))
    path = catalog.path("cohorts", name)
    return tomli_w.dumps(apply_preset(read_toml(path), name=name, where=str(path)))
