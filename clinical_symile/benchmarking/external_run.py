"""Name the run that an external model becomes, and keep it apart from the others."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.registry.names import folded_name, path_in
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.progress import ProgressBar
from clinical_symile.tracking.provenance import run_origin
from clinical_symile.tracking.run import Run


@dataclass(frozen=True, kw_only=True)
class ExternalRun:
    """The run that an external model becomes.

    Attributes:
        name: name of the run.
        out: folder of a benchmark, or a new folder.
        store: folder of the cohort store that the file's samples belong to; None for predictions
            that bring their labels: the first file added to `out` then defines the samples.
        tasks: tasks to evaluate, by name or with `*`; ignored without a store.
        catalog: where the definitions are.
        bar: makes a progress bar for a label.
        started: start of the work, by `time.perf_counter`.
    """

    name: str
    out: Path
    store: Path | None
    tasks: tuple[str, ...]
    catalog: Catalog
    bar: ProgressBar
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        """Refuse a name that cannot be a run's, or that belongs to the oracle or a baseline.

        Raises:
            DataError: the name is refused.
        """
        check_run_name(self.name, where="--name")
        runs = self.out / "runs"
        same = [path.name for path in runs.iterdir()] if runs.is_dir() else []
        taken = [
            name
            for name in same
            if name != self.name and folded_name(name) == folded_name(self.name)
        ]
        if taken:
            raise DataError(
                f"--name: {runs} has a run '{taken[0]}', whose name differs from '{self.name}' "
                "only in capital letters or in its Unicode form. Some file systems keep one folder "
                "for both. Give another name with --name.",
                code="CS-M015",
            )

    @property
    def run(self) -> Run:
        """The run's folder."""
        return Run(path_in(self.out / "runs", self.name))

    def opened_store(self, kind: str) -> CohortStore:
        """Open the store.

        Args:
            kind: what the file holds, for the message.

        Raises:
            DataError: `store` is None, or it cannot be opened.
        """
        if self.store is None:
            raise DataError(
                f"{kind} need a cohort store; got none. Name it with --store.", code="CS-M014"
            )
        return open_store(self.store)

    def relevant(self, notes: Sequence[str]) -> list[str]:
        """Return the notes on tasks that do not apply, unless the tasks were given with `*`."""
        return [note for note in notes if not any("*" in pattern for pattern in self.tasks)]


def check_not_taken(run: Run, about: Mapping[str, Any]) -> None:
    """Refuse a name that another run has: a file never replaces another one.

    Raises:
        DataError: a run of another file, of a training, of a baseline or of a Python object has
            this name.
    """
    if not run.path.exists():
        return
    there = run.metadata if (run.path / "run.toml").is_file() else {}
    if all(there.get(key) == value for key, value in about.items()):
        return
    origin = run_origin(there)
    of = "of another kind" if origin is None else f"of {origin[0]} '{origin[1]}'"
    differs = " (its content, or the way it is scored, differs)" if "sha256" in there else ""
    raise DataError(
        f"{run.path}: a run {of} has this name{differs}; expected a name of its own for each file. "
        "Give another one with --name, or remove that folder.",
        code="CS-M015",
    )
