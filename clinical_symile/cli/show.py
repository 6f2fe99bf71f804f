"""`clinical-symile show`: print a cohort, task or report with everything it inherits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import tomli_w

from clinical_symile.cli.arguments import add_overrides, complete_by, defined_names
from clinical_symile.config.catalog import open_catalog, read_toml
from clinical_symile.config.presets import apply_preset
from clinical_symile.config.report_file import read_requirements
from clinical_symile.config.tasks.read import read_task, shown_task_table, task_digest
from clinical_symile.errors import DefinitionError

DEFINITION_KINDS = ("cohort", "task", "report")


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `show`."""
    parser.add_argument("what", choices=DEFINITION_KINDS, help="kind of definition")
    name = parser.add_argument("name", metavar="NAME", help="its name; `list` shows all")
    complete_by(name, lambda options: defined_names(f"{options.what}s", options))
    add_overrides(parser)


def run_show(options: argparse.Namespace) -> int:
    """Print a definition."""
    shown = show_definition(options.catalog, options.what, options.name, overrides=options.set)
    print(shown, end="")
    return 0


def show_definition(
    directories: Sequence[Path], kind: str, name: str, *, overrides: Sequence[str] = ()
) -> str:
    """Return a definition as TOML, with everything that it inherits and its recipe's fields.

    Args:
        directories: catalogs beside this package's.
        kind: `cohort`, `task` or `report`.
        name: the name in its catalog; a cohort's may end in a slash and a preset.
        overrides: `field=value` for a task, as after `--set`.

    Raises:
        DefinitionError: there is no such definition, or it has problems; or overrides are given
            for a cohort or a report.
    """
    catalog = open_catalog(directories)
    if overrides and kind != "task":
        raise DefinitionError(
            f"--set {overrides[0]}: fields of a task can be set; this is a {kind}. Leave it out.",
            code="CS-F008",
        )
    if kind == "task":
        digest = task_digest(read_task(catalog, name, overrides=overrides))
        return f"# digest: {digest}\n{tomli_w.dumps(shown_task_table(catalog, name, overrides))}"
    if kind == "report":
        needed = read_requirements(catalog.path("reports", name))
        return tomli_w.dumps(needed.model_dump(mode="json", exclude_defaults=True))
    path = catalog.path("cohorts", name)
    return tomli_w.dumps(apply_preset(read_toml(path), name=name, where=str(path)))
