"""What MLflow is told of a run: its folder as it is, in names, numbers and notes that it takes."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.hashing import payload_digest
from clinical_symile.tracking.analysis_tables import RunAnalysis, read_analysis
from clinical_symile.tracking.results import Result, question_digest
from clinical_symile.tracking.run import Run

# A number by the name it has there.
MetricPoint = tuple[str, float]

# All that leaves a run's folder. Its other files hold rows of samples, or weights fitted to them.
MLFLOW_ARTIFACTS = (
    "run.toml",
    "history.jsonl",
    "results.jsonl",
    "measures.jsonl",
    "modality_value.jsonl",
)

# MLflow takes no more than this as a name, as a value.
NAME_LENGTH, PARAMETER_LENGTH = 250, 500


@dataclass(frozen=True)
class RunSnapshot:
    """A run's folder as it is now."""

    name: str
    cohort: str
    record: Mapping[str, Any]
    history: Sequence[Mapping[str, int | float]]
    results: Sequence[Result]
    told: RunAnalysis
    results_ms: int
    files: Mapping[str, bytes]

    @property
    def key(self) -> str:
        """The same for every state of one run, and for no other run."""
        fields = ("started", "seed", "store_digest", "task_digest")
        if self.record:
            return payload_digest(
                self.name, self.cohort, *(str(self.record.get(f)) for f in fields)
            )
        return payload_digest(
            self.name,
            self.cohort,
            question_digest(min(self.results, key=attrgetter("task")).digest),
        )

    @property
    def done(self) -> bool:
        """Whether nothing more will come, as far as its record says."""
        return not self.record or "finished" in self.record

    @property
    def started_ms(self) -> int:
        """When it began, or was scored where that is not known; since 1970."""
        return milliseconds(self.record.get("started")) or self.results_ms


def read_snapshot(path: Path, *, cohort: str, report: Path | None) -> RunSnapshot:
    """Read what may leave a run's folder.

    Args:
        path: the folder.
        cohort: the cohort's name.
        report: a rendered report to go with it.

    Raises:
        DataError: it is not a run's, or its history holds something else than numbers.
    """
    run = Run(path)
    files = {
        name: (path / name).read_bytes() for name in MLFLOW_ARTIFACTS if (path / name).is_file()
    }
    record = run.record if "run.toml" in files else {}
    history, results = run.history, run.results
    if not record and not results:
        raise DataError(
            f"{path}: neither run.toml nor results in it; expected the folder of a run. Correct "
            "the path, or train."
        )
    for number, line in enumerate(history, start=1):
        other = [
            k for k, v in line.items() if isinstance(v, bool) or not isinstance(v, int | float)
        ]
        if other:
            raise DataError(
                f"{path / 'history.jsonl'}, line {number}: {', '.join(other)} is not a number; "
                "expected numbers only, for nothing else of a training may be sent. Train again."
            )
    if report is not None:
        files["report.html"] = report.read_bytes()
    at = int(1000 * (path / "results.jsonl").stat().st_mtime) if results else 0
    return RunSnapshot(run.name, cohort, record, history, results, read_analysis(path), at, files)


def metric_names(run: RunSnapshot) -> set[str]:
    """What the folder's numbers are called there: a number of another name is one that is gone."""
    told = [*result_metrics(run.results)]
    for task in {row.task for row in run.results}:
        told += analysis_metrics(run.told, task)
    return {name for name, _ in told} | {mlflow_name(key) for line in run.history for key in line}


def result_metrics(rows: Iterable[Result]) -> list[MetricPoint]:
    """Each result and the ends of its interval."""
    return [
        (mlflow_name(f"{row.task}/{row.missingness}/{row.metric}{end}"), value)
        for row in rows
        for end, value in (("", row.value), (".low", row.low), (".high", row.high))
    ]


def analysis_metrics(told: RunAnalysis, task: str) -> list[MetricPoint]:
    """Calibration, conformal sets and silence, and what modalities are worth, of one task."""
    named = [
        ("/".join([row.missingness, row.measure, *([row.part] if row.part else [])]), row)
        for row in told.measures
        if row.task == task
    ]
    named += [
        (f"value/{row.quantity}/{row.modalities.replace('+', '-')}", row)
        for row in told.modality_value
        if row.task == task
    ]
    return [
        (mlflow_name(f"{task}/{name}{end}"), value)
        for name, row in named
        for end, value in (("", row.value), (".low", row.low), (".high", row.high))
        if value is not None
    ]


def flatten_parameters(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`run.toml`, flattened; what identifies the run or changes with time is a tag instead."""
    pairs = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            pairs += flatten_parameters(value, f"{prefix}{key}.")
        elif prefix or not (key in ("started", "finished", "git_commit") or "_digest" in key):
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            if len(text) > PARAMETER_LENGTH:
                text = text[: PARAMETER_LENGTH - 24] + "… (whole: run.toml)"
            pairs.append((mlflow_name(prefix + key), text))
    return pairs


def run_description(run: RunSnapshot) -> str:
    """The run's page says in a few lines what came of it."""
    whole = [row for row in run.results if row.missingness in ("complete", "observed")]
    definition = run.record.get("definition", {"description": "The best that is possible."})
    return "\n\n".join([definition.get("description", ""), results_table(whole or run.results)])


def results_table(rows: Iterable[Result]) -> str:
    """Results as a table in Markdown."""
    lines = ["| task | modalities | metric | value | 95 % interval |", "|---|---|---|--:|---|"]
    for row in rows:
        numbers = f"{row.value:.3f} | {row.low:.3f} to {row.high:.3f}"
        lines.append(f"| {row.task} | {row.missingness} | {row.metric} | {numbers} |")
    return "\n".join(lines)


def mlflow_name(name: str) -> str:
    """A name that MLflow takes; ours are legal already, those of a hospital may not be."""
    name = re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)
    parts = [part for part in name.split("/") if part.strip(".")]
    return "/".join(parts)[:NAME_LENGTH] or "unnamed"


def milliseconds(time: Any) -> int:
    """A time as MLflow has it: since 1970; 0 where there is none."""
    if time is None:
        return 0
    moment = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
    return int(1000 * moment.timestamp())
