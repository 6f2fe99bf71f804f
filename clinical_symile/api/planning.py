"""Plan a study: how many subjects a wanted difference needs, from finished comparisons."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from clinical_symile.api._arguments import PathLike
from clinical_symile.errors import DataError
from clinical_symile.evaluation.sample_size import SampleSize, sample_sizes
from clinical_symile.registry.base import unknown_name_message
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
) -> list[SampleSize]:
    """Return how many subjects a wanted difference needs, for each finished comparison.

    Args:
        path: a file of comparisons, or the folder that `compare` or `benchmark` wrote it into.
        difference: the true difference to detect, in units of the metric.
        margin: the largest loss that still counts as harmless.
        power: the chance to show the claim, from 0.5 to below 1.
        runs: only comparisons of these runs with each other; None for all.
        tasks: only these tasks, or patterns such as `retrieval/*`; None for all.
        missingness: only these patterns; None for all.

    Raises:
        DataError: there are no comparisons, or none of a run, task or pattern that is named.
        ValueError: a number is out of range.

    Examples:
        >>> folder = cs.compare(["runs/symile-0", "runs/clip-0"], "store").save("compared")
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
        if (runs is None or {row.run, row.baseline} <= {*runs})
        and (tasks is None or any(fnmatchcase(row.task, name) for name in tasks))
        and (missingness is None or row.missingness in missingness)
    ]
    if not kept:
        raise DataError(
            f"{path}: has no comparison of these runs, tasks and patterns together; expected one "
            "at least. Leave one of the options out to see what there is.",
            code="CS-S018",
        )
    return sample_sizes(kept, difference=difference, margin=margin, power=power)


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
