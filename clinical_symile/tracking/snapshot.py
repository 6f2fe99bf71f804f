"""Describe what may leave a run's folder, and where MLflow has a copy of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

from clinical_symile.errors import DataError
from clinical_symile.tracking.analysis_tables import RunAnalysis
from clinical_symile.tracking.records import parse_json, read_json
from clinical_symile.tracking.results import Result, is_withheld, rows_text
from clinical_symile.tracking.rounding import rounded_number, rounded_rows

SQLITE = "sqlite:///"

DATASET_FILE = "dataset.json"
# The tables of results that may leave a run's folder.
RESULT_FILES = ("results.jsonl", "measures.jsonl", "modality_value.jsonl")
# The files that may leave a run's folder. The others hold rows of samples, or weights.
SHAREABLE_FILES = ("run.toml", DATASET_FILE, "history.jsonl", *RESULT_FILES)

_DATASET_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("cohort", "store_digest"), str),
    "schema": list[dict[str, str]],
    "profile": dict[str, str],
    "synthetic": bool | None,
    "tuning_step": float | None,
}
# Of the tuning split of a run whose folder does not say how many samples it has.
_TUNING_STEP = 0.05


@dataclass(frozen=True, kw_only=True)
class MlflowCopy:
    """The place of a run's copy in MLflow.

    Attributes:
        tracking_uri: of the server or database, without credentials.
        experiment: name of the experiment.
        run_id: MLflow's name for the run.
    """

    tracking_uri: str
    experiment: str
    run_id: str

    @classmethod
    def from_table(cls, table: Any, *, folder: Path) -> "MlflowCopy":
        """Read the `[mlflow]` table of `run.toml`.

        A database named by a relative path is looked up from the run's folder, so that runs and
        their database can be moved together.

        Args:
            table: the table.
            folder: the run's folder.

        Raises:
            DataError: the table is not as expected.
        """
        names, table = {one.name for one in fields(cls)}, _as_mapping(table)
        texts = {key for key, value in table.items() if isinstance(value, str)}
        if texts != names or set(table) != names:
            raise DataError(
                f"{folder / 'run.toml'}: [mlflow] has {', '.join(sorted(table))}; expected the "
                f"texts {', '.join(sorted(names))}. Remove the table; the next sync writes it.",
                code="CS-R003",
            )
        copy = cls(**table)
        database = sqlite_path(copy.tracking_uri)
        if database is None or database.is_absolute():
            return copy
        return replace(copy, tracking_uri=sqlite_uri((folder / database).resolve()))

    def to_table(self, *, folder: Path) -> dict[str, str]:
        """Return the `[mlflow]` table; a database above the folder gets a relative path."""
        database = sqlite_path(self.tracking_uri)
        above = list(folder.resolve().parents)
        if database is None or database.parent not in above:
            return asdict(self)
        steps = [".."] * (above.index(database.parent) + 1)
        relative = "/".join([*steps, database.name])
        return asdict(replace(self, tracking_uri=f"{SQLITE}{relative}"))


def sqlite_uri(path: Path) -> str:
    """Return the tracking URI of an SQLite database; see `sqlite_path` for a path with `?`.

    >>> sqlite_uri(Path("/runs/mlflow.db")), sqlite_uri(Path("/what?/mlflow.db"))
    ('sqlite:////runs/mlflow.db', 'sqlite:///file:/what%3F/mlflow.db?uri=true')
    """
    if "?" in path.as_posix():
        return f"{SQLITE}file:{quote(path.as_posix())}?uri=true"
    return f"{SQLITE}{path.as_posix()}"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of the SQLite database that a tracking URI names; None for another one.

    MLflow would take what follows a `?` for a query, and write another file. Such a path is quoted
    here, and a run is not synced to it.

    >>> sqlite_path("sqlite:///file:/what%3F/mlflow.db?uri=true").as_posix()
    '/what?/mlflow.db'
    """
    if not uri.startswith(SQLITE):
        return None
    name = uri.removeprefix(SQLITE).partition("?")[0]
    return Path(unquote(name.removeprefix("file:")) if name.startswith("file:") else name)


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """The content of a run's folder at one moment, as far as it may leave the folder.

    Attributes:
        name: the run's name.
        cohort: the cohort's name.
        metadata: what `run.toml` says; empty for the oracle, which has no training.
        history: one entry per epoch; numbers only.
        results: what evaluation found.
        analysis: the tables of the analysis.
        evaluated_ms: time of the last evaluation, in milliseconds since 1970; 0 without results.
        files: name and content of each of `SHAREABLE_FILES` that is there.
        dataset: what `dataset.json` says of the store; empty for runs of 0.2.3 and before.
    """

    name: str
    cohort: str
    metadata: Mapping[str, Any]
    history: Sequence[Mapping[str, int | float]]
    results: Sequence[Result]
    analysis: RunAnalysis
    evaluated_ms: int
    files: Mapping[str, bytes]
    dataset: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_synthetic(self) -> bool:
        """True if the folder says that the subjects are synthetic."""
        return self.dataset.get("synthetic") is True


def read_dataset(folder: Path) -> dict[str, Any]:
    """Read `dataset.json` of a run's folder; empty where there is none.

    Raises:
        DataError: it is damaged.
    """
    path, action = folder / DATASET_FILE, "Remove it; the next evaluation writes it."
    if not path.is_file():
        return {}
    return read_json(path, types=_DATASET_TYPES, action=action, code="CS-R003")


def has_synthetic_subjects(folder: Path) -> bool:
    """Return whether a run's folder says that it was evaluated on synthetic subjects.

    Raises:
        DataError: `dataset.json` is damaged.
    """
    return read_dataset(folder).get("synthetic") is True


def with_rounded_tuning(
    history: Sequence[Mapping[str, int | float]], dataset: Mapping[str, Any]
) -> list[dict[str, int | float]]:
    """Round metrics of the tuning split, of which a history states no size.

    Args:
        history: one entry per epoch.
        dataset: what `read_dataset` returned; the metrics of synthetic subjects stay.
    """
    if dataset.get("synthetic") is True:
        return [dict(line) for line in history]
    step = tuning_step(dataset)
    return [
        {
            key: cast(float, rounded_number(value, step)) if key.startswith("tuning/") else value
            for key, value in line.items()
        }
        for line in history
    ]


def tuning_step(dataset: Mapping[str, Any]) -> float:
    """Return the step of rounded metrics of the tuning split."""
    return dataset.get("tuning_step") or _TUNING_STEP


def _as_mapping(table: Any) -> Mapping[str, Any]:
    return table if isinstance(table, Mapping) else {str(table): None}


def without_small_counts(snapshot: RunSnapshot) -> RunSnapshot:
    """Leave out results on fewer than ten subjects, and all that was computed beside them."""
    small = {(row.task, row.missingness) for row in snapshot.results if is_withheld(row)}
    tasks = {task for task, _ in small}
    if not small:
        return snapshot
    files = {
        name: _without(content, small, tasks) if name.endswith(".jsonl") else content
        for name, content in snapshot.files.items()
    }
    analysis = snapshot.analysis
    return replace(
        snapshot,
        results=[row for row in snapshot.results if (row.task, row.missingness) not in small],
        analysis=replace(
            analysis,
            measures=[r for r in analysis.measures if (r.task, r.missingness) not in small],
            modality_value=[row for row in analysis.modality_value if row.task not in tasks],
        ),
        files=files,
    )


def _without(content: bytes, small: set[tuple[str, str]], tasks: set[str]) -> bytes:
    """Drop lines of a pattern in `small`, and lines without a pattern of its tasks."""
    kept = []
    for line in content.splitlines(keepends=True):
        row = parse_json(line.decode())
        task, pattern = row.get("task"), row.get("missingness")
        if (task, pattern) not in small and not (pattern is None and task in tasks):
            kept.append(line)
    return b"".join(kept)


def with_rounded_numbers(snapshot: RunSnapshot) -> RunSnapshot:
    """Round sizes and numbers of real subjects; see `rounding`."""
    if snapshot.is_synthetic:
        return snapshot
    results = rounded_rows(snapshot.results)
    measures = rounded_rows(snapshot.analysis.measures)
    values = rounded_rows(snapshot.analysis.modality_value)
    history = with_rounded_tuning(snapshot.history, snapshot.dataset)
    tables = (results, measures, values)
    texts = {name: rows_text(rows) for name, rows in zip(RESULT_FILES, tables, strict=True)}
    texts["history.jsonl"] = "".join(json.dumps(line) + "\n" for line in history)
    files = {
        name: texts[name].encode() if name in texts else content
        for name, content in snapshot.files.items()
    }
    analysis = replace(snapshot.analysis, measures=measures, modality_value=values)
    return replace(snapshot, results=results, analysis=analysis, history=history, files=files)
