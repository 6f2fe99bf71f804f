"""Read and write a run's folder, which is the record of what was done and found."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import tomli_w

from clinical_symile.errors import DataError, warn_renamed
from clinical_symile.files import lock_folder, remove_file, write_file, write_text
from clinical_symile.formatting import html_table
from clinical_symile.registry.names import check_name, check_path, name_of, path_in
from clinical_symile.tracking.analysis_tables import EVALUATE, read_analysis
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.disclosure import without_folders
from clinical_symile.tracking.records import (
    Time,
    read_json_lines,
    read_parquet,
    read_text,
    read_toml_record,
)
from clinical_symile.tracking.results import (
    Result,
    SkippedResult,
    question_digest,
    read_rows,
    write_rows,
)
from clinical_symile.tracking.snapshot import (
    SHAREABLE_FILES,
    MlflowCopy,
    RunSnapshot,
    read_dataset,
    with_rounded_numbers,
    without_small_counts,
)

_MLFLOW = "mlflow"  # the table of `run.toml` that says where the MLflow copy is
# The keys of `run.toml` that a notebook shows.
_SHOWN = ("task", "baseline", "external", "cohort", "store_digest", "seed")
_Row = Result | SkippedResult
_ANALYSIS, _ANALYSIS_BEFORE_0_2 = "analysis", "told"
_TABLE, _DIGEST = ".parquet", ".digest"
_TRAIN_AGAIN = "The file was changed or cut: remove the run's folder and train again."
_EVALUATE_AGAIN = "Remove it and run `clinical-symile evaluate` again."
# The values of `run.toml` that are read; other kinds of models have fewer.
RUN_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("name", "task", "task_digest", "cohort", "store_digest"), str | None),
    **dict.fromkeys(("baseline", "version"), str | None),
    **dict.fromkeys(("started", "finished"), Time | None),
    "seed": int | None,
    **dict.fromkeys(("definition", "encoders", "pairing", "start"), dict[str, Any] | None),
    **dict.fromkeys(("versions", "files_sha256"), dict[str, str] | None),
    **dict.fromkeys(("saw_labels", "reconciled"), list[str] | None),
}


@dataclass(frozen=True)
class Run:
    """A run's folder.

    `run.toml` says what was done and where the MLflow copy is, `model.safetensors` holds the
    selected weights, `history.jsonl` has a line per epoch, `results.jsonl` a line per result.
    `candidates/` and `outcomes/` hold, for each task, the candidate lists and the outcome of each
    sample, as rows of the store, and `tuning/` the predictions for the tuning split. These three
    never leave the folder. `analysis/` has a digest for each analyzed task.

    Attributes:
        path: the folder; its name is the run's.
    """

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the run: its record and how much was evaluated."""
        record, results = self._metadata_or_empty(), self.results
        about = [(key, record[key]) for key in _SHOWN if key in record]
        rows = [
            *about,
            ("finished", "yes" if self.is_finished else "no"),
            ("epochs", len(self.history)),
            ("evaluated tasks", len({row.task for row in results})),
            ("results", len(results)),
        ]
        return html_table(f"run {self.name}", ("", ""), rows)

    @property
    def weights(self) -> Path:
        """File of the selected weights and the objective's."""
        return self.path / "model.safetensors"

    @property
    def metadata(self) -> dict[str, Any]:
        """The content of `run.toml`, without the place of the MLflow copy.

        Raises:
            DataError: it does not exist or cannot be read.
        """
        table = self._toml()
        if table is None:
            raise DataError(
                f"{self.path}: not a run: it has no run.toml. Give the folder that "
                "`clinical-symile train` wrote.",
                code="CS-R001",
            )
        return {key: value for key, value in table.items() if key != _MLFLOW}

    @property
    def mlflow_copy(self) -> MlflowCopy | None:
        """The place of the MLflow copy, as `run.toml` says; None before the first sync.

        Raises:
            DataError: `run.toml` cannot be read, or its `[mlflow]` table is not as expected.
        """
        table = (self._toml() or {}).get(_MLFLOW)
        return None if table is None else MlflowCopy.from_table(table, folder=self.path)

    @property
    def is_trained(self) -> bool:
        """True if it was trained here or imported; False for baselines, external models, oracle."""
        return "task" in self._metadata_or_empty()

    @property
    def is_baseline(self) -> bool:
        """True if it is a baseline."""
        return "baseline" in self._metadata_or_empty()

    @property
    def is_finished(self) -> bool:
        """True if training came to its end."""
        return "finished" in self._metadata_or_empty()

    @property
    def history(self) -> list[dict[str, Any]]:
        """The training history, one entry per epoch."""
        path, code = self.path / "history.jsonl", "CS-R003"
        return read_json_lines(path, action=_TRAIN_AGAIN, code=code) if path.is_file() else []

    @property
    def results(self) -> list[Result]:
        """The results of all evaluations; empty before the first."""
        path = self.path / "results.jsonl"
        return read_rows(path, Result) if path.is_file() else []

    @property
    def unscored(self) -> list[SkippedResult]:
        """The patterns and metrics that could not be computed, and why."""
        path = self.path / "unscored.jsonl"
        return read_rows(path, SkippedResult) if path.is_file() else []

    @property
    def results_by_rule(self) -> list[Result]:
        """The primary metric of retrieval by each rule for a missing query modality.

        Empty for a model whose score has no such rule.
        """
        path = self.path / "missing_query.jsonl"
        return read_rows(path, Result) if path.is_file() else []

    def outcome(self, task: str, missingness: str) -> pd.DataFrame:
        """Read the outcome of each sample of a task under a pattern.

        Raises:
            DataError: the run was not evaluated on it.
        """
        path = path_in(self.path / "outcomes", task, missingness, suffix=_TABLE)
        if not path.is_file():
            raise DataError(
                f"{self.path}: has no outcomes of task '{task}' under '{missingness}'. Run "
                "`clinical-symile evaluate`.",
                code="CS-R011",
            )
        return read_parquet(path, action=_EVALUATE_AGAIN)

    def tuning_outcome(self, task: str, missingness: str) -> pd.DataFrame | None:
        """Read the predictions for the tuning split; None where there are none."""
        path = path_in(self.path / "tuning", task, missingness, suffix=_TABLE)
        return read_parquet(path, action=_EVALUATE_AGAIN) if path.is_file() else None

    def analysis_digest(self, task: str) -> str | None:
        """Read the digest of the results and outcomes that a task's analysis was computed from.

        Runs of version 0.1 have it in `told/`; that folder is read until version 0.3.0.
        """
        for folder in (_ANALYSIS, _ANALYSIS_BEFORE_0_2):
            path = path_in(self.path / folder, task, suffix=_DIGEST)
            if path.is_file():
                if folder == _ANALYSIS_BEFORE_0_2:
                    old, new = f"the folder '{folder}/'", f"'{_ANALYSIS}/'"
                    warn_renamed(old, new, where=str(self.path), advice=EVALUATE)
                return read_text(path, action="Remove it: the analysis is computed again.")
        return None

    def write_analysis_digest(self, task: str, digest: str) -> None:
        """Record what a task's analysis was computed from."""
        with lock_folder(self.path):
            self.remove_analysis_digest(task)
            write_text(path_in(self.path / _ANALYSIS, task, suffix=_DIGEST), digest)

    def remove_analysis_digest(self, task: str) -> None:
        """Mark the analysis of a task as outdated."""
        for folder in (_ANALYSIS, _ANALYSIS_BEFORE_0_2):
            remove_file(path_in(self.path / folder, task, suffix=_DIGEST))

    def remove_analysis_digests(self) -> None:
        """Mark the analysis of every task as outdated."""
        for folder in (_ANALYSIS, _ANALYSIS_BEFORE_0_2):
            for path in sorted((self.path / folder).rglob("*.digest")):
                remove_file(path)

    def snapshot(self) -> RunSnapshot:
        """Read what may leave the folder: see `is_withheld`, `without_folders` and `rounding`.

        Raises:
            DataError: the folder is not a run's, its files were changed, or its history holds
                anything but numbers.
        """
        check_folder(self.path, wanted=SHAREABLE_FILES.__contains__)
        metadata, results = without_folders(self._metadata_or_empty()), self.results
        paths = [self.path / name for name in SHAREABLE_FILES if name != "run.toml"]
        files = {path.name: path.read_bytes() for path in paths if path.is_file()}
        files |= {"run.toml": tomli_w.dumps(metadata).encode()} if metadata else {}
        if not (metadata or results):
            raise DataError(
                f"{self.path}: has neither run.toml nor results; expected the folder of a run. "
                "Correct the path, or train.",
                code="CS-R001",
            )
        at = int(1000 * (self.path / "results.jsonl").stat().st_mtime) if results else 0
        snapshot = RunSnapshot(
            name=self.name,
            cohort=str(metadata["cohort"] if "cohort" in metadata else results[0].cohort),
            metadata=metadata,
            history=self._checked_history(),
            results=results,
            analysis=read_analysis(self.path),
            evaluated_ms=at,
            files=files,
            dataset=read_dataset(self.path),
        )
        return with_rounded_numbers(without_small_counts(snapshot))

    def write_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replace what `run.toml` says of the run; None has no form in TOML and is left out."""
        with lock_folder(self.path):
            copy = (self._toml() or {}).get(_MLFLOW)
            self._write_toml({**metadata, _MLFLOW: copy})

    def write_mlflow_copy(self, copy: MlflowCopy) -> None:
        """Record in `run.toml` where MLflow has the copy; unchanged content is not rewritten."""
        with lock_folder(self.path):
            table, entry = self._toml() or {}, copy.to_table(folder=self.path)
            if table.get(_MLFLOW) != entry:
                self._write_toml({**table, _MLFLOW: entry})

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replace `history.jsonl`."""
        lines = "".join(json.dumps(dict(epoch)) + "\n" for epoch in history)
        with lock_folder(self.path):
            write_text(self.path / "history.jsonl", lines)

    def write_evaluation(
        self,
        task: str,
        *,
        results: Sequence[Result],
        unscored: Sequence[SkippedResult],
        outcomes: Mapping[str, pd.DataFrame],
        candidates: pd.DataFrame,
        tuning: Mapping[str, pd.DataFrame] = MappingProxyType({}),
        by_rule: Sequence[Result] = (),
        outdated: Collection[str] = (),
    ) -> None:
        """Write the results of a task; a pattern that was evaluated before is replaced.

        New rows take the place of those of their pattern. Rows of an earlier definition of the
        task, on other candidates or another store, are dropped. So are the tables of patterns that
        have no row any more, or no tuning rows. The analysis of the task becomes outdated.

        Args:
            task: the task's name.
            results: its results.
            unscored: its patterns without results, and why.
            outcomes: for each pattern a row per sample.
            candidates: the candidate lists of a retrieval task.
            tuning: for each pattern the predictions for the tuning split.
            by_rule: its primary metric by each rule for a missing query modality.
            outdated: patterns whose earlier results read a file that has changed since.

        Raises:
            DataError: the task or a pattern has a name that cannot be a path in the folder.
        """
        check_path(task, what="task", where=str(self.path))
        for pattern in {*outcomes, *tuning}:
            check_name(pattern, what="missingness pattern", where=str(self.path))
        with lock_folder(self.path):
            self.remove_analysis_digest(task)
            for folder, tables in (("outcomes", outcomes), ("tuning", tuning)):
                for pattern, table in tables.items():
                    _write_table(path_in(self.path / folder, task, pattern, suffix=_TABLE), table)
            for pattern in set(outcomes) - set(tuning):
                remove_file(path_in(self.path / "tuning", task, pattern, suffix=_TABLE))
            if len(candidates):
                _write_table(path_in(self.path / "candidates", task, suffix=_TABLE), candidates)
            new = {(row.task, row.missingness) for row in (*results, *unscored)}
            questions = {question_digest(row.digest) for row in (*results, *unscored)}
            patterns = set(outcomes)

            def is_kept(row: Result | SkippedResult) -> bool:
                return row.task != task or (
                    (row.task, row.missingness) not in new
                    and question_digest(row.digest) in questions
                    and row.missingness not in outdated
                )

            for name, before, after in (
                ("results", self.results, results),
                ("unscored", self.unscored, unscored),
                ("missing_query", self.results_by_rule, by_rule),
            ):
                path, rows = self.path / f"{name}.jsonl", _replace_rows(before, after, is_kept)
                if rows or path.is_file() or name != "missing_query":
                    write_rows(path, rows)
                patterns |= {row.missingness for row in before if row.task == task and is_kept(row)}
            for folder in ("outcomes", "tuning"):
                for path in path_in(self.path / folder, task).glob(f"*{_TABLE}"):
                    if name_of(path, suffix=_TABLE) not in patterns:
                        remove_file(path)

    def _toml(self) -> dict[str, Any] | None:
        """Read `run.toml`; None where it does not exist."""
        path = self.path / "run.toml"
        try:
            return read_toml_record(path, types=RUN_TYPES, action="Train again.", code="CS-R003")
        except FileNotFoundError:
            return None

    def _write_toml(self, table: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "run.toml", tomli_w.dumps(_without_none(table)))

    def _metadata_or_empty(self) -> dict[str, Any]:
        return {key: value for key, value in (self._toml() or {}).items() if key != _MLFLOW}

    def _checked_history(self) -> list[dict[str, Any]]:
        """Return the history, or refuse one with anything but numbers: nothing else may leave."""
        for number, line in enumerate(history := self.history, start=1):
            other = [
                key
                for key, value in line.items()
                if isinstance(value, bool) or not isinstance(value, int | float)
            ]
            if other:
                raise DataError(
                    f"{self.path / 'history.jsonl'}, line {number}: {', '.join(other)} is not a "
                    "number; expected numbers only, because nothing else of a training may be "
                    "sent. Train again.",
                    code="CS-R003",
                )
        return history


def _replace_rows(
    before: Sequence[_Row], after: Sequence[_Row], is_kept: Callable[[_Row], bool]
) -> list[_Row]:
    """Put new rows in the place of those of their task and pattern, else behind their task's."""
    new: dict[tuple[str, str], list[_Row]] = {}
    for row in after:
        new.setdefault((row.task, row.missingness), []).append(row)
    rows: list[_Row] = []
    for row in before:
        rows += new.pop((row.task, row.missingness), [])
        rows += [row] if is_kept(row) else []
    for (task, _), coming in new.items():
        of_task = [place for place, row in enumerate(rows, start=1) if row.task == task]
        place = max(of_task, default=len(rows))
        rows[place:place] = coming
    return rows


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_without_none(entry) for entry in value]
    return value


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_file(path, lambda file: table.to_parquet(file, index=False))
