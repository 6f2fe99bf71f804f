"""Make a store of labels and subjects, without recordings, from a file of predictions."""

import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clinical_symile import __version__
from clinical_symile.config.splits import SPLITS
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.external.predictions import Predictions
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import VERSION
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder, rename_folder, write_checksums, write_text
from clinical_symile.formatting import format_count
from clinical_symile.hashing import digest_of, file_sha256

_COHORT = "predictions"
# The one modality of such a store: nothing says what an external model read.
_RECORD = "record"
_ONLY_OUTCOME = "outcome"
NO_SUBJECTS = (
    "{file} does not say which subject a row belongs to: every row counts as a subject of its own. "
    "Intervals are too narrow if subjects have several rows. Add a column subject_id."
)
_UNKNOWN = "{unknown} of {samples} samples have no label of {outcome}, and are not scored on it."


def with_sample_keys(predictions: Predictions) -> pd.DataFrame:
    """Return the table with a column `sample`: as given, or subject and time, or the row number."""
    table: Any = predictions.table
    if "sample" in table:
        return table
    if "subject" in table and "place" not in table:
        times = table["prediction_time"].astype(str) if "prediction_time" in table else ""
        return table.assign(sample=table["subject"] + "@" + times)
    return table.assign(sample="row " + table["place"].astype(str))


def write_store(predictions: Predictions, out: Path) -> CohortStore:
    """Write a store of the samples of a file of predictions; all are in the held-out split.

    Raises:
        DataError: the file has no labels, knows none of an outcome, or has two labels of one
            outcome or two subjects for one sample. Nothing is written.
    """
    table: Any = with_sample_keys(predictions)
    if "outcome" not in table:
        table = table.assign(outcome=_ONLY_OUTCOME)
    if "label" not in table:
        raise DataError(
            f"{predictions.file}: has no labels; expected them in the file or in a store. Add a "
            "column label, or give --store.",
            code="CS-M005",
        )
    own = ["subject"] if "subject" in table else []
    kept = [name for name in table.columns if str(name).startswith("kept_")]
    subjects = table.groupby("sample", sort=False)[[*own, *kept]].nunique(dropna=False)
    labels = table.groupby(["sample", "outcome"], sort=False)["label"].nunique(dropna=False)
    contradictory = int((subjects[own] > 1).any(axis=1).sum() + (labels > 1).sum())
    if contradictory:
        raise DataError(
            f"{predictions.file}: {contradictory} samples have two labels of one outcome, or two "
            "subjects; expected one. Correct the file.",
            code="CS-M006",
        )
    first = table.drop_duplicates("sample").set_index("sample")
    wide = table.drop_duplicates(["sample", "outcome"]).pivot(
        index="sample", columns="outcome", values="label"
    )
    unknown = sorted(wide.columns[wide.isna().all()])
    if unknown:
        raise DataError(
            f"{predictions.file}: knows no label of {', '.join(unknown)}; expected 0 or 1 where it "
            "is known. Fill in the labels, or leave the outcome out.",
            code="CS-M005",
        )
    samples = pd.DataFrame({"sample": first.index})
    samples["subject"] = first[own[0]].to_numpy() if own else samples["sample"]
    samples["split"] = "held_out"
    samples[f"present_{_RECORD}"] = True
    for outcome in sorted(wide.columns):
        samples[f"outcome_{outcome}"] = wide[outcome].loc[first.index].to_numpy(dtype=float)
    for name in kept:
        samples[name] = first[name].to_numpy()
    return _write(samples, predictions, out)


def is_prediction_store(store: CohortStore) -> bool:
    """Return True if a store was made from a file of predictions, without recordings."""
    return {about["adapter"] for about in store.manifest["modalities"].values()} == {_RECORD}


def unknown_labels(store: CohortStore) -> list[str]:
    """Return a note on the number of unknown labels for each outcome that has any."""
    samples = len(store.samples)
    known = {name: int((~np.isnan(store.outcome(name))).sum()) for name in store.outcomes}
    return [
        _UNKNOWN.format(
            unknown=format_count(samples - n), samples=format_count(samples), outcome=name
        )
        for name, n in known.items()
        if n < samples
    ]


def external_task(store: CohortStore) -> Classification:
    """Return the classification task of such a store: all outcomes, as predicted."""
    outcomes = list(store.outcomes)
    task = parse_task(
        {
            "kind": "classification",
            "description": "Predictions of external models, as they are.",
            "outcome": outcomes[0] if len(outcomes) == 1 else outcomes,
            "inputs": [_RECORD],
            "split": "held_out",
            "missingness": ["observed"],
            "metrics": ["auroc", "auprc", "brier", "expected_calibration_error"],
            "primary": "auroc",
            "probe": {"name": "prototype"},
        },
        name=f"classification/{outcomes[0] if len(outcomes) == 1 else _COHORT}",
        where=str(store.path),
    )
    assert isinstance(task, Classification)
    return task


def _write(samples: pd.DataFrame, predictions: Predictions, out: Path) -> CohortStore:
    with lock_folder(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=".store-") as folder:
        made = Path(folder) / "store"
        made.mkdir()
        samples.to_parquet(made / "samples.parquet", index=False)
        np.save(made / f"{_RECORD}.npy", np.zeros((len(samples), 0), dtype=np.uint8))
        manifest = _manifest(samples, predictions, made)
        write_text(made / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        write_checksums(made)
        rename_folder(made, out)
    return open_store(out)


def _manifest(samples: pd.DataFrame, predictions: Predictions, folder: Path) -> dict[str, Any]:
    total = len(samples)
    of_split = {split: total if split == "held_out" else 0 for split in SPLITS}
    n_subjects = len(samples["subject"].unique())
    counts = {
        split: {
            "samples": n,
            "subjects": n_subjects if n else 0,
            "present": {_RECORD: n},
            "patterns": {_RECORD: n} if n else {},
        }
        for split, n in of_split.items()
    }
    labels = {}
    for name in (str(column) for column in samples.columns):
        if name.startswith("outcome_"):
            label = samples[name].to_numpy(dtype=np.float64)
            by_meaning = {
                "positive": label == 1,
                "negative": label == 0,
                "unknown": np.isnan(label),
            }
            held_out = {meaning: int(found.sum()) for meaning, found in by_meaning.items()}
            none = {"positive": 0, "negative": 0, "uncertain": 0, "unknown": 0}
            labels[name.removeprefix("outcome_")] = {
                split: none | (held_out if split == "held_out" else {}) for split in SPLITS
            }
    return {
        "cohort": _COHORT,
        "cohort_digest": digest_of(_COHORT),
        "title": "Predictions of external models",
        "description": "Samples as the files of predictions name them.",
        "access": "institutional",
        "license": "that of the predictions; the file names none",
        "citation": "the authors of the predictions",
        "layout": None,
        "generator": None,
        "digest": digest_of(samples.to_csv(index=False)),
        "source_digest": predictions.sha256[:16],
        "version": VERSION,
        "modalities": {
            _RECORD: {
                "adapter": _RECORD,
                "shape": [0],
                "dtype": "uint8",
                "unit": "1",
                "parts": [],
                "statistics": {},
                "sha256": file_sha256(folder / f"{_RECORD}.npy"),
            }
        },
        "units": {},
        "counts": counts,
        "rows": len(samples),
        "recorded": {_RECORD: len(samples)},
        "left_out": {},
        "already_known": {},
        "rejected": {_RECORD: {}},
        "noted": {_RECORD: {}},
        "implausible": {},
        "ranges": {},
        "unlisted_candidates": 0,
        "outcomes": labels,
        "checksums": {"samples.parquet": file_sha256(folder / "samples.parquet")},
        "sizes": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
        "versions": {
            "python": platform.python_version(),
            "clinical-symile": __version__,
            "pandas": version("pandas"),
        },
    }
