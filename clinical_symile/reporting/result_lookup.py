"""Look up results by task and pattern, and give each run its label and colour."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.text.labels import baseline_label, objective_label
from clinical_symile.tracking.benchmark_tables import SeedComponents
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.rounding import sizes_in_words

_TRAINED_WITH = {"mcar": "missing", "mnar": "missing by value"}
_TRAINED_WITH |= {"marker": "tied marker", "paired": "whole", "mismatched": "mismatched"}

TaskTables = Mapping[str, Mapping[str, Any]]  # definitions of tasks as tables, by name
DIAGNOSTIC = "diagnostic"  # the kind of task whose results describe a model, see `ReportData`


@dataclass(frozen=True)
class Series:
    """A run as it appears in every figure.

    Attributes:
        run: its name.
        label: its display name; no two runs share one.
        method: its label without the seed.
        family: the same for runs that differ by seed alone; decides colour and marker.
        style: counts the runs of a family.
    """

    run: str
    label: str
    method: str
    family: int
    style: int


class ResultTable:
    """A table of results; a result that does not exist is None."""

    def __init__(self, results: Iterable[Result]):
        self._rows = {(r.run, r.task, r.missingness, r.metric): r for r in results}
        # Over all tasks, since the samples of one may be among those of another.
        self.sizes = sizes_in_words(self._rows.values())

    def get(self, run: str, task: str, pattern: str, metric: str) -> Result | None:
        """Return the result of one run."""
        return self._rows.get((run, task, pattern, metric))

    def replaced(self, runs: Collection[str], rows: Iterable[Result]) -> "ResultTable":
        """Return a table with these results in place of all results of some runs."""
        return ResultTable([*(row for row in self._rows.values() if row.run not in runs), *rows])

    def has_task(self, run: str, task: str) -> bool:
        """Return whether a run has any result on a task."""
        return any(row.run == run for row in self.of(task=task))

    def best(self, task: str, pattern: str, metric: str) -> float | None:
        """Return the oracle's value; None without an oracle."""
        row = self.get(ORACLE, task, pattern, metric)
        return None if row is None else row.value

    def chance(self, task: str, pattern: str, metric: str) -> float | None:
        """Return the chance level; None if the metric has none."""
        rows = self.of(task=task, pattern=pattern, metric=metric)
        return next((row.chance for row in rows if row.chance is not None), None)

    def of(
        self, *, task: str, pattern: str | None = None, metric: str | None = None
    ) -> list[Result]:
        """Return all results of a task, of one pattern and one metric if given."""
        return [
            row
            for row in self._rows.values()
            if row.task == task
            and pattern in (None, row.missingness)
            and metric in (None, row.metric)
        ]

    def patterns(self, task: str) -> list[str]:
        """Return a task's patterns in the order of evaluation, the most complete first."""
        found = list(dict.fromkeys(row.missingness for row in self.of(task=task)))
        return sorted(found, key=lambda name: (name != "complete", name == "observed"))

    def metrics(self, task: str) -> list[str]:
        """Return a task's metrics in the order of evaluation."""
        return list(dict.fromkeys(row.metric for row in self.of(task=task)))


@dataclass(frozen=True, repr=False)
class MethodLines:
    """The results of a figure with one line for each method.

    Attributes:
        scores: results; those of the first run of a method are means over its seeds.
        series: this run of each method, labelled by the method.
        words: what a title adds.
    """

    scores: ResultTable
    series: Sequence[Series]
    words: str


def mean_over_seeds(
    scores: ResultTable,
    means: Iterable[SeedComponents],
    *,
    methods: Mapping[str, Series],
    trained: Sequence[Series],
) -> MethodLines:
    """Return each method as one line, the mean over its seeds: lines of all runs hide each other.

    Args:
        scores: all results.
        means: of the methods with several seeds, with intervals over subjects and seeds.
        methods: the methods by the names of `means`.
        trained: the runs, without baselines. Without means, each is a line.
    """
    first = {one.method: one for one in reversed(trained)}
    rows = list[Result]()
    for mean in means:
        method = methods.get(mean.method)
        if method is None or method.method not in first:
            continue
        run = first[method.method].run
        row = scores.get(run, mean.task, mean.missingness, mean.metric)
        if row is not None:
            rows.append(replace(row, value=mean.mean, low=mean.low, high=mean.high))
    if not rows:
        return MethodLines(scores, trained, "")
    counts = Counter(one.method for one in trained)
    several = {one.run for method, one in first.items() if counts[method] > 1}
    series = [replace(one, label=one.method) for one in trained if first[one.method] is one]
    return MethodLines(scores.replaced(several, rows), series, ", mean over seeds")


def depends_on_severity(pattern: str) -> bool:
    """Return whether a pattern hides modalities by the severity of their own values.

    >>> [depends_on_severity(name) for name in ("mnar-30", "mnar-age-30", "complete")]
    [True, False, False]
    """
    parsed = parse_pattern(pattern)
    return parsed.mechanism == "mnar" and not parsed.given and not parsed.within


def declared_severity(
    numbers: Mapping[str, float | None],
) -> dict[str, tuple[str, float | None]]:
    """Return the outcome that gives each modality's severity its direction, and its AUROC.

    >>> declared_severity({"slope/ecg": 1.5, "severity/ecg/died": 0.6})
    {'ecg': ('died', 0.6)}
    """
    named = {name: value for name, value in numbers.items() if name.startswith("severity/")}
    return {
        modality: (outcome, value)
        for name, value in named.items()
        for _, modality, outcome in [name.split("/", 2)]
    }


def method_series(runs: Sequence[Mapping[str, Any]], names: Iterable[str]) -> list[Series]:
    """Return a colour and a label for each run: those of `runs` first, then others by name.

    Args:
        runs: the `run.toml` of each run.
        names: of these runs and perhaps others, as results and comparisons have them.
    """
    records = {str(record["name"]): record for record in runs}
    names = list(dict.fromkeys([*records, *(name for name in names if name != ORACLE)]))
    tasks = {name: str(records.get(name, {}).get("task", name)) for name in names}
    families = list(dict.fromkeys(tasks.values()))
    short = {tasks[name]: _objective(records.get(name), name) for name in names}
    doubled = Counter(short.values())
    made: list[Series] = []
    for name in sorted(names, key=lambda name: families.index(tasks[name])):
        task = tasks[name]
        method = label = short[task] if doubled[short[task]] == 1 else _task_label(task)
        siblings = [other for other in names if tasks[other] == task]
        if len(siblings) > 1:
            seeds = Counter(str(records.get(other, {}).get("seed")) for other in siblings)
            seed = str(records.get(name, {}).get("seed"))
            label += f", seed {seed}" if seeds[seed] == 1 else f" ({name})"
        made.append(Series(name, label, method, families.index(task), siblings.index(name)))
    return made


def _task_label(task: str) -> str:
    """Return a pretraining task's label: `pretraining/missingness/masked_cube` is masked cube."""
    label = re.sub(r"^pretraining/((missingness|pairs|robustness|shift)/)?", "", task)
    for mechanism, how in _TRAINED_WITH.items():
        label = re.sub(rf"_{mechanism}_(\d+)$", rf" on \1 % {how}", label)
    return label.replace("_", " ")


def _objective(record: Mapping[str, Any] | None, name: str) -> str:
    if record is None:
        return baseline_label(name)
    objective = record.get("definition", {}).get("objective", {}).get("name", record["task"])
    return objective_label(str(objective))
