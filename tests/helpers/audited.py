"""A store without any fault, in which a test plants one, and the findings of an audit."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.splits import SPLITS as SPLIT_NAMES
from clinical_symile.data.audit.audit import audit_store
from clinical_symile.data.audit.finding import AuditFinding, Severity
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import VERSION
from clinical_symile.files import write_checksums
from clinical_symile.hashing import file_sha256
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.labs import Labs

SPLITS = ["train"] * 120 + ["tuning"] * 20 + ["held_out"] * 120
NAN = float("nan")


@dataclass
class Made:
    """What a store is made of, before it is written."""

    samples: pd.DataFrame
    arrays: dict[str, np.ndarray]
    files: pd.DataFrame
    ranges: dict[str, list[float]] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> CohortStore:
        folder.mkdir()
        self.samples.to_parquet(folder / "samples.parquet", index=False)
        self.files.to_parquet(folder / "files.parquet", index=False)
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array)
        train = (self.samples["split"] == "train").to_numpy()
        parts = {"cxr": ["grey"], "ecg": list(LEADS), "labs": [f"lab {n}" for n in range(10)]}
        fitted = {"cxr": {}} | {
            name: adapter.fit([self.arrays[name][train & self.samples[f"present_{name}"]]])
            for name, adapter in (("ecg", Ecg), ("labs", Labs))
        }
        modalities = {
            name: {
                **{"adapter": name, "parts": parts[name], "statistics": statistics, "unit": "1"},
                "shape": list(self.arrays[name].shape[1:]),
                "dtype": str(self.arrays[name].dtype),
                "sha256": file_sha256(folder / f"{name}.npy"),
            }
            for name, statistics in (fitted | self.statistics).items()
        }
        splits = {split: (self.samples["split"] == split).to_numpy() for split in SPLIT_NAMES}
        none = {"positive": 0, "negative": 0, "uncertain": 0, "unknown": 0}
        outcomes = [name for name in self.samples.columns if str(name).startswith("outcome_")]
        words = ("digest", "source_digest", "title", "description", "access", "license", "citation")
        empty = ("units", "left_out", "already_known", "versions")
        manifest = {
            "version": VERSION,
            "cohort": "made",
            **dict.fromkeys(words, "made"),
            **{key: {} for key in empty},
            "modalities": modalities,
            "counts": {
                split: {
                    "samples": int(rows.sum()),
                    "subjects": int(self.samples.loc[rows, "subject"].nunique()),
                    "present": {
                        name: int(self.samples.loc[rows, f"present_{name}"].sum())
                        for name in modalities
                    },
                    "patterns": {},
                }
                for split, rows in splits.items()
            },
            "rows": len(self.samples),
            "rejected": {name: {} for name in modalities},
            "noted": {name: {} for name in modalities},
            "outcomes": {
                str(name).removeprefix("outcome_"): dict.fromkeys(SPLIT_NAMES, none)
                for name in outcomes
            },
            "ranges": self.ranges,
            "sizes": {path.name: path.stat().st_size for path in folder.iterdir()},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        write_checksums(folder)
        return open_store(folder)


@pytest.fixture
def made(rng: np.random.Generator) -> Made:
    """Pictures, signals and labs of 260 people, without any fault."""
    n = len(SPLITS)
    coarse = rng.normal(128, 30, (n, 1, 16, 16))
    cxr = np.clip(np.kron(coarse, np.ones((1, 1, 4, 4))), 0, 255).astype(np.uint8)
    ecg = np.kron(rng.normal(0, 300, (n, 12, 25)), np.ones((1, 1, 20))).astype(np.int16)
    labs = rng.gamma(2, 1, (n, 10)).astype(np.float32)
    labs[rng.random(labs.shape) < 0.1] = NAN
    present = rng.random((n, 2)) < 0.9
    cxr[~present[:, 0]], ecg[~present[:, 1]] = 0, 0
    samples = pd.DataFrame(
        {
            "sample": range(5000, 5000 + n),
            "subject": range(n),
            "split": SPLITS,
            "present_cxr": present[:, 0],
            "present_ecg": present[:, 1],
            "present_labs": True,
            "outcome_died": (rng.random(n) < 0.5).astype(float),
            "kept_age": rng.integers(18, 90, n).astype(float),
        }
    )
    files = pd.DataFrame(
        {
            "cxr": [f"files/p{row}/{row}x.jpg" if p else "" for row, p in enumerate(present[:, 0])],
            "ecg": [
                f"files/p{row}/s{row}/{row}" if p else "" for row, p in enumerate(present[:, 1])
            ],
        }
    )
    return Made(samples, {"cxr": cxr, "ecg": ecg, "labs": labs}, files, {"age": [0, 120]})


def rows(made: Made, modality: str, split: str, number: int) -> list[int]:
    """The first rows of a split that have a modality."""
    there = made.samples["split"].eq(split) & made.samples[f"present_{modality}"]
    return np.flatnonzero(there)[:number].tolist()


def found(store: CohortStore, check: str, **options: Any) -> list[AuditFinding]:
    return [finding for finding in audit_store(store, **options) if finding.check == check]


def worst(store: CohortStore, check: str) -> Severity:
    return max(finding.severity for finding in found(store, check))
