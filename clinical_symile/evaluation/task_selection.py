"""The tasks that a command asks for, by name or pattern: found and checked before anything runs."""

from collections.abc import Sequence
from fnmatch import fnmatch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import applicability_problems, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.missingness.patterns import Pattern, expand, parse_pattern

EvaluationTask = Retrieval | Classification


def run_name(task: str, seed: int) -> str:
    """A run's name, from its task's: `pretraining/paper/clip` and seed 1 give `paper-clip-1`."""
    return "-".join([*task.split("/")[1:], str(seed)])


def applicable_tasks(
    catalog: Catalog,
    store: CohortStore,
    *,
    patterns: Sequence[str] = ("*",),
) -> tuple[list[EvaluationTask], list[str]]:
    """The tasks to score on a store, and a note for each that a pattern meant but does not apply.

    Args:
        catalog: where tasks are.
        store: what they are asked of.
        patterns: names, or patterns with `*` among all retrieval and classification tasks; one that
            begins with `!` takes away what it matches.

    Raises:
        DefinitionError: a task that is asked for by name is unknown, of another kind, or does not
            apply; or none is left.
        DataError: the candidates of one that is asked for by name cannot be drawn.
    """
    tasks: dict[str, EvaluationTask] = {}
    notes = []
    refused = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for pattern in (pattern for pattern in patterns if not pattern.startswith("!")):
        by_name = "*" not in pattern
        if by_name:
            catalog.path("tasks", pattern)
        for name in [name for name in catalog.tasks if fnmatch(name, pattern)]:
            if any(fnmatch(name, other) for other in refused):
                continue
            task = read_task(catalog.path("tasks", name), name=name)
            if isinstance(task, Pretraining):
                if by_name:
                    raise DefinitionError(
                        f"task '{name}' is of kind pretraining; expected retrieval or "
                        "classification. Train it, then evaluate the run."
                    )
                continue
            try:
                check_applies(task, store)
                if isinstance(task, Retrieval):
                    candidate_lists(task, store)
            except (DefinitionError, DataError) as error:
                if by_name:
                    raise
                notes += error.problems
                continue
            tasks[name] = task
    if not tasks:
        raise DefinitionError(
            f"no task among {', '.join(patterns)} applies to cohort '{store.cohort}'. "
            "`clinical-symile list tasks` shows all.",
            *notes,
        )
    return list(tasks.values()), list(dict.fromkeys(notes))


def applicable_patterns(
    tasks: Sequence[EvaluationTask], names: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """For each task, those patterns of some that mean something for it, and a note for each other.

    Args:
        tasks: what is scored.
        names: patterns, as after `--missingness`.

    Raises:
        DefinitionError: there is no such pattern, or it means nothing for any of the tasks.
    """
    problems, fitting, notes = [], {task.name: [] for task in tasks}, []
    for name in names:
        refused = []
        try:
            for task in tasks:
                inputs = task.input_modalities
                for one in expand([name], inputs):
                    told = _refused(parse_pattern(one), inputs)
                    refused += [f"{task.name} is not asked under '{one}': {p}" for p in told]
                    fitting[task.name] += (
                        [one] if not told and one not in fitting[task.name] else []
                    )
        except DefinitionError as error:
            problems += error.problems
            continue
        if len(refused) == len(tasks):
            problems += refused
        notes += refused
    if problems:
        raise DefinitionError(*problems)
    return fitting, notes


def with_patterns(task: EvaluationTask, names: Sequence[str]) -> EvaluationTask:
    """A task under other patterns than its own: those of `names` that mean something for it.

    Raises:
        DefinitionError: none does.
    """
    inputs = task.input_modalities
    fitting = [name for name in expand(names, inputs) if not _refused(parse_pattern(name), inputs)]
    if not fitting:
        raise DefinitionError(
            f"task '{task.name}': none of the patterns {', '.join(names)} means something for "
            f"{', '.join(inputs)}. Name others in the report, or leave the task out."
        )
    return task.model_copy(update={"missingness": tuple(fitting)})


def _refused(pattern: Pattern, inputs: Sequence[str]) -> Sequence[str]:
    """Why a pattern means nothing for queries with these modalities; empty if it does."""
    try:
        pattern.check(inputs)
    except DefinitionError as error:
        return error.problems
    return ()


def check_applies(task: Retrieval | Classification, store: CohortStore) -> None:
    """Refuse a task that asks for what a store does not have.

    Raises:
        DefinitionError: with everything that is missing.
    """
    problems = applicability_problems(task, store.modalities, store.outcomes)
    if problems:
        told = "; ".join(problem.removesuffix(".") for problem in problems)
        raise DefinitionError(
            f"task '{task.name}' is not applicable to cohort '{store.cohort}': {told}."
        )
