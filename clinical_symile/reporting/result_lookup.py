"""Results and runs as a report looks them up: by task and pattern, each run with its colour."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_symile.reporting.text.labels import baseline_label, objective_label
from clinical_symile.tracking.results import Result

ORACLE = "oracle"
MET = {"mcar": "", "mnar": " if severe"}


@dataclass(frozen=True)
class Series:
    """A run as it appears in every picture.

    Attributes:
        run: its name.
        label: what the reader calls it; no two are the same.
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
    """Looks up results; what a run was not scored on is None."""

    def __init__(self, results: Iterable[Result]):
        self._rows = {(r.run, r.task, r.missingness, r.metric): r for r in results}

    def get(self, run: str, task: str, pattern: str, metric: str) -> Result | None:
        """The result of one run."""
        return self._rows.get((run, task, pattern, metric))

    def knows(self, run: str, task: str) -> bool:
        """Whether a run was scored on a task at all."""
        return any(row.run == run for row in self.of(task=task))

    def best(self, task: str, pattern: str, metric: str) -> float | None:
        """The oracle's value, where there is an oracle."""
        row = self.get(ORACLE, task, pattern, metric)
        return None if row is None else row.value

    def chance(self, task: str, pattern: str, metric: str) -> float | None:
        """What a guess scores."""
        rows = self.of(task=task, pattern=pattern, metric=metric)
        return next((row.chance for row in rows if row.chance is not None), None)

    def of(
        self, *, task: str, pattern: str | None = None, metric: str | None = None
    ) -> list[Result]:
        """All results of a task, of a pattern and a metric if they are given."""
        return [
            row
            for row in self._rows.values()
            if row.task == task
            and pattern in (None, row.missingness)
            and metric in (None, row.metric)
        ]

    def patterns(self, task: str) -> list[str]:
        """A task's patterns, in the order they were scored, the fullest first."""
        found = list(dict.fromkeys(row.missingness for row in self.of(task=task)))
        return sorted(found, key=lambda name: (name != "complete", name == "observed"))

    def metrics(self, task: str) -> list[str]:
        """A task's metrics, in the order they were scored."""
        return list(dict.fromkeys(row.metric for row in self.of(task=task)))


def method_series(runs: Sequence[Mapping[str, Any]], results: Iterable[Result]) -> list[Series]:
    """A colour and a label for each run: those with a record first, then any other with results.

    Args:
        runs: what the runs' `run.toml` say.
        results: of these runs and perhaps others.
    """
    records = {str(record["name"]): record for record in runs}
    others = (row.run for row in results if row.run != ORACLE)
    names = list(dict.fromkeys([*records, *others]))
    tasks = {name: str(records.get(name, {}).get("task", name)) for name in names}
    families = list(dict.fromkeys(tasks.values()))
    short = {tasks[name]: _objective(records.get(name), name) for name in names}
    doubled = Counter(short.values())
    made: list[Series] = []
    for name in sorted(names, key=lambda name: families.index(tasks[name])):
        task = tasks[name]
        method = label = short[task] if doubled[short[task]] == 1 else _way(task)
        siblings = [other for other in names if tasks[other] == task]
        if len(siblings) > 1:
            seeds = Counter(str(records.get(other, {}).get("seed")) for other in siblings)
            seed = str(records.get(name, {}).get("seed"))
            label += f", seed {seed}" if seeds[seed] == 1 else f" ({name})"
        made.append(Series(name, label, method, families.index(task), siblings.index(name)))
    return made


def _way(task: str) -> str:
    """A pretraining task as a reader calls it: `pretraining/missingness/masked_cube` is a way."""
    way = task.removeprefix("pretraining/").replace("missingness/", "")
    for mechanism, how in MET.items():
        way = re.sub(rf"_{mechanism}_(\d+)$", rf" on \1 % missing{how}", way)
    return way.replace("_", " ")


def _objective(record: Mapping[str, Any] | None, name: str) -> str:
    if record is None:
        return baseline_label(name)
    objective = record.get("definition", {}).get("objective", {}).get("name", record["task"])
    return objective_label(str(objective))
