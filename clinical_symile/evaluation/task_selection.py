"""Select the tasks and missingness patterns of an evaluation, and check that they apply."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import applicability_problems, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError, Problem
from clinical_symile.missingness.patterns import Pattern, expand, parse_pattern

ScoredTask = Retrieval | Classification
"""A task whose metrics say how good a model is."""

EvaluationTask = ScoredTask | DiagnosticTask

DEFAULT_TASKS = "default"
"""The word for all tasks but those with `default = false`."""

NOT_APPLICABLE = ("is not applicable to cohort", "is not evaluated under")
"""The words of every note that a task or a pattern does not apply."""

TRAINED_ON = "was trained on cohort"
"""The words of every note that a run was trained on another cohort."""


def scored_tasks(tasks: Iterable[EvaluationTask]) -> list[ScoredTask]:
    """Return the tasks whose metrics say how good a model is.

    A diagnostic describes one model: it is not compared, ranked or analyzed further.
    """
    return [task for task in tasks if isinstance(task, ScoredTask)]


def run_name(task: str, seed: int) -> str:
    """Return a run's name: `pretraining/paper/clip` and seed 1 give `paper-clip-1`."""
    return "-".join([*task.split("/")[1:], str(seed)])


def tasks_by_name(
    catalog: Catalog, patterns: Sequence[str] = (DEFAULT_TASKS,)
) -> tuple[list[EvaluationTask], set[str]]:
    """Select the tasks to evaluate by their names, before there is a store.

    Args:
        catalog: the definitions.
        patterns: names; patterns with `*` among all tasks but those of pretraining; `default`
            for all of these but tasks with `default = false`. `!` before any of them leaves out
            what it matches.

    Returns:
        The tasks, and the names of those that are given in full.

    Raises:
        DefinitionError: a task given by name is unknown or of another kind; or no task is left.
    """
    tasks: dict[str, EvaluationTask] = {}
    named: set[str] = set()
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for pattern in (pattern for pattern in patterns if not pattern.startswith("!")):
        by_name = "*" not in pattern and pattern != DEFAULT_TASKS
        if by_name:
            catalog.path("tasks", pattern)
            named.add(pattern)
        for name in catalog.tasks:
            if not (pattern == DEFAULT_TASKS or fnmatch(name, pattern)):
                continue
            if any(fnmatch(name, other) for other in excluded):
                continue
            task = read_task(catalog, name)
            if isinstance(task, Pretraining):
                if by_name:
                    raise DefinitionError(
                        f"task '{name}' is of kind pretraining; expected retrieval, "
                        "classification or diagnostic. Train it, then evaluate the run.",
                        code="CS-F011",
                    )
                continue
            if pattern == DEFAULT_TASKS and not task.default:
                continue
            if DEFAULT_TASKS in excluded and task.default:
                continue
            tasks[name] = task
    if not tasks:
        raise DefinitionError(
            f"no task among {', '.join(patterns)}. `clinical-symile list tasks` shows all.",
            code="CS-F015",
        )
    return list(tasks.values()), named & tasks.keys()


def applicable_tasks(
    catalog: Catalog,
    store: CohortStore,
    *,
    patterns: Sequence[str] = (DEFAULT_TASKS,),
) -> tuple[list[EvaluationTask], list[str]]:
    """Select the tasks to evaluate on a store, and say which of the selected do not apply.

    Args:
        catalog: the definitions.
        store: the store to evaluate on.
        patterns: see `tasks_by_name`.

    Returns:
        The tasks, and a note for each task that a pattern matches but that does not apply.

    Raises:
        DefinitionError: as `tasks_by_name`; or a task given by name, or every task, does not apply.
        DataError: the candidates of a task given by name cannot be drawn.
    """
    selected, named = tasks_by_name(catalog, patterns)
    tasks, notes = [], []
    for task in selected:
        try:
            check_applies(task, store.cohort, store.modalities, store.outcomes)
            if isinstance(task, Retrieval):
                candidate_lists(task, store)
        except (DefinitionError, DataError) as error:
            if task.name in named:
                raise
            notes += error.problems
            continue
        tasks.append(task)
    if not tasks:
        raise DefinitionError(
            f"no task among {', '.join(patterns)} applies to cohort '{store.cohort}'. "
            "`clinical-symile list tasks` shows all.",
            *notes,
            code="CS-F015",
        )
    return tasks, list(dict.fromkeys(notes))


def applicable_patterns(
    tasks: Sequence[EvaluationTask], names: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Select, for each task, the missingness patterns that apply to its modalities.

    Args:
        tasks: the tasks.
        names: patterns, as after `--missingness`.

    Returns:
        The patterns by task, and a note for each pattern that does not apply to a task.

    Raises:
        DefinitionError: a pattern is unknown, or applies to none of the tasks.
    """
    problems, fitting, notes = [], {task.name: [] for task in tasks}, []
    for name in names:
        refused = []
        try:
            for task in tasks:
                inputs = task.input_modalities
                for one in expand([name], inputs):
                    reasons = _refused(parse_pattern(one), inputs)
                    refused += [f"{task.name} is not evaluated under '{one}': {p}" for p in reasons]
                    fitting[task.name] += (
                        [one] if not reasons and one not in fitting[task.name] else []
                    )
        except DefinitionError as error:
            problems += error.problems
            continue
        if len(refused) == len(tasks):
            problems += refused
        notes += refused
    if problems:
        raise DefinitionError(*problems, code="CS-F014")
    return fitting, notes


def with_patterns(task: EvaluationTask, names: Sequence[str]) -> EvaluationTask:
    """Return a task with other patterns: those of `names` that apply to its modalities.

    Raises:
        DefinitionError: none applies.
    """
    inputs = task.input_modalities
    fitting = [name for name in expand(names, inputs) if not _refused(parse_pattern(name), inputs)]
    if not fitting:
        raise DefinitionError(
            f"task '{task.name}': none of the patterns {', '.join(names)} applies to "
            f"{', '.join(inputs)}. Name others in the report, or leave the task out.",
            code="CS-F014",
        )
    return task.model_copy(update={"missingness": tuple(fitting)})


def _refused(pattern: Pattern, inputs: Sequence[str]) -> Sequence[str]:
    """Return why a pattern does not apply to some modalities; nothing if it does."""
    try:
        pattern.check(inputs)
    except DefinitionError as error:
        return error.problems
    return ()


def check_applies(
    task: EvaluationTask, cohort: str, modalities: Sequence[str], outcomes: Sequence[str]
) -> None:
    """Refuse a task that needs a modality or an outcome that a cohort lacks.

    Args:
        task: the task.
        cohort: name of the cohort.
        modalities: of the cohort.
        outcomes: of the cohort.

    Raises:
        DefinitionError: with everything that is missing.
    """
    problems = applicability_problems(task, modalities, outcomes)
    if problems:
        lacking = "; ".join(problem.removesuffix(".") for problem in problems)
        raise DefinitionError(
            f"task '{task.name}' is not applicable to cohort '{cohort}': {lacking}.",
            code="CS-F015",
        )


def check_patterns(
    names: Sequence[str],
    *,
    cohort: str,
    modalities: Sequence[str],
    columns: Sequence[str],
    outcomes: Sequence[str],
) -> None:
    """Refuse patterns of no known form, and those that depend on what a cohort does not keep.

    Args:
        names: the patterns; `every` and `grid` stand for several.
        cohort: name of the cohort.
        modalities: of the cohort.
        columns: those that the cohort keeps.
        outcomes: of the cohort.

    Raises:
        DefinitionError: with every such pattern.
    """
    problems: list[Problem] = []
    for name in expand(names, modalities):
        try:
            pattern = parse_pattern(name)
        except DefinitionError as error:
            problems += error.problems
            continue
        known = [*columns, *(outcomes if pattern.mechanism == "mnar" else ())]
        if pattern.mechanism in ("mar", "mnar") and pattern.given and pattern.given not in known:
            sentence = (
                f"'{name}' depends on '{pattern.given}', which cohort '{cohort}' does not keep; it "
                f"keeps {', '.join(known) or 'no column'}. Name another column, or leave the "
                "pattern out."
            )
            problems.append(Problem(sentence, "CS-F014"))
    if problems:
        raise DefinitionError(*problems, code="CS-F014")
