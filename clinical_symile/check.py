"""`clinical-symile check`: read every definition and say every problem."""

from collections.abc import Sequence
from pathlib import Path

from clinical_symile.catalog import open_catalog
from clinical_symile.cohort import Cohort, modality_adapters, read_cohort
from clinical_symile.errors import DefinitionError
from clinical_symile.layouts import in_layout
from clinical_symile.presets import cohort_names
from clinical_symile.task import Pretraining, Task, not_applicable, read_task
from clinical_symile.template import needs


def check(directories: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Read all cohorts, tasks and reports.

    Args:
        directories: catalogs beside ours.

    Returns:
        The problems; and notes on what was read and which task applies where.

    Raises:
        DefinitionError: the catalogs themselves contradict each other.
    """
    catalog = open_catalog(directories)
    problems: list[str] = []
    cohorts: dict[str, Cohort] = {}
    tasks: dict[str, Task] = {}
    for name, path in catalog.cohorts.items():
        try:
            names = cohort_names(path, name=name)
        except DefinitionError as error:
            problems += error.problems
            continue
        for each in names:
            try:
                cohort = cohorts[each] = read_cohort(path, name=each)
                for form in (cohort, *(in_layout(cohort, layout) for layout in cohort.layouts)):
                    modality_adapters(form)
            except DefinitionError as error:
                problems += error.problems
    for name, path in catalog.tasks.items():
        try:
            tasks[name] = read_task(path, name=name)
        except DefinitionError as error:
            problems += error.problems
    for path in catalog.reports.values():
        try:
            needs(path)
        except DefinitionError as error:
            problems += error.problems
    notes = [
        f"{len(catalog.cohorts)} cohorts, {len(catalog.tasks)} tasks, "
        f"{len(catalog.reports)} reports read."
    ]
    for cohort in cohorts.values():
        notes += [
            f"{task.name} is not applicable to {cohort.name}: {problem}"
            for task in tasks.values()
            if not isinstance(task, Pretraining)
            for problem in not_applicable(task, list(cohort.modalities), list(cohort.outcomes))
        ]
    return problems, notes
