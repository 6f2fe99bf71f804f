"""Read the embeddings of an external model from a file.

A file has the columns `sample` and `modality`, and either one column of lists or a column for each
number. These are named alike and numbered from 0 or 1: `e0`, `e1`, … Gaussian embeddings have as
many log variances besides: a column of lists `log_variance`, or columns `log_variance0`, … No other
column is used.
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
_VARIANCE = re.compile(r"log_variance\d*")
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
        log_variance: the log variance of each number of `z`; None if the file has none.
        notes: a note that names the columns that are not used.
    """

    file: str
    sha256: str
    samples: np.ndarray
    modalities: np.ndarray
    z: Float[np.ndarray, "row dim"]
    log_variance: Float[np.ndarray, "row dim"] | None = None
    notes: tuple[str, ...] = ()


def read_embeddings(path: Path) -> ExternalEmbeddings:
    """Read a file of embeddings.

    Raises:
        DataError: the file cannot be read, lacks columns, does not say which columns are the
            vector, or holds vectors of several lengths, NaN, other numbers of log variances, or two
            vectors of one sample and modality.
    """
    raw = read_table(path, known=_IDS)
    missing = [name for name in _IDS if name not in raw]
    named = [name for name in raw.columns if name not in _IDS]
    spread = [name for name in named if _VARIANCE.fullmatch(str(name))]
    numbers = [] if missing else _vector_columns(path, raw, [n for n in named if n not in spread])
    if missing or not numbers:
        raise DataError(
            f"{path}: has no column {', '.join(missing) or 'with numbers'}; {_EXPECTED}. Add it.",
            code="CS-M002",
        )
    z = _vectors(path, raw, numbers)
    log_variance = _log_variances(path, raw, spread, shape=z.shape) if spread else None
    repeated = int(raw.duplicated(["sample", "modality"]).sum())
    held = z if log_variance is None else np.concatenate([z, log_variance], axis=1)
    not_finite = int((~np.isfinite(held)).any(axis=1).sum())
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
    others = [name for name in named if name not in (*numbers, *spread)]
    return ExternalEmbeddings(
        file=path.name,
        sha256=table_sha256(path),
        samples=samples.to_numpy(),
        modalities=modalities.to_numpy(),
        z=z,
        log_variance=log_variance,
        notes=tuple(unused_columns(path.name, others)),
    )


def _vectors(path: Path, raw: pd.DataFrame, numbers: list[Any]) -> Float[np.ndarray, "row dim"]:
    """Return the vector of each row.

    Raises:
        DataError: a cell is no number, or rows have vectors of several lengths.
    """
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
    return z


def _log_variances(
    path: Path, raw: pd.DataFrame, columns: list[Any], *, shape: tuple[int, ...]
) -> Float[np.ndarray, "row dim"]:
    """Return the log variances of each row's vector.

    Raises:
        DataError: they are not numbered without a gap, or not as many as the vector has numbers.
    """
    found = _vectors(path, raw, _vector_columns(path, raw, columns))
    if found.shape != shape:
        raise DataError(
            f"{path}: {found.shape[1]} log variances for vectors of {shape[1]} numbers; expected "
            "as many. Write one for each number of a vector, or leave them out.",
            code="CS-M004",
        )
    return found


def _vector_columns(path: Path, raw: pd.DataFrame, others: list[Any]) -> list[Any]:
    """Return the columns of the vector, in the order of their numbers; empty if there are none.

    Args:
        path: the file.
        raw: its table.
        others: the columns to look among.

    Raises:
        DataError: several sets of columns could be the vector, or numbers are missing between.
    """
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
