"""Read the embeddings of an external model from a file.

A file has the columns `sample` and `modality`, and either one column of lists or a column for each
number. These are named alike and numbered from 0 or 1: `e0`, `e1`, … No other column is used.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from clinical_symile.data.external.tables import (
    NAMED,
    parse_key,
    read_table,
    rounded_keys,
    table_sha256,
    unused_columns,
)
from clinical_symile.errors import DataError

_IDS = ("sample", "modality")
_NUMBERED = re.compile(r"(.*?)(\d+)")
_EXPECTED = (
    "expected sample, modality, and either one column of lists or a column for each number, named "
    "alike and numbered from 0 or 1, such as e0, e1, …"
)


@dataclass(frozen=True, repr=False)
class ExternalEmbeddings:
    """Embeddings by an external model.

    Attributes:
        file: its name.
        sha256: the digest of its bytes.
        samples: the sample of each vector.
        modalities: the modality of each vector.
        z: the vectors.
        notes: a note that names the columns that are not used.
    """

    file: str
    sha256: str
    samples: np.ndarray
    modalities: np.ndarray
    z: Float[np.ndarray, "row dim"]
    notes: tuple[str, ...] = ()


def read_embeddings(path: Path) -> ExternalEmbeddings:
    """Read a file of embeddings.

    Raises:
        DataError: the file cannot be read, lacks columns, does not say which columns are the
            vector, or holds vectors of several lengths, NaN, or two vectors of one sample and
            modality.
    """
    raw = read_table(path, known=_IDS)
    missing = [name for name in _IDS if name not in raw]
    numbers = [] if missing else _vector_columns(path, raw)
    if missing or not numbers:
        raise DataError(
            f"{path}: has no column {', '.join(missing) or 'with numbers'}; {_EXPECTED}. Add it.",
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
    problems = rounded_keys(path, raw, ["sample"])
    problems += [
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
    others = [name for name in raw.columns if name not in (*_IDS, *numbers)]
    return ExternalEmbeddings(
        file=path.name,
        sha256=table_sha256(path),
        samples=samples.to_numpy(),
        modalities=modalities.to_numpy(),
        z=z,
        notes=tuple(unused_columns(path.name, others)),
    )


def _vector_columns(path: Path, raw: pd.DataFrame) -> list[Any]:
    """Return the columns of the vector, in the order of their numbers; empty if there are none.

    Raises:
        DataError: several sets of columns could be the vector, or numbers are missing between.
    """
    others = [name for name in raw.columns if name not in _IDS]
    lists = [name for name in others if _holds_lists(raw[name])]  # pyright: ignore[reportArgumentType]
    families: dict[str, dict[int, Any]] = {}
    repeated = set()
    for name in others:
        numbered = _NUMBERED.fullmatch(str(name))
        if numbered and name not in lists:
            family, number = families.setdefault(numbered[1], {}), int(numbered[2])
            repeated |= {numbered[1]} if number in family else set()
            family[number] = name
    several = [stem for stem, family in families.items() if len(family) > 1]
    stems = several or list(families)
    found = [*(f"'{name}'" for name in lists), *(f"'{stem}0' …" for stem in stems)]
    if len(found) > 1:
        raise DataError(
            f"{path}: several sets of columns could be the vector: {', '.join(found[:NAMED])}; "
            f"{_EXPECTED}. Remove the others.",
            code="CS-M002",
        )
    if lists or not stems:
        return lists
    (stem,) = stems
    numbers = sorted(families[stem])
    if stem in repeated or numbers not in (
        list(range(len(numbers))),
        list(range(1, len(numbers) + 1)),
    ):
        raise DataError(
            f"{path}: the columns '{stem}…' are not numbered from 0 or 1 without a gap; "
            f"{_EXPECTED}. Rename them.",
            code="CS-M002",
        )
    return [families[stem][number] for number in numbers]


def _holds_lists(column: pd.Series) -> bool:
    """Return True if the first cell is a list of numbers."""
    first = column.iloc[0]
    return (
        column.dtype == object
        and isinstance(first, Sequence | np.ndarray)
        and not isinstance(first, str | bytes)
    )
