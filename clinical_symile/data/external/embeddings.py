"""Read the embeddings of an external model from a file.

A file has the columns `sample` and `modality`, and either one column of lists or a column for each
number.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from clinical_symile.data.external.tables import parse_key, read_table
from clinical_symile.errors import DataError
from clinical_symile.hashing import file_sha256


@dataclass(frozen=True)
class ExternalEmbeddings:
    """Embeddings by an external model.

    Attributes:
        file: its name.
        sha256: the digest of its bytes.
        samples: the sample of each vector.
        modalities: the modality of each vector.
        z: the vectors.
    """

    file: str
    sha256: str
    samples: np.ndarray
    modalities: np.ndarray
    z: Float[np.ndarray, "row dim"]


def read_embeddings(path: Path) -> ExternalEmbeddings:
    """Read a file of embeddings.

    Raises:
        DataError: the file cannot be read, lacks columns, or holds vectors of several lengths, NaN,
            or two vectors of one sample and modality.
    """
    raw = read_table(path)
    missing = [name for name in ("sample", "modality") if name not in raw]
    numbers = [name for name in raw.columns if name not in ("sample", "modality")]
    if missing or not numbers:
        raise DataError(
            f"{path}: has no column {', '.join(missing) or 'with numbers'}; expected sample, "
            "modality, and either one column of lists or a column for each number. Add it.",
            code="CS-M002",
        )
    try:
        if len(numbers) == 1 and raw[numbers[0]].dtype == object:
            z = np.stack([np.asarray(vector, dtype=np.float32) for vector in raw[numbers[0]]])
        else:
            z = raw[numbers].to_numpy(dtype=np.float32)
    except (TypeError, ValueError):
        z = np.zeros((0, 0), dtype=np.float32)
    if z.ndim != 2 or len(z) != len(raw) or not z.size:
        raise DataError(
            f"{path}: its vectors are not numbers of one length; expected the same number of them "
            "in each row. Write them again.",
            code="CS-M004",
        )
    repeated = int(raw.duplicated(["sample", "modality"]).sum())
    not_finite = int((~np.isfinite(z)).any(axis=1).sum())
    problems = [
        f"{path}: {count} of {len(raw)} rows {what}."
        for count, what in (
            (not_finite, "have NaN or infinite numbers; leave missing modalities out instead"),
            (repeated, "repeat a sample and modality of an earlier row; keep one of them"),
        )
        if count
    ]
    if problems:
        raise DataError(*problems, code="CS-M004")
    samples, modalities = raw["sample"].map(parse_key), raw["modality"].astype(str)
    return ExternalEmbeddings(
        path.name, file_sha256(path), samples.to_numpy(), modalities.to_numpy(), z
    )
