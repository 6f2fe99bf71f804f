"""`Run`: a folder with what was done and what came of it. The folder is the record."""

import json
import platform
import subprocess
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import tomli_w

from clinical_symile.errors import DataError
from clinical_symile.tracking.results import (
    Result,
    SkippedResult,
    question_digest,
    read_rows,
    write_rows,
)

PACKAGES = ("clinical-symile", "torch", "torchvision", "monai", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """A run's folder.

    `run.toml` says what was done, `model.safetensors` holds the chosen weights, `history.jsonl` has
    a line per epoch, `results.jsonl` a line per result. `candidates/` and `outcomes/` hold, for
    each task, the candidate lists and what became of each sample, as rows of the store, and
    `tuning/` what was predicted of the tuning split: they stay in the folder, no report and no
    tracking server gets them. `told/` has a mark for each task that `assess` has told of.

    Attributes:
        path: the folder; its name is the run's.
    """

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def weights(self) -> Path:
        """The chosen weights and the objective's."""
        return self.path / "model.safetensors"

    @property
    def record(self) -> dict[str, Any]:
        """What `run.toml` says.

        Raises:
            DataError: there is none, or it cannot be read.
        """
        path = self.path / "run.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{self.path}: not a run: it has no run.toml. Give the folder that "
                "`clinical-symile train` wrote."
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{path}: not valid TOML: {error}. Train again.") from None

    @property
    def trained(self) -> bool:
        """Whether it was trained here; else it is the oracle, or somebody else's model."""
        return (self.path / "run.toml").is_file() and "task" in self.record

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline, scored beside others."""
        return (self.path / "run.toml").is_file() and "baseline" in self.record

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return (self.path / "run.toml").is_file() and "finished" in self.record

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry per epoch."""
        path = self.path / "history.jsonl"
        if not path.is_file():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except json.JSONDecodeError:
            raise DataError(
                f"{path}: a line is not JSON; expected one object per epoch. The file was changed "
                "or cut: remove the run's folder and train again."
            ) from None

    @property
    def results(self) -> list[Result]:
        """What evaluation found; none before it ran."""
        path = self.path / "results.jsonl"
        return read_rows(path, Result) if path.is_file() else []

    @property
    def unscored(self) -> list[SkippedResult]:
        """What evaluation could not score."""
        path = self.path / "unscored.jsonl"
        return read_rows(path, SkippedResult) if path.is_file() else []

    def outcome(self, task: str, missingness: str) -> pd.DataFrame:
        """What became of each sample of a task under a pattern.

        Raises:
            DataError: the run was not evaluated on it.
        """
        path = self.path / "outcomes" / task / f"{missingness}.parquet"
        if not path.is_file():
            raise DataError(
                f"{self.path}: has no outcomes of task '{task}' under '{missingness}'. Run "
                "`clinical-symile evaluate`."
            )
        return pd.read_parquet(path)

    def tuning_outcome(self, task: str, missingness: str) -> pd.DataFrame | None:
        """What was predicted of the tuning split; None where nothing was."""
        path = self.path / "tuning" / task / f"{missingness}.parquet"
        return pd.read_parquet(path) if path.is_file() else None

    def mark(self, task: str) -> Path:
        """There once `assess` has told of a task; holds the digest of what that was told of."""
        return self.path / "told" / f"{task}.digest"

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace `run.toml`; None has no place in TOML and is left out."""
        self.path.mkdir(parents=True, exist_ok=True)
        _replace(self.path / "run.toml", tomli_w.dumps(_without_none(record)))

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Replace `history.jsonl`."""
        lines = "".join(json.dumps(dict(epoch)) + "\n" for epoch in history)
        _replace(self.path / "history.jsonl", lines)

    def write_evaluation(
        self,
        task: str,
        *,
        results: Sequence[Result],
        unscored: Sequence[SkippedResult],
        outcomes: Mapping[str, pd.DataFrame],
        candidates: pd.DataFrame,
        tuning: Mapping[str, pd.DataFrame] = MappingProxyType({}),
        outdated: Collection[str] = (),
    ) -> None:
        """Keep what came of a task; a pattern that was scored before is replaced.

        Rows of the task as it was once, on other candidates or another store, are dropped, and
        the tables of patterns that have no row any more, or no tuning rows. What was told of the
        task besides has to be told anew.

        Args:
            task: the task's name.
            results: its numbers.
            unscored: its patterns that gave none.
            outcomes: for each pattern a row per sample.
            candidates: the lists of a retrieval task.
            tuning: for each pattern what was predicted of the tuning split.
            outdated: patterns that were scored before by a table that is another by now.
        """
        self.mark(task).unlink(missing_ok=True)
        for folder, tables in (("outcomes", outcomes), ("tuning", tuning)):
            for pattern, table in tables.items():
                _replace_table(self.path / folder / task / f"{pattern}.parquet", table)
        for pattern in set(outcomes) - set(tuning):
            (self.path / "tuning" / task / f"{pattern}.parquet").unlink(missing_ok=True)
        if len(candidates):
            _replace_table(self.path / "candidates" / f"{task}.parquet", candidates)
        new = {(row.task, row.missingness) for row in (*results, *unscored)}
        questions = {question_digest(row.digest) for row in (*results, *unscored)}
        patterns = set(outcomes)
        for name, before, after in (
            ("results", self.results, results),
            ("unscored", self.unscored, unscored),
        ):
            kept = [
                row
                for row in before
                if row.task != task
                or (
                    (row.task, row.missingness) not in new
                    and question_digest(row.digest) in questions
                    and row.missingness not in outdated
                )
            ]
            write_rows(self.path / f"{name}.jsonl", [*kept, *after])
            patterns |= {row.missingness for row in kept if row.task == task}
        for folder in ("outcomes", "tuning"):
            for path in (self.path / folder / task).glob("*.parquet"):
                if path.stem not in patterns:
                    path.unlink()


def provenance() -> dict[str, Any]:
    """Versions, platform and, in a checkout, the commit that is running."""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "platform": platform.platform(terse=True),
        "git_commit": _git_commit(),
    }


def now() -> str:
    """The time as a run records it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git_commit() -> str | None:
    """The commit of the checkout this package runs from, marked if it has changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_without_none(entry) for entry in value]
    return value


def _replace_table(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    table.to_parquet(partial, index=False)
    partial.replace(path)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
