"""What a store says of itself: counts, digests, versions."""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clinical_symile import __version__
from clinical_symile.catalog import digest
from clinical_symile.cohort import SPLITS, Cohort
from clinical_symile.decode import Decoded
from clinical_symile.store import UNCERTAIN, VERSION, checksum

READERS = ("numpy", "scipy", "pandas", "pyarrow", "duckdb", "pillow", "pydicom", "wfdb")


def write_manifest(
    cohort: Cohort,
    samples: pd.DataFrame,
    decoded: Decoded,
    *,
    store: Path,
    about: Mapping[str, Any],
    units: Mapping[str, Sequence[str]],
    candidates: pd.DataFrame,
    source_digest: str,
    rows: int,
    recorded: Mapping[str, int],
    left_out: Mapping[str, int],
    already_known: Mapping[str, int],
    implausible: Mapping[str, Mapping[str, int]],
    unlisted: int,
) -> None:
    """Write `manifest.json`, the last file of a store.

    Args:
        cohort: whose store it is.
        samples: what `samples.parquet` holds.
        decoded: every recording that was tried.
        store: folder with all other files of the store.
        about: each modality's adapter, shape, unit, statistics and checksum.
        units: of each part, of the modalities whose parts differ in it.
        candidates: the published lists, empty without.
        source_digest: of what the store was made from.
        rows: of the cohort's query or tables.
        recorded: rows by which modalities have a recording, before any was opened or left out.
        left_out: rows that became no sample, by reason.
        already_known: samples whose outcome was known before their last measurement, by outcome.
        implausible: values that count as not measured, by modality and part.
        unlisted: pairs of the published lists that name a sample that is not in the store.
    """
    content = samples.to_csv(index=False), candidates.to_csv(index=False), json.dumps(about)
    manifest = {
        "cohort": cohort.name,
        "cohort_digest": cohort.digest,
        "title": cohort.title,
        "description": cohort.description,
        "access": cohort.access,
        "license": cohort.license,
        "citation": cohort.citation,
        "layout": cohort.layout,
        "generator": cohort.generator.model_dump() if cohort.generator else None,
        "digest": digest(*content),
        "source_digest": source_digest,
        "version": VERSION,
        "modalities": about,
        "units": units,
        "counts": {split: _counts(samples, split, tuple(about)) for split in SPLITS},
        "rows": rows,
        "recorded": recorded,
        "left_out": left_out,
        "already_known": already_known,
        "rejected": {name: _words(decoded.rejected, name, "reason") for name in about},
        "noted": {name: _words(decoded.noted, name, "note") for name in about},
        "implausible": implausible,
        "ranges": {column: list(ends) for column, ends in cohort.samples.ranges.items()},
        "unlisted_candidates": unlisted,
        "outcomes": {
            name: {split: _labels(samples, split, name) for split in SPLITS}
            for name in cohort.outcomes
        },
        "checksums": {file.name: checksum(file) for file in sorted(store.glob("*.parquet"))},
        "sizes": {file.name: file.stat().st_size for file in sorted(store.iterdir())},
        "versions": {"python": platform.python_version(), "clinical-symile": __version__}
        | {name: version(name) for name in READERS},
    }
    (store / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _counts(samples: pd.DataFrame, split: str, modalities: tuple[str, ...]) -> dict[str, Any]:
    part = samples.loc[samples["split"] == split]
    present = part.loc[:, [f"present_{name}" for name in modalities]].to_numpy(dtype=bool)
    patterns = Counter("+".join(np.array(modalities)[line]) for line in present)
    return {
        "samples": len(part),
        "subjects": len(set(part["subject"])),
        "present": dict(zip(modalities, present.sum(axis=0).tolist(), strict=True)),
        "patterns": dict(sorted(patterns.items())),
    }


def _words(told: pd.DataFrame, modality: str, column: str) -> dict[str, int]:
    return dict(sorted(Counter(told.loc[told["modality"] == modality, column]).items()))


def _labels(samples: pd.DataFrame, split: str, outcome: str) -> dict[str, int]:
    label = samples.loc[samples["split"] == split, f"outcome_{outcome}"].to_numpy(dtype=float)
    return {
        "positive": int((label == 1).sum()),
        "negative": int((label == 0).sum()),
        "uncertain": int((label == UNCERTAIN).sum()),
        "unknown": int(np.isnan(label).sum()),
    }
