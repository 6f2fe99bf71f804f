"""Turn paths, names and settings of the public functions into objects."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.tracking.progress import ProgressBar, no_progress_bar, progress_bar
from clinical_symile.tracking.run import Run

PathLike = str | Path
Paths = PathLike | Sequence[PathLike]
# Fields and their values, as a mapping or as `field=value`, such as {"epochs": 2} or "epochs=2".
Settings = Mapping[str, Any] | Sequence[str]
DEFAULT_TASKS = ("default",)


def as_paths(paths: Paths) -> list[Path]:
    several = [paths] if isinstance(paths, str | Path) else paths
    return [Path(path) for path in several]


def open_definitions(directories: Paths) -> Catalog:
    return open_catalog(as_paths(directories))


def choose_bar(progress: bool) -> ProgressBar:
    return progress_bar if progress else no_progress_bar


def as_run(run: PathLike | Run) -> Run:
    return run if isinstance(run, Run) else Run(Path(run))


def as_names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def as_overrides(settings: Settings) -> list[str]:
    """Return `field=value` for each setting; JSON of numbers, text and lists is TOML as well."""
    if isinstance(settings, Mapping):
        return [f"{field}={json.dumps(value)}" for field, value in settings.items()]
    return list(settings)
