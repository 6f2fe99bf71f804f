"""Export labels, splits and predictions as MEDS reads them: rows of patients, for their owner.

The schemas are those of `meds` 0.4 (`LabelSchema`, `SubjectSplitSchema`) and of `meds-evaluation`
(`PredictionSchema`), https://github.com/Medical-Event-Data-Standard/meds and
https://github.com/kamilest/meds-evaluation.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int, Shaped

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, Problem
from clinical_symile.files import make_folder, private_files, write_file, write_text
from clinical_symile.formatting import format_count
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.checksums import CHECKSUMS_FILE
from clinical_symile.tracking.run import Run

MEDS_FORMAT = "meds"
THRESHOLD = 0.5  # a predicted probability of at least this is `predicted_boolean_value`

SPLIT_SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
LABEL_SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("prediction_time", pa.timestamp("us"), nullable=False),
        pa.field("boolean_value", pa.bool_(), nullable=False),
    ]
)
PREDICTION_SCHEMA = pa.schema(
    [
        *LABEL_SCHEMA,
        pa.field("predicted_boolean_value", pa.bool_()),
        pa.field("predicted_boolean_probability", pa.float32()),
    ]
)
_SPLITS_FILE = "metadata/subject_splits.parquet"
_KEPT = "kept_"
_NOTE = """These files hold rows of patients: ids, times, labels and predictions.
Keep them where the data may be.

metadata/subject_splits.parquet           the split of each subject
labels/<task>.parquet                     the label of each sample; unknown ones have no row
predictions/<run>/<task>/<pattern>.parquet  predicted risks of the evaluated split

A task with several outcomes has a folder of its name, with a file for each outcome.
predicted_boolean_value is true from a probability of 0.5.
predicted_boolean_probability is a number of 32 bits.
"""


def export_meds(
    store: CohortStore,
    runs: Sequence[Run],
    tasks: Mapping[str, Classification],
    *,
    time: str | None,
    into: Path,
) -> list[Path]:
    """Write splits, labels and predictions into a folder for its owner alone.

    Args:
        store: the cohort.
        runs: evaluated runs.
        tasks: the classification tasks whose labels and predictions are written, by name.
        time: the kept column of the store with the time of prediction.
        into: the folder.

    Returns:
        The files.

    Raises:
        DataError: subject ids are no whole numbers, times are missing or of another type, others
            may read the folder, or there is nothing to write. All problems are raised together.
    """
    problems = [*_subject_problems(store), *_time_problems(store, time)]
    if not tasks:
        problems.append(
            Problem(
                f"{store.path}: no run was evaluated on a task that predicts an outcome; MEDS "
                "holds labels and risks alone. Evaluate on classification tasks first.",
                "CS-R011",
            )
        )
    problems += _folder_problems(into)
    if problems:
        raise DataError(*problems, code="CS-R027")
    subjects = store.samples["subject"].to_numpy(dtype=np.int64)
    times = store.samples[f"{_KEPT}{time}"].to_numpy(dtype="datetime64[us]")
    make_folder(into)
    write_text(into / "README.txt", _NOTE)
    splits = pd.DataFrame({"subject_id": subjects, "split": store.samples["split"]})
    written = [_write(splits.drop_duplicates("subject_id"), SPLIT_SCHEMA, into / _SPLITS_FILE)]
    for name, task in tasks.items():
        for outcome in task.outcomes:
            labels = store.outcome(outcome, uncertain=task.uncertain)
            rows = np.flatnonzero(~np.isnan(labels))
            table = _table(subjects, times, rows, labels[rows] == 1)
            path = _file(into / "labels", name, outcome, len(task.outcomes))
            written.append(_write(table, LABEL_SCHEMA, path))
    for run in runs:
        for name, task in tasks.items():
            for pattern in _evaluated(run, name):
                written += _write_predictions(run, name, task, pattern, (subjects, times), into)
    return written


def _write_predictions(
    run: Run,
    name: str,
    task: Classification,
    pattern: str,
    keys: tuple[Int[np.ndarray, " sample"], Shaped[np.ndarray, " sample"]],
    into: Path,
) -> list[Path]:
    """Write the predictions of a run on a task under a pattern, one file for each outcome."""
    outcome = run.outcome(name, pattern)
    written = []
    for part in task.questions:
        one = outcome.loc[outcome["part"] == part, :] if "part" in outcome else outcome
        table = _table(*keys, np.asarray(one["row"]), np.asarray(one["label"]) == 1)
        probability = np.asarray(one["probability"])
        table["predicted_boolean_value"] = probability >= THRESHOLD
        table["predicted_boolean_probability"] = probability.astype(np.float32)
        folder = path_in(into / "predictions", run.name)
        path = _file(folder, f"{name}/{pattern}", part, len(task.questions))
        written.append(_write(table, PREDICTION_SCHEMA, path))
    return written


def _evaluated(run: Run, task: str) -> list[str]:
    """Return the patterns under which a run predicted the outcome of a task."""
    return list(dict.fromkeys(row.missingness for row in run.results if row.task == task))


def _table(
    subjects: Int[np.ndarray, " sample"],
    times: Shaped[np.ndarray, " sample"],
    rows: Int[np.ndarray, " row"],
    label: Shaped[np.ndarray, " row"],
) -> pd.DataFrame:
    return pd.DataFrame(
        {"subject_id": subjects[rows], "prediction_time": times[rows], "boolean_value": label}
    )


def _file(folder: Path, name: str, part: str, several: int) -> Path:
    """Return the file of one outcome: the task's, or in a folder of its name if it has several."""
    return path_in(folder, name, *([part] if several > 1 else []), suffix=".parquet")


def _write(frame: pd.DataFrame, schema: pa.Schema, path: Path) -> Path:
    """Write a table sorted by subject and time, as MEDS sorts events."""
    keys = [name for name in ("subject_id", "prediction_time") if name in frame]
    ordered = frame.sort_values(keys, kind="stable")
    table = pa.Table.from_pandas(ordered, schema=schema, preserve_index=False)
    table = table.replace_schema_metadata(None)
    write_file(path, lambda partial: pq.write_table(table, partial))
    return path


def _subject_problems(store: CohortStore) -> list[Problem]:
    column = store.samples["subject"]
    if pd.api.types.is_integer_dtype(column) and np.asarray(column).max() <= np.iinfo(np.int64).max:
        return []
    return [
        Problem(
            f"{store.path}: subject ids are of the type {column.dtype}; MEDS expects whole numbers "
            "of 64 bits. Return them as BIGINT in the cohort's query (of ids that are text, from "
            "your own table that gives each a number), and prepare again.",
            "CS-R029",
        )
    ]


def _time_problems(store: CohortStore, time: str | None) -> list[Problem]:
    kept = {
        column.removeprefix(_KEPT): store.samples[column]
        for column in store.samples.columns
        if column.startswith(_KEPT)
    }
    found = [name for name, one in kept.items() if pd.api.types.is_datetime64_dtype(one)]
    advice = (
        "Add the time up to which measurements were used as a TIMESTAMP column to the cohort's "
        "query and to 'keep' under [samples], and prepare again."
    )
    if found:
        advice = f"Name it with --time: {', '.join(found)}."
    if time is None:
        return [
            Problem(
                f"{store.path}: the time of prediction is not named, and MEDS expects one for each "
                f"label. {advice}",
                "CS-R026",
            )
        ]
    if time not in found:
        what = f"is of the type {kept[time].dtype}" if time in kept else "is not in the store"
        return [
            Problem(
                f"{store.path}: column '{time}' {what}; expected a kept column of times without a "
                f"time zone. {advice}",
                "CS-R026",
            )
        ]
    missing = int(np.asarray(kept[time].isna()).sum())
    if missing:
        return [
            Problem(
                f"{store.path}: column '{time}' is empty in {format_count(missing)} samples; MEDS "
                "expects a time for each label. Complete it in the cohort's query, or leave these "
                "samples out there, and prepare again.",
                "CS-R026",
            )
        ]
    return []


def _folder_problems(into: Path) -> list[Problem]:
    """Refuse a folder that others may read, or that a store, run or benchmark holds."""
    inside = [one for one in into.resolve().parents if (one / CHECKSUMS_FILE).is_file()]
    if inside or (into / CHECKSUMS_FILE).is_file():
        return [
            Problem(
                f"{into}: lies in {inside[0] if inside else into}, which is a store, run or "
                "benchmark and may be shared as a whole. Name a folder outside.",
                "CS-R027",
            )
        ]
    if os.name != "posix" or not into.exists():
        return []
    with private_files():
        others = os.umask(0o077)
    if not stat.S_IMODE(into.stat().st_mode) & others:
        return []
    return [
        Problem(
            f"{into}: others may read this folder, and the files hold rows of patients. Name a new "
            "folder, or run `chmod 700` on this one.",
            "CS-R027",
        )
    ]
