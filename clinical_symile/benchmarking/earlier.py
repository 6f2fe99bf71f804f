"""Read what a benchmark's folder holds, so that a later step adds to it and drops nothing."""

from pathlib import Path
from typing import Any

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.reporting.benchmark_report import (
    BENCHMARK_FILE,
    open_recorded_store,
    read_record,
)
from clinical_symile.tracking.benchmark_tables import TriedSetting
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.results import read_rows

_REPORT = "benchmark"
_SETTINGS = "settings.jsonl"


def earlier_record(out: Path, store: CohortStore) -> dict[str, Any]:
    """Read a benchmark's record, or make that of a new benchmark.

    Args:
        out: the benchmark's folder.
        store: the cohort that its runs must be of.

    Raises:
        DataError: the benchmark is on another store, or its files were changed.
    """
    if not (out / BENCHMARK_FILE).is_file():
        return {
            "report": _REPORT,
            "runs": [],
            "definitions": {},
            "notes": [],
            "description": store.manifest["description"],
        }
    check_folder(out)
    record = read_record(out)
    other = open_recorded_store(out, record)
    if other.digest != store.digest:
        raise DataError(
            f"{out}: holds a benchmark of store {other.digest} of cohort '{other.cohort}'; this is "
            f"store {store.digest} of '{store.cohort}'. Give another --out, or its store.",
            code="CS-M016",
        )
    return record


def earlier_settings(out: Path) -> tuple[TriedSetting, ...]:
    """Read the settings that a benchmark tried; none without a benchmark.

    Raises:
        DataError: a line is no setting.
    """
    path = out / _SETTINGS
    return tuple(read_rows(path, TriedSetting)) if path.is_file() else ()
