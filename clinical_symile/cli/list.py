"""`clinical-symile list`: list what exists by name, without importing it."""

import argparse
import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog, open_catalog, read_report_table, read_toml
from clinical_symile.config.presets import apply_preset, cohort_names
from clinical_symile.config.tasks.inheritance import resolve_task_table
from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import join_words
from clinical_symile.registry.base import Family, describe
from clinical_symile.registry.families import FAMILIES, PARTS
from clinical_symile.registry.source import Description, read_constant

LISTS = (
    "cohorts",
    "tasks",
    "reports",
    "objectives",
    "fusion",
    "balance",
    "missing_modality",
    "encoders",
    "adapters",
    "augmentations",
    "modalities",
    "probes",
    "baselines",
    "diagnostics",
    "metrics",
    "kernels",
    "sections",
    "missingness",
)


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `list`."""
    about = f"one of {', '.join(LISTS)} (default: all)"
    parser.add_argument("what", metavar="KIND", nargs="?", choices=LISTS, help=about)


def run_list(options: argparse.Namespace) -> int:
    """Print the names and descriptions of one kind, or of all kinds."""
    collects = gc.isenabled()
    gc.disable()  # syntax trees are many objects, of which none is garbage before the end
    try:
        print(list_catalog(options.catalog, [options.what] if options.what else LISTS))
    finally:
        if collects:
            gc.enable()
    return 0


def list_catalog(directories: Sequence[Path], kinds: Sequence[str]) -> str:
    """Return the names of the given kinds, each with its description.

    Args:
        directories: further catalogs.
        kinds: such as `tasks` or `objectives`.

    Raises:
        DefinitionError: a catalog or a definition cannot be read.
    """
    catalog = open_catalog(directories)
    tables: dict[str, Callable[[], Mapping[str, str]]] = {
        "cohorts": lambda: _cohorts(catalog),
        "tasks": lambda: {
            name: _task_sentence(resolve_task_table(catalog, name)) for name in catalog.tasks
        },
        "reports": lambda: {
            name: _said(read_report_table(path), "description")
            for name, path in catalog.reports.items()
        },
        **{kind: partial(_objects, family) for kind, family in {**FAMILIES, **PARTS}.items()},
        "missingness": _missingness_patterns,
    }
    return "\n\n".join(_table(kind, tables[kind]()) for kind in kinds)


def _cohorts(catalog: Catalog) -> dict[str, str]:
    return {
        each: _said(apply_preset(read_toml(path), name=each, where=str(path)), "title", "access")
        for name, path in catalog.cohorts.items()
        for each in cohort_names(path, name=name)
    }


def _missingness_patterns() -> dict[str, str]:
    """The forms of patterns, read without loading NumPy."""
    module = "clinical_symile.missingness.patterns"
    names = ("PATTERN_FORMS", "PATTERN_GROUPS")
    tables = [read_constant(f"{module}:{name}", what="missingness patterns") for name in names]
    return {pattern: about for table in tables for pattern, about in table.items()}


def _said(definition: Mapping[str, Any], *keys: str) -> str:
    return " · ".join(str(definition[key]) for key in keys if key in definition)


def _task_sentence(table: Mapping[str, Any]) -> str:
    by_name = "" if table.get("default", True) else " [not a default task]"
    return _said(table, "description") + by_name


def _objects(family: Family) -> dict[str, str]:
    """Return the sentence of each object of a family; a plug-in's with its package."""
    found = {}
    for name in family:
        packages = [one.package for one in family.plugins(name)]
        try:
            sentence = _described(name, describe(name, family))
        except DefinitionError as error:
            sentence = f"Cannot be used: {error}"
        found[name] = f"{sentence} [{', '.join(packages)}]" if packages else sentence
    return found


def _described(name: str, about: Description) -> str:
    words = [about.description]
    if about.display_name != name:
        words.insert(0, f"{about.display_name} ·")
    if about.needs:
        words.append(f"Needs {join_words(about.needs)}.")
    if about.source:
        words.append(f"Source: {about.source}.")
    return " ".join(words)


def _table(kind: str, rows: Mapping[str, str]) -> str:
    width = max((len(name) for name in rows), default=0)
    lines = [f"  {name:<{width}}  {about}" for name, about in rows.items()]
    return "\n".join([kind, *(lines or ["  none"])])
