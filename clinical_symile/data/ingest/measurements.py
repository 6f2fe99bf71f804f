"""The measurements of a store, of the samples that are kept, and what training says of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from jaxtyping import Int

from clinical_symile.config.cohort import Cohort
from clinical_symile.data.ingest.decode import Decoded, create_array
from clinical_symile.data.ingest.worker_pool import PART
from clinical_symile.hashing import file_sha256


def write_array(
    cohort: Cohort,
    name: str,
    adapter: Any,
    decoded: Decoded,
    *,
    kept: Int[np.ndarray, " kept"],
    store: Path,
) -> dict[str, Any]:
    """Copy one modality's measurements of the samples that are kept; what the manifest says."""
    # Files are mapped anew for every part, so that no more than one stays in memory.
    source, target = decoded.folder / f"{name}.npy", store / f"{name}.npy"
    create_array(target, adapter, samples=len(kept))
    about = parquet.read_table(store / "samples.parquet", columns=["split", f"present_{name}"])
    present = about[f"present_{name}"].to_numpy()
    train = in_split(about["split"], "train").to_numpy()
    for rows in _parts(np.flatnonzero(present)):
        np.load(target, mmap_mode="r+")[rows] = np.load(source, mmap_mode="r")[kept[rows]]
    training = np.flatnonzero(present & train)
    return {
        "adapter": cohort.modalities[name].adapter,
        "shape": list(adapter.shape),
        "dtype": adapter.dtype,
        "unit": adapter.unit,
        "parts": list(adapter.parts),
        "encoder": adapter.encoder,
        "statistics": adapter.fit(
            np.load(target, mmap_mode="r")[rows] for rows in _parts(training)
        ),
        "sha256": file_sha256(target),
    }


def in_split(column: pa.ChunkedArray, split: str) -> pa.ChunkedArray:
    """True where a column of splits has that one."""
    return pc.call_function("equal", [column, pa.scalar(split)])


def _parts(rows: Int[np.ndarray, " row"]) -> Iterator[Int[np.ndarray, " part"]]:
    yield from (rows[first : first + PART] for first in range(0, len(rows), PART))
