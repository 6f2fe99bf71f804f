"""Describe what a benchmark trains, evaluates and compares."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from clinical_symile.benchmarking.primary import check_primary, task_and_pattern
from clinical_symile.benchmarking.search_space import draw_settings_of_sweep
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.cohort import Cohort, read_cohort
from clinical_symile.config.report_file import benchmark_requirements
from clinical_symile.config.tasks.read import Pretraining, pretraining_task, setting_tasks
from clinical_symile.config.tasks.recipes import BASIC
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError, Problem
from clinical_symile.evaluation.task_selection import (
    EvaluationTask,
    applicable_tasks,
    check_applies,
    check_patterns,
    tasks_by_name,
    with_patterns,
)
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import BASELINES

_PAIR_SUMS_SECTION = "third_order"


@dataclass(frozen=True, kw_only=True)
class BenchmarkSpec:
    """The choices that define a benchmark; None takes what the report asks for.

    Attributes:
        report: name of the report to render; its template lists what it needs.
        cohort: name of the cohort to prepare.
        pretraining: tasks to train, each with each seed.
        tasks: tasks to evaluate, by name or with `*`, such as `retrieval/*`; those that apply to
            the cohort are evaluated.
        baselines: baselines to evaluate beside the trained runs.
        missingness: patterns to evaluate under, where they apply.
        seeds: seeds of training.
        margin: largest acceptable loss under missing modalities; None for each task's own.
        primary: the comparisons that the study is about, each as `TASK:PATTERN`; their p-values are
            adjusted for each other alone. None for those of the benchmark in the same folder, or
            else the report's.
        generate: `field=value` for the parameters of a synthetic cohort.
        allow_links: True to read what symbolic links name outside the folder of raw files.
        overrides: `field=value` for the pretraining tasks.
        recipes: recipes to train each pretraining task with, beside each other; None for the task's
            own. Runs of `strong` have it in their name.
        tune: True to train each setting of each pretraining task with the first seed, and to keep
            the best on the tuning split.
        space: ranges of fields from which the settings to try are drawn, instead of those that the
            tasks list; see `draw_settings_of_sweep`.
        trials: the number of settings to draw for each task, beside the task as it is defined.
        accelerator: `cpu`, `cuda` or `auto`, as for `train`.
        devices: number of devices of each machine, as for `train`.
        nodes: number of machines of one training, as for `train`; more than one by `slurm` alone.
        deterministic: True to train with deterministic algorithms alone, as for `train`.
    """

    report: str = "benchmark"
    cohort: str
    pretraining: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    baselines: tuple[str, ...] | None = None
    missingness: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    margin: float | None = None
    primary: tuple[str, ...] | None = None
    generate: tuple[str, ...] = ()
    allow_links: bool = False
    overrides: tuple[str, ...] = ()
    recipes: tuple[str, ...] | None = None
    tune: bool = False
    space: tuple[str, ...] = ()
    trials: int = 0
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    deterministic: bool = False


@dataclass(frozen=True, kw_only=True)
class BenchmarkPlan:
    """A `BenchmarkSpec` with every name resolved against the catalog.

    Attributes:
        spec: the choices it was made from.
        pretraining: tasks to train.
        tasks: names or patterns of the tasks to evaluate.
        baselines: names of the baselines to evaluate.
        seeds: seeds of training.
        missingness: patterns to evaluate under; empty for each task's own.
        description: one sentence on the cohort.
        settings: for each task to tune, by name, the task in each of its settings.
        primary: the comparisons to set as primary; None for those that the folder has.
        pair_sums: True if the report shows the ceiling of sums over pairs.
    """

    spec: BenchmarkSpec
    pretraining: tuple[Pretraining, ...]
    tasks: tuple[str, ...]
    baselines: tuple[str, ...]
    seeds: tuple[int, ...]
    missingness: tuple[str, ...]
    description: str
    settings: Mapping[str, tuple[Pretraining, ...]] = field(default_factory=dict)
    primary: tuple[str, ...] | None = None
    pair_sums: bool = False

    @property
    def n_trainings(self) -> int:
        """The number of trainings: of each setting with the first seed, of the best with others."""
        tried = sum(len(self.settings.get(task.name, (task,))) for task in self.pretraining)
        return tried + len(self.pretraining) * (len(self.seeds) - 1)

    def applicable_tasks(
        self, catalog: Catalog, store: CohortStore
    ) -> tuple[list[EvaluationTask], list[str]]:
        """Return the tasks that apply to a store, and a note for each that does not.

        Raises:
            DefinitionError: no task applies, or a task named in full does not.
        """
        tasks, notes = applicable_tasks(catalog, store, patterns=self.tasks)
        if self.missingness:
            tasks = [with_patterns(task, self.missingness) for task in tasks]
        return tasks, notes


def plan_benchmark(spec: BenchmarkSpec, *, catalog: Catalog) -> BenchmarkPlan:
    """Resolve every name of a spec before anything is written.

    Args:
        spec: the choices.
        catalog: where the definitions are.

    Raises:
        DefinitionError: a report, cohort, task, baseline or override does not exist or is invalid,
            or a task needs what the cohort does not have.
    """
    needed = benchmark_requirements(catalog.path("reports", spec.report))
    cohort = read_cohort(catalog.path("cohorts", spec.cohort), name=spec.cohort)
    pretraining = needed.pretraining if spec.pretraining is None else spec.pretraining
    baselines = needed.baselines if spec.baselines is None else spec.baselines
    for name in baselines:
        resolve(name, BASELINES)
    trained = [
        _settings_to_train(catalog, name, spec, recipe)
        for name in pretraining
        for recipe in (spec.recipes or (None,))
    ]
    settings = {tasks[0].name: tasks for tasks in trained}
    patterns = needed.tasks if spec.tasks is None else spec.tasks
    evaluated, named = tasks_by_name(catalog, patterns)
    _check_cohort(cohort, [tasks[0] for tasks in trained], evaluated, named)
    missingness = needed.missingness if spec.missingness is None else spec.missingness
    check_patterns(
        missingness,
        cohort=spec.cohort,
        modalities=tuple(cohort.modalities),
        columns=cohort.samples.keep,
        outcomes=tuple(cohort.outcomes),
    )
    primary = (needed.primary or None) if spec.primary is None else spec.primary
    check_primary(primary or (), _asked(evaluated, missingness, primary or ()))
    return BenchmarkPlan(
        spec=spec,
        pretraining=tuple(tasks[0] for tasks in settings.values()),
        tasks=patterns,
        baselines=baselines,
        seeds=needed.seeds if spec.seeds is None else spec.seeds,
        missingness=missingness,
        description=cohort.description,
        settings={name: tasks for name, tasks in settings.items() if len(tasks) > 1},
        primary=primary,
        pair_sums=_PAIR_SUMS_SECTION in needed.sections,
    )


def _asked(
    tasks: Sequence[EvaluationTask], missingness: Sequence[str], primary: Sequence[str]
) -> list[EvaluationTask]:
    """Return the tasks with the patterns to evaluate, where a primary comparison names them."""
    named = {task_and_pattern(name)[0] for name in primary}
    return [
        with_patterns(task, missingness) if missingness and task.name in named else task
        for task in tasks
    ]


def _check_cohort(
    cohort: Cohort,
    trained: Sequence[Pretraining],
    evaluated: Sequence[EvaluationTask],
    named: Collection[str],
) -> None:
    """Refuse tasks that need a modality or an outcome that a cohort's definition lacks.

    Raises:
        DefinitionError: with every task that does not apply.
    """
    forms = [cohort.modalities, *(modalities for _, modalities in cohort.layouts.values())]
    known = list(dict.fromkeys(chain.from_iterable(forms)))
    problems: list[Problem] = []
    for task in trained:
        if missing := [name for name in task.modalities if name not in known]:
            sentence = (
                f"task '{task.name}': cohort '{cohort.name}' has no {', '.join(missing)}; it has "
                f"{', '.join(known)}. Name other tasks with --pretraining."
            )
            problems.append(Problem(sentence, "CS-F021"))
    for task in evaluated:
        if task.name in named:
            try:
                check_applies(task, cohort.name, known, list(cohort.outcomes))
            except DefinitionError as error:
                problems += error.problems
    if problems:
        raise DefinitionError(*problems, code="CS-F015")


def _settings_to_train(
    catalog: Catalog, name: str, spec: BenchmarkSpec, recipe: str | None
) -> tuple[Pretraining, ...]:
    """Return a task in the settings that are trained: all of them to tune, else its own.

    A task with another recipe than `basic` has a name of its own, so that its runs have one too.
    """
    overrides = spec.overrides if recipe is None else (*spec.overrides, f"recipe={recipe}")
    if spec.space:
        drawn = draw_settings_of_sweep(spec.space, trials=spec.trials)
        tasks = setting_tasks(catalog, name, overrides, settings=drawn)
    elif spec.tune:
        tasks = setting_tasks(catalog, name, overrides)
    else:
        tasks = (pretraining_task(catalog, name, overrides),)
    if recipe in (None, BASIC):
        return tasks
    return tuple(task.model_copy(update={"name": f"{name}-{recipe}"}) for task in tasks)
