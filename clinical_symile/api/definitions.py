"""List what is defined and registered, and read tasks."""

from collections.abc import Mapping
from pathlib import Path

from clinical_symile.api._arguments import Paths, Settings, as_overrides, open_definitions
from clinical_symile.config.catalog import read_toml
from clinical_symile.config.report_file import read_requirements
from clinical_symile.config.tasks.inheritance import resolve_task_table
from clinical_symile.config.tasks.read import Task, read_task
from clinical_symile.registry.base import Family, describe
from clinical_symile.registry.families import ENCODERS, METRICS, OBJECTIVES


def list_cohorts(*, catalog: Paths = ()) -> dict[str, str]:
    """Return each cohort's name and title.

    Args:
        catalog: folders with definitions of your own.

    Examples:
        >>> "synthetic" in cs.list_cohorts()
        True
    """
    return _described(open_definitions(catalog).cohorts, "title")


def list_tasks(*, kind: str | None = None, catalog: Paths = ()) -> dict[str, str]:
    """Return each task's name and description.

    Args:
        kind: `pretraining`, `retrieval`, `classification` or `diagnostic`; without it, all.
        catalog: folders with definitions of your own.

    Examples:
        >>> "pretraining/symile" in cs.list_tasks(kind="pretraining")
        True
    """
    definitions = open_definitions(catalog)
    tables = {name: resolve_task_table(definitions, name) for name in definitions.tasks}
    return {
        name: table["description"]
        for name, table in tables.items()
        if kind is None or table["kind"] == kind
    }


def list_reports(*, catalog: Paths = ()) -> dict[str, str]:
    """Return each report's name and description.

    Args:
        catalog: folders with definitions of your own.

    Examples:
        >>> "missingness" in cs.list_reports()
        True
    """
    reports = open_definitions(catalog).reports
    return {name: read_requirements(path).description for name, path in reports.items()}


def list_objectives() -> dict[str, str]:
    """Return each objective's name and description, of this package and of installed plug-ins.

    Examples:
        >>> "symile" in cs.list_objectives()
        True
    """
    return _descriptions(OBJECTIVES)


def list_encoders() -> dict[str, str]:
    """Return each encoder's name and description, of this package and of installed plug-ins.

    Examples:
        >>> "resnet18" in cs.list_encoders()
        True
    """
    return _descriptions(ENCODERS)


def list_metrics() -> dict[str, str]:
    """Return each metric's name and description, of this package and of installed plug-ins.

    Examples:
        >>> "recall_at_1" in cs.list_metrics()
        True
    """
    return _descriptions(METRICS)


def get_task(name: str, *, overrides: Settings = (), catalog: Paths = ()) -> Task:
    """Read a task.

    Args:
        name: a name of `list_tasks()`.
        overrides: fields to change, such as `{"epochs": 2}`.
        catalog: folders with definitions of your own.

    Returns:
        The task, whose attributes are the fields of its file.

    Raises:
        DefinitionError: there is no such task, or an override is wrong.

    Examples:
        >>> cs.get_task("retrieval/cxr_given_ecg_labs").query
        ('ecg', 'labs')
    """
    return read_task(open_definitions(catalog), name, overrides=as_overrides(overrides))


def _described(paths: Mapping[str, Path], key: str) -> dict[str, str]:
    return {name: str(read_toml(path).get(key, "")) for name, path in paths.items()}


def _descriptions(family: Family) -> dict[str, str]:
    return {name: describe(name, family).description for name in sorted(family)}
