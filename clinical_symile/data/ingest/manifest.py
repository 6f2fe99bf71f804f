"""Write the manifest of a store: counts, digests, versions."""

import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from clinical_symile import __version__
from clinical_symile.config.cohort import Cohort
from clinical_symile.config.splits import SPLITS
from clinical_symile.data.ingest.store_writer import in_split
from clinical_symile.data.store import UNCERTAIN
from clinical_symile.data.store_manifest import VERSION
from clinical_symile.files import write_text
from clinical_symile.hashing import digest_of_stream, file_sha256

_READER_PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "duckdb", "pillow", "pydicom", "wfdb")


def write_manifest(
    cohort: Cohort,
    *,
    store: Path,
    about: Mapping[str, Any],
    units: Mapping[str, Sequence[str]],
    candidates: pd.DataFrame,
    source_digest: str,
    rows: int,
    recorded: Mapping[str, int],
    coverage: Sequence[Mapping[str, str]],
    left_out: Mapping[str, int],
    already_known: Mapping[str, int],
    rejected: Mapping[str, Mapping[str, int]],
    noted: Mapping[str, Mapping[str, int]],
    implausible: Mapping[str, Mapping[str, int]],
    unlisted: int,
) -> None:
    """Write `manifest.json`, the last file of a store.

    Args:
        cohort: the cohort of the store.
        store: folder with all other files of the store.
        about: each modality's adapter, shape, unit, statistics and checksum.
        units: the unit of each part, for modalities whose parts differ in unit.
        candidates: the published candidate lists; empty if there are none.
        source_digest: digest of the definition, the tables and the version.
        rows: number of rows of the cohort's query or tables.
        recorded: number of rows by the modalities that are recorded, before a file was opened.
        coverage: what no sample has, and values in another unit: see `CoverageProblem`.
        left_out: number of rows that became no sample, by reason.
        already_known: number of samples whose outcome was known before their last measurement, by
            outcome.
        rejected: number of recordings that were not usable, by modality and reason.
        noted: number of recordings with a note, by modality and note.
        implausible: number of values that were stored as missing, by modality and part.
        unlisted: number of pairs of the published lists with a sample that is not in the store.
    """
    samples = store / "samples.parquet"
    content = candidates.to_csv(index=False), json.dumps(about)
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
        "digest": _digest(samples, *content),
        "source_digest": source_digest,
        "version": VERSION,
        "modalities": about,
        "units": units,
        "worse_with": _worse_ends(cohort),
        "counts": {split: _counts(samples, split, tuple(about)) for split in SPLITS},
        "rows": rows,
        "recorded": recorded,
        "coverage": coverage,
        "left_out": left_out,
        "already_known": already_known,
        "rejected": {name: dict(sorted(rejected[name].items())) for name in about},
        "noted": {name: dict(sorted(noted[name].items())) for name in about},
        "implausible": implausible,
        "ranges": {column: list(ends) for column, ends in cohort.samples.ranges.items()},
        "unlisted_candidates": unlisted,
        "outcomes": {
            name: {split: _labels(samples, split, name) for split in SPLITS}
            for name in cohort.outcomes
        },
        "checksums": {file.name: file_sha256(file) for file in sorted(store.glob("*.parquet"))},
        "sizes": {file.name: file.stat().st_size for file in sorted(store.iterdir())},
        "versions": {"python": platform.python_version(), "clinical-symile": __version__}
        | {name: version(name) for name in _READER_PACKAGES},
    }
    write_text(store / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def _worse_ends(cohort: Cohort) -> dict[str, str]:
    """Return the outcome that gives each modality's severity its direction, where there is one."""
    named = {name: definition.worse_with for name, definition in cohort.modalities.items()}
    return {name: outcome for name, outcome in named.items() if outcome is not None}


def _digest(samples: Path, *others: str) -> str:
    """Compute a digest of the samples as CSV and of further parts, one row group at a time."""
    rows = parquet.ParquetFile(samples)
    with tempfile.TemporaryFile(dir=samples.parent.parent) as stream:
        for place in range(rows.num_row_groups):
            part = rows.read_row_group(place).to_pandas()
            stream.write(part.to_csv(index=False, header=place == 0).encode())
        return digest_of_stream(stream, *others)


def _counts(samples: Path, split: str, modalities: tuple[str, ...]) -> dict[str, Any]:
    columns = [f"present_{name}" for name in modalities]
    part = parquet.read_table(samples, columns=["split", "subject", *columns])
    part = part.filter(in_split(part["split"], split))
    present = np.stack([part[name].to_numpy() for name in columns], axis=1)
    codes = present @ (1 << np.arange(len(modalities)))
    patterns = {
        "+".join(name for bit, name in enumerate(modalities) if code >> bit & 1): int(count)
        for code, count in zip(*np.unique(codes, return_counts=True), strict=True)
    }
    return {
        "samples": len(part),
        "subjects": pc.call_function("count_distinct", [part["subject"]]).as_py(),
        "present": dict(zip(modalities, present.sum(axis=0).tolist(), strict=True)),
        "patterns": dict(sorted(patterns.items())),
    }


def _labels(samples: Path, split: str, outcome: str) -> dict[str, int]:
    part = parquet.read_table(samples, columns=["split", f"outcome_{outcome}"])
    label = part[f"outcome_{outcome}"].filter(in_split(part["split"], split)).to_numpy()
    return {
        "positive": int((label == 1).sum()),
        "negative": int((label == 0).sum()),
        "uncertain": int((label == UNCERTAIN).sum()),
        "unknown": int(np.isnan(label).sum()),
    }
