"""Definitions that `tests.helpers.fuzz` damages: those of this package, with their readers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.fuzz import Case

ROOT = Path(__file__).resolve().parents[2]


def _cohort(folder: Path, name: str) -> Case:
    """One file of the cohort of MIMIC-IV, read as `check` does."""
    from clinical_symile.config.cohort import modality_adapters, read_cohort
    from clinical_symile.data.ingest.query import syntax_problems
    from clinical_symile.errors import DefinitionError

    place = Path(shutil.copytree(ROOT / "cohorts" / "mimic_iv", folder / "own"))

    def read() -> tuple[Any, list[str]]:
        cohort = read_cohort(place / "cohort.toml", name="own/all")
        if problems := syntax_problems(cohort):
            raise DefinitionError(*problems, code="CS-D005")
        modality_adapters(cohort)
        return cohort.digest, []

    return Case(place / name, read)


def _task(folder: Path, name: str) -> Case:
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.config.tasks.read import read_task

    file = folder / "tasks" / f"{name.partition('/')[0]}" / "own.toml"
    file.parent.mkdir(parents=True)
    shutil.copy2(ROOT / "tasks" / f"{name}.toml", file)
    catalog = open_catalog([folder])

    def read() -> tuple[Any, list[str]]:
        task = read_task(catalog, f"{file.parent.name}/own")
        return task.model_dump_json(), []

    return Case(file, read)


def _report(folder: Path) -> Case:
    from clinical_symile.config.report_file import read_requirements

    file = folder / "report.toml"
    shutil.copy2(ROOT / "reports" / "benchmark" / "report.toml", file)

    def read() -> tuple[Any, list[str]]:
        return read_requirements(file).model_dump_json(), []

    return Case(file, read)


DEFINITIONS: dict[str, Callable[[Path], Case]] = {
    "cohort-toml": lambda folder: _cohort(folder, "cohort.toml"),
    "samples-sql": lambda folder: _cohort(folder, "samples.sql"),
    "panel-csv": lambda folder: _cohort(folder, "labs.csv"),
    "pretraining-toml": lambda folder: _task(folder, "pretraining/symile"),
    "retrieval-toml": lambda folder: _task(folder, "retrieval/cxr_given_ecg_labs"),
    "classification-toml": lambda folder: _task(folder, "classification/deterioration"),
    "report-toml": _report,
}
