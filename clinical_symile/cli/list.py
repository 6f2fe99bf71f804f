"""`clinical-symile list`: show what there is to choose from, without importing it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import open_catalog, read_toml
from clinical_symile.config.presets import apply_preset, cohort_names
from clinical_symile.config.report_file import read_requirements
from clinical_symile.config.tasks.inheritance import resolve_task_table
from clinical_symile.errors import DefinitionError
from clinical_symile.missingness.patterns import PATTERN_FORMS, PATTERN_GROUPS
from clinical_symile.registry.base import Family, describe
from clinical_symile.registry.families import FAMILIES

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


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `list`."""
    about = f"one of {', '.join(LISTS)}; without it, all of them"
    parser.add_argument("what", metavar="KIND", nargs="?", choices=LISTS, help=about)


def run_list(options: argparse.Namespace) -> int:
    """Print the names of some kinds."""
    print(list_catalog(options.catalog, [options.what] if options.what else LISTS))
    return 0


def list_catalog(directories: Sequence[Path], kinds: Sequence[str]) -> str:
    """Return the names of some kinds, each with its description.

    Args:
        directories: catalogs beside ours.
        kinds: such as `tasks` or `objectives`.

    Raises:
        DefinitionError: a catalog or a definition cannot be read.
    """
    catalog = open_catalog(directories)
    tables: dict[str, Mapping[str, str]] = {
        "cohorts": {
            each: _said(
                apply_preset(read_toml(path), name=each, where=str(path)), "title", "access"
            )
            for name, path in catalog.cohorts.items()
            for each in cohort_names(path, name=name)
        },
        "tasks": {
            name: _task_sentence(resolve_task_table(catalog, name)) for name in catalog.tasks
        },
        "reports": {
            name: read_requirements(path).description for name, path in catalog.reports.items()
        },
        **{kind: _objects(family) for kind, family in FAMILIES.items()},
        "missingness": {**PATTERN_FORMS, **PATTERN_GROUPS},
    }
    return "\n\n".join(_table(kind, tables[kind]) for kind in kinds)


def _said(definition: Mapping[str, Any], *keys: str) -> str:
    return " · ".join(str(definition[key]) for key in keys if key in definition)


def _task_sentence(table: Mapping[str, Any]) -> str:
    by_name = "" if table.get("default", True) else " [not a default task]"
    return _said(table, "description") + by_name


def _objects(family: Family) -> dict[str, str]:
    """The description of every object of a family; a plug-in's with its package."""
    found = {}
    for name in family:
        packages = [one.package for one in family.plugins(name)]
        try:
            about = describe(name, family)
            sentence = about.description
            if about.needs:
                sentence += f" Needs {', '.join(about.needs)}."
        except DefinitionError as error:
            sentence = f"Cannot be used: {error}"
        found[name] = f"{sentence} [{', '.join(packages)}]" if packages else sentence
    return found


def _table(kind: str, rows: Mapping[str, str]) -> str:
    width = max((len(name) for name in rows), default=0)
    lines = [f"  {name:<{width}}  {about}" for name, about in rows.items()]
    return "\n".join([kind, *(lines or ["  none"])])
