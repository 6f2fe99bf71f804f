"""`clinical-symile list`: what there is to choose from, without loading what it names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_symile import registry as names
from clinical_symile.config.catalog import open_catalog, read_toml
from clinical_symile.config.presets import apply_preset, cohort_names
from clinical_symile.config.report_file import read_requirements
from clinical_symile.missingness.patterns import FORMS, PATTERN_GROUPS


def list_catalog(directories: Sequence[Path], kinds: Sequence[str]) -> str:
    """The names of some kinds, each with what it is.

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
            name: _said(read_toml(path), "description") for name, path in catalog.tasks.items()
        },
        "reports": {
            name: read_requirements(path).description for name, path in catalog.reports.items()
        },
        "objectives": _sentences(names.OBJECTIVES),
        "missing_modality": _sentences(names.MISSING_MODALITY_METHODS),
        "encoders": _sentences(names.ENCODERS),
        "augmentations": _sentences(names.AUGMENTATIONS),
        "modalities": _sentences(names.MODALITIES),
        "probes": _sentences(names.PROBES),
        "baselines": _sentences(names.BASELINES),
        "metrics": _sentences({**names.RETRIEVAL_METRICS, **names.CLASSIFICATION_METRICS}),
        "missingness": {**FORMS, **PATTERN_GROUPS},
    }
    return "\n\n".join(_table(kind, tables[kind]) for kind in kinds)


def _said(definition: Mapping[str, Any], *keys: str) -> str:
    return " · ".join(str(definition[key]) for key in keys if key in definition)


def _sentences(table: Mapping[str, str]) -> dict[str, str]:
    """What each name of a table stands for."""
    return {name: names.summary_of(name, table, what="name") for name in table}


def _table(kind: str, rows: Mapping[str, str]) -> str:
    width = max((len(name) for name in rows), default=0)
    lines = [f"  {name:<{width}}  {about}" for name, about in rows.items()]
    return "\n".join([kind, *(lines or ["  none"])])
