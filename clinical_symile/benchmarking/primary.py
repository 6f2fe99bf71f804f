"""Read the primary comparisons of a benchmark, which are set before its results are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clinical_symile.errors import DefinitionError, Problem
from clinical_symile.evaluation.task_selection import EvaluationTask, scored_tasks
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.reporting.benchmark_report import BENCHMARK_FILE, read_record


def primary_comparisons(
    named: Sequence[str] | None, tasks: Sequence[EvaluationTask], *, out: Path
) -> tuple[str, ...]:
    """Return the primary comparisons of a benchmark, each as `TASK:PATTERN`.

    Args:
        named: those of the call; None for those that the benchmark has, or else none.
        tasks: the tasks that are evaluated, with their patterns.
        out: the benchmark's folder.

    Raises:
        DefinitionError: with every name that is no evaluated task and pattern. Or the benchmark has
            results already, and had others.
        DataError: the benchmark's record cannot be read.
    """
    known = _recorded(out)
    names = (known or ()) if named is None else tuple(dict.fromkeys(named))
    check_primary(names, tasks)
    if known is not None and set(names) != set(known):
        raise DefinitionError(
            f"{out}: the results of this benchmark are known, and its primary comparisons are "
            f"{', '.join(known) or 'none'}; expected the same, not {', '.join(names) or 'none'}. "
            "What is primary is set before results are known. Name the same, or give another "
            "--out.",
            code="CS-F032",
        )
    return names


def check_primary(names: Sequence[str], tasks: Sequence[EvaluationTask]) -> None:
    """Refuse names of primary comparisons that are no task and pattern of those evaluated.

    Raises:
        DefinitionError: with every such name.
    """
    by_name = {task.name: task for task in scored_tasks(tasks)}
    problems = [problem for name in names for problem in _problems(name, by_name)]
    if problems:
        raise DefinitionError(*problems, code="CS-F032")


def task_and_pattern(name: str) -> tuple[str, str]:
    """Split `TASK:PATTERN`."""
    task, _, pattern = name.partition(":")
    return task, pattern


def _recorded(out: Path) -> tuple[str, ...] | None:
    """Return the primary comparisons of a benchmark with results; None without results."""
    if not (out / BENCHMARK_FILE).is_file():
        return None
    return tuple(read_record(out).get("primary") or ())


def _problems(name: str, tasks: Mapping[str, EvaluationTask]) -> list[Problem]:
    """Return what is wrong with the name of a primary comparison."""
    task, pattern = task_and_pattern(name)
    where = f"primary comparison '{name}'"
    if not pattern:
        sentence = (
            f"{where}: has no pattern; expected a task and a pattern, such as "
            "retrieval/cxr_given_ecg_labs:without-ecg."
        )
    elif task not in tasks:
        sentence = f"{where}: {unknown_name_message(task, tasks, what='evaluated task')}"
    elif pattern not in tasks[task].missingness:
        patterns = dict.fromkeys(tasks[task].missingness)
        message = unknown_name_message(pattern, patterns, what="pattern", to=task)
        sentence = f"{where}: {message}"
    else:
        return []
    return [Problem(sentence, "CS-F032")]
