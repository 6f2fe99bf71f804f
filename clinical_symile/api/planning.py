"""Plan a study: how many subjects a wanted difference needs, from finished comparisons."""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from clinical_symile.api._arguments import PathLike, Paths, open_definitions
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DataError
from clinical_symile.evaluation.sample_size import SampleSize, sample_sizes
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.reporting.benchmark_report import (
    BENCHMARK_FILE,
    benchmark_tasks,
    read_record,
)
from clinical_symile.tracking.results import Comparison, read_rows

_FILES = ("comparisons.jsonl", "losses.jsonl")


def sample_size(
    path: PathLike,
    *,
    difference: float | None = None,
    margin: float | None = None,
    power: float = 0.8,
    runs: Collection[str] | None = None,
    tasks: Collection[str] | None = None,
    missingness: Collection[str] | None = None,
    catalog: Paths = (),
) -> list[SampleSize]:
    """Return how many subjects a wanted difference needs, for each finished comparison.

    Retrieval among all samples gets a reason instead: its candidates grow with the subjects.

    Args:
        path: a file of comparisons, or the folder that `compare` or `benchmark` wrote it into.
        difference: the true difference to detect, in units of the metric.
        margin: the largest loss that still counts as harmless.
        power: the chance to show the claim, from 0.5 to below 1.
        runs: only comparisons of these runs with each other, or of runs such as `symile-*`; None
            for all.
        tasks: only these tasks, or such as `retrieval/*`; None for all.
        missingness: only these missingness patterns, or such as `mcar-*`; None for all.
        catalog: folders with definitions of your own, for tasks that the folder does not define.

    Returns:
        What each comparison needs for each claim that was asked for.

    Raises:
        DataError: there are no comparisons, or none of a run, task or pattern that is named.
        ValueError: a number is out of range.

    Examples:
        >>> comparisons = cs.compare(["runs/symile-0", "runs/clip-0"], "store")
        >>> folder = comparisons.save("compared")
        >>> first, *others = cs.sample_size(folder, difference=0.02)
        >>> first.run, first.baseline
        ('symile-0', 'clip-0')
    """
    rows = _read(Path(path))
    _check_known(runs, {name for row in rows for name in (row.run, row.baseline)}, what="run")
    _check_known(missingness, {row.missingness for row in rows}, what="pattern")
    _check_known(tasks, {row.task for row in rows}, what="task")
    kept = [
        row
        for row in rows
        if _is_among(runs, row.run, row.baseline)
        and _is_among(tasks, row.task)
        and _is_among(missingness, row.missingness)
    ]
    if not kept:
        raise DataError(
            f"{path}: has no comparison of these runs, tasks and patterns together; expected one "
            "at least. Leave one of the options out to see what there is.",
            code="CS-S018",
        )
    among_all = _tasks_among_all(
        Path(path), {row.task for row in kept}, definitions=open_definitions(catalog)
    )
    return sample_sizes(
        kept, difference=difference, margin=margin, power=power, among_all=among_all
    )


def _is_among(wanted: Collection[str] | None, *names: str) -> bool:
    """Return whether each name is wanted; `*` in a wanted one stands for anything."""
    return wanted is None or all(
        any(fnmatchcase(name, pattern) for pattern in wanted) for name in names
    )


def _tasks_among_all(path: Path, names: Iterable[str], *, definitions: Catalog) -> set[str]:
    """Return the retrieval tasks whose candidates are all samples.

    They are as the benchmark's record has them, else as the catalog does; a task that neither
    defines is not among them.
    """
    folder = path if path.is_dir() else path.parent
    is_benchmark = (folder / BENCHMARK_FILE).is_file()
    recorded = benchmark_tasks(read_record(folder), catalog=definitions) if is_benchmark else {}
    tasks = {
        name: recorded[name] if name in recorded else read_task(definitions, name)
        for name in names
        if name in recorded or name in definitions.tasks
    }
    return {
        name
        for name, task in tasks.items()
        if isinstance(task, Retrieval) and task.candidates == "all"
    }


def _read(path: Path) -> list[Comparison]:
    files = [path / name for name in _FILES] if path.is_dir() else [path]
    rows = [row for file in files if file.is_file() for row in read_rows(file, Comparison)]
    if not rows:
        raise DataError(
            f"{path}: has no comparisons; expected {' or '.join(_FILES)} with a line at least. "
            "Compare runs first: `clinical-symile compare RUN RUN --store STORE`.",
            code="CS-S018",
        )
    return rows


def _check_known(wanted: Collection[str] | None, known: Collection[str], *, what: str) -> None:
    """Refuse names that no comparison has.

    Raises:
        DataError: with each of them, and the nearest that there is.
    """
    names = dict.fromkeys(known)
    problems = [
        unknown_name_message(name, names, what=what)
        for name in wanted or ()
        if not any(fnmatchcase(each, name) for each in names)
    ]
    if problems:
        raise DataError(*problems, code="CS-S018")
