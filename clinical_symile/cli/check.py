"""`clinical-symile check`: read every definition and report every problem."""

import argparse
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clinical_symile.cli.arguments import add_links, offer
from clinical_symile.cli.parser import print_problems
from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.cohort import Cohort, modality_adapters, read_cohort
from clinical_symile.config.component import unknown_objects
from clinical_symile.config.layouts import detect_layout, with_layout
from clinical_symile.config.presets import cohort_names
from clinical_symile.config.report_file import ReportRequirements, read_requirements
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import Task, applicability_problems, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import ClinicalSymileError, DefinitionError, Problem, as_problems
from clinical_symile.registry.families import BASELINES, FAMILIES, SECTIONS
from clinical_symile.registry.source import find_definition


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `check`."""
    parser.add_argument(
        "--canary",
        metavar="package.module:Name",
        help="only run the leakage check on your own component: does it read hidden values?",
    )
    parser.add_argument(
        "--plugin",
        metavar="PACKAGE",
        help="only check what this installed package registers",
    )
    cohort = parser.add_argument(
        "--cohort", metavar="COHORT", help="also try the query of this cohort on its raw tables"
    )
    offer(cohort, "cohorts")
    parser.add_argument(
        "--source", metavar="DIR", type=Path, help="folder of the raw files of that cohort"
    )
    add_links(parser)


def run_check(options: argparse.Namespace) -> int:
    """Print what was read, and every problem."""
    if (options.cohort is None) != (options.source is None):
        options.parser.error("check of a cohort's tables needs --cohort and --source")
    if options.plugin is not None:
        from clinical_symile.evaluation.leak_checks.plugin import check_plugin

        print("\n".join(check_plugin(options.plugin)))
        return 0
    if options.canary is not None:
        from clinical_symile.evaluation.leak_checks.check import check_no_leakage

        print(check_no_leakage(options.canary))
        return 0
    problems, notes = check_definitions(options.catalog)
    if options.cohort is not None:
        found: Sequence[Problem]
        try:
            found = check_source(
                options.catalog,
                options.cohort,
                source=options.source,
                allow_links=options.allow_links,
            )
        except ClinicalSymileError as error:
            found = error.problems
        problems = list(dict.fromkeys([*problems, *found]))
        if not found:
            notes.append(
                f"{options.cohort}: its query fits the tables of {options.source}. Values were not "
                "converted: `clinical-symile prepare --dry-run` does that."
            )
    print("\n".join(notes), flush=True)
    print_problems(problems)
    return 1 if problems else 0


def check_definitions(directories: Sequence[Path]) -> tuple[list[Problem], list[str]]:
    """Read all cohorts, tasks and reports.

    Args:
        directories: catalogs beside ours.

    Returns:
        The problems; and notes on what was read and which tasks apply to each cohort, of the
        `directories` alone if there are any.

    Raises:
        DefinitionError: the catalogs themselves contradict each other.
    """
    from clinical_symile.data.ingest.query import syntax_problems  # DuckDB takes a while

    catalog = open_catalog(directories)
    problems: list[str] = []
    cohorts: list[Cohort] = []
    tasks: dict[str, Task] = {}
    for name, path in catalog.cohorts.items():
        try:
            names = cohort_names(catalog.path("cohorts", name), name=name)
        except DefinitionError as error:
            problems += error.problems
            continue
        for each in names:
            try:
                cohort = read_cohort(path, name=each)
                problems += as_problems(syntax_problems(cohort), "CS-D005")
                problems += _generator_problems(cohort, str(path))
                for form in (cohort, *(with_layout(cohort, layout) for layout in cohort.layouts)):
                    modality_adapters(form)
            except DefinitionError as error:
                problems += error.problems
                continue
            if not directories or any(path.is_relative_to(own) for own in directories):
                cohorts.append(cohort)
    for name in catalog.tasks:
        try:
            tasks[name] = read_task(catalog, name)
        except DefinitionError as error:
            problems += error.problems
    for path in catalog.reports.values():
        try:
            problems += _report_problems(read_requirements(path), catalog, str(path))
        except DefinitionError as error:
            problems += error.problems
    problems += [problem for family in FAMILIES.values() for problem in family.problems()]
    notes = [
        f"{len(catalog.cohorts)} cohorts, {len(catalog.tasks)} tasks, "
        f"{len(catalog.reports)} reports read."
    ]
    notes += [_task_note(cohort, tasks.values()) for cohort in cohorts]
    return [*dict.fromkeys(as_problems(problems, "CS-F003"))], notes


def _report_problems(needed: ReportRequirements, catalog: Catalog, where: str) -> list[str]:
    """Return what is wrong with the tasks, baselines and sections that a report names."""
    problems = []
    named = [*needed.pretraining, *(name.removeprefix("!") for name in needed.tasks)]
    for name in named:
        if "*" not in name and name != "default":
            try:
                catalog.path("tasks", name)
            except DefinitionError as error:
                problems += error.problems
    problems += unknown_objects(needed.baselines, BASELINES)
    problems += unknown_objects(needed.sections, SECTIONS)
    return [problem.at(where) for problem in as_problems(problems, "CS-F009")]


def _generator_problems(cohort: Cohort, where: str) -> list[str]:
    """Return what is wrong with the objects that write a synthetic cohort and know its oracle."""
    if cohort.generator is None:
        return []
    problems = []
    for path in (cohort.generator.write, cohort.generator.oracle):
        try:
            if path is not None:
                find_definition(path, what="generator")
        except DefinitionError as error:
            problems += [problem.at(where) for problem in error.problems]
    return problems


def check_source(
    directories: Sequence[Path], name: str, *, source: Path, allow_links: bool = False
) -> list[Problem]:
    """Return what is wrong with a cohort's query on its tables, reading as little as possible.

    Args:
        directories: catalogs beside ours.
        name: of the cohort.
        source: folder of its raw files.
        allow_links: accept tables that symbolic links name outside `source`.

    Raises:
        DefinitionError: there is no such cohort, or it has problems of its own.
        DataError: tables are missing or cannot be read.
    """
    from clinical_symile.data.ingest.query import binding_problems, syntax_problems

    cohort = read_cohort(open_catalog(directories).path("cohorts", name), name=name)
    if syntax_problems(cohort):
        return []  # reported by `check_definitions`
    cohort = replace(detect_layout(cohort, source), allow_links=allow_links)
    found = binding_problems(cohort, modality_adapters(cohort), source)
    return [*as_problems(found, "CS-D005")]


def _task_note(cohort: Cohort, tasks: Iterable[Task]) -> str:
    """Say how many tasks apply to a cohort, and what the cohort lacks for the others."""
    evaluated = [task for task in tasks if not isinstance(task, Pretraining)]
    unlisted = [
        task
        for task in evaluated
        if isinstance(task, Retrieval)
        and task.candidates == "published"
        and task.split not in cohort.candidates
    ]
    applicable = [
        task
        for task in evaluated
        if task not in unlisted
        and not applicability_problems(task, list(cohort.modalities), list(cohort.outcomes))
    ]
    modalities = [name for task in evaluated for name in task.modalities]
    outcomes = [name for task in evaluated for name in task.outcomes]
    sentences = [
        f"{cohort.name}: {len(applicable)} tasks apply.",
        *_lacking(modalities, cohort.modalities, "modality", "modalities"),
        *_lacking(outcomes, cohort.outcomes, "outcome", "outcomes"),
    ]
    if unlisted:
        sentences.append("Tasks with published candidates do not: the cohort publishes no lists.")
    return " ".join(sentences)


def _lacking(wanted: Iterable[str], has: Collection[str], one: str, several: str) -> list[str]:
    """Return a sentence on what tasks need and the cohort does not have, if there is anything."""
    missing = [name for name in dict.fromkeys(wanted) if name not in has]
    there = ", ".join(has) or "none"
    about = f"Tasks on {', '.join(missing)} do not: the cohort has no such {one}."
    return [f"{about} Its {several}: {there}."] * bool(missing)
