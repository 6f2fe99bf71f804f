"""Withhold values on fewer than ten people, and folders of users, from what leaves a run's folder.

Such values could tell who had the outcome: Brier score and chance level of nine known people do.
The run's folder keeps them; reports, exports, comparisons and tables of a benchmark do not. A path
may name a person, a project or a hospital.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from clinical_symile.formatting import SMALLEST_COUNT
from clinical_symile.registry.names import file_name, is_absolute_path
from clinical_symile.tracking.results import Result, SkippedResult, is_withheld

# A run, a task and a missingness pattern.
Cell = tuple[str, str, str]
_Row = TypeVar("_Row")

TOO_FEW = f"fewer than {SMALLEST_COUNT} samples, subjects, or samples of a class"

# The fields of a run's definition that may name files.
_COMPONENTS = {"augment", "encoders", "objective", "start"}


def without_folders(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a run with names of files instead of paths.

    Any path counts in `start` and in an argument of a component. Elsewhere an absolute one counts,
    one in a home folder, a URI of a file, and each of these as the value of an option.
    """
    made = _without_folders(record, _is_path_of_this_machine)
    definition = made.get("definition", {})
    for key in _COMPONENTS & definition.keys():
        definition[key] = _without_folders(definition[key], lambda _: True)
    return made


def _is_path_of_this_machine(text: str) -> bool:
    return is_absolute_path(text) or text.startswith(("~", "file:"))


def _without_folders(value: Any, is_path: Callable[[str], bool]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(entry, is_path) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(entry, is_path) for entry in value]
    if not isinstance(value, str):
        return value
    option, equals, path = value.partition("=") if value.startswith("-") else ("", "", value)
    return f"{option}{equals}{file_name(path)}" if is_path(path) else value


def withheld_patterns(results: Iterable[Result]) -> set[Cell]:
    """Return the run, task and pattern of each result that is withheld."""
    return {(row.run, row.task, row.missingness) for row in results if is_withheld(row)}


def without_withheld(results: Sequence[Result]) -> tuple[list[Result], list[SkippedResult]]:
    """Split results into those that may be shown, and the reason for the others."""
    withheld = [
        SkippedResult(
            run=row.run,
            cohort=row.cohort,
            task=row.task,
            missingness=row.missingness,
            metric=row.metric,
            reason=f"{TOO_FEW}: withheld.",
            digest=row.digest,
            code="CS-S017",
        )
        for row in results
        if is_withheld(row)
    ]
    return [row for row in results if not is_withheld(row)], withheld


def shareable(rows: Iterable[_Row], hidden: Collection[Cell]) -> list[_Row]:
    """Leave out rows of what is withheld.

    Args:
        rows: of any table. A row of two runs is left out if either is withheld, and a row of
            methods or masks if the task is withheld for any run under its pattern.
        hidden: what is withheld.
    """
    patterns = {(task, pattern) for _, task, pattern in hidden}
    tasks = {task for task, _ in patterns}

    def is_shown(row: Any) -> bool:
        task = getattr(row, "task", None)
        if task not in tasks:
            return True
        if not hasattr(row, "missingness"):  # over all patterns
            return False
        seen = {row.missingness, getattr(row, "against", None)} - {None}
        names = {getattr(row, name, None) for name in ("run", "baseline")} - {None}
        if not hasattr(row, "run"):
            return not {(task, pattern) for pattern in seen} & patterns
        return not {(name, task, pattern) for name in names for pattern in seen} & {*hidden}

    return [row for row in rows if is_shown(row)]
