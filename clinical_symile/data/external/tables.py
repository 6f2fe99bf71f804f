"""Read the CSV and Parquet tables that external models leave, with ids as text."""

import csv
import gzip
import re
import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clinical_symile.data.ingest.csv_files import detect_encoding, text_codec
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.hashing import digest_of, file_sha256
from clinical_symile.tracking.records import UNREADABLE_TABLE

_CSV, _PARQUET = (".csv", ".csv.gz"), ".parquet"
ENDINGS = (*_CSV, _PARQUET)
# Ids are read as text: 007 is not 7.
_ID_TYPES: dict[Any, Any] = dict.fromkeys(("sample", "subject_id", "query", "candidate"), str)
_TRUTH = {"True": 1.0, "true": 1.0, "False": 0.0, "false": 0.0}
# An id that a table program wrote as a number with a fraction of zero, and one that it rounded.
_WHOLE = re.compile(r"(-?\d+)\.0+")
_ROUNDED = re.compile(r"-?\d+\.\d*[eE]\+?\d+|-?\d+[eE]\+\d+")
_LARGEST_EXACT = 2**53
_HEADING = re.compile(r"[^\W\d][\w ./()\-]*")
# Names in one message.
NAMED = 8


def read_table(path: Path, *, known: Collection[str] = ()) -> pd.DataFrame:
    """Read the rows of a file, or of all Parquet files of a folder in the order of their names.

    Args:
        path: the file or the folder.
        known: some of the columns that the file must have. If a CSV file has none of them, its
            first line is checked before it is taken for names of columns.

    Raises:
        DataError: the file does not exist, is neither CSV nor Parquet, cannot be read, has no names
            of columns, repeats one, or is empty.
    """
    if path.is_dir():
        table = _read_folder(path)
    elif not path.is_file() or not path.name.endswith(ENDINGS):
        problem = "no such file" if not path.exists() else "neither CSV nor Parquet by its name"
        raise DataError(
            f"{path}: {problem}; expected a file that ends in {', '.join(ENDINGS)}, or a folder of "
            "Parquet files. Nothing else is read: pickled files can run code.",
            code="CS-M001",
        )
    else:
        table = _read_file(path)
        if path.name.endswith(_CSV) and not set(known) & {*map(str, table.columns)}:
            _check_headings(path, list(table.columns))
    if table.empty:
        raise DataError(
            f"{path}: has no rows; expected at least one. Export it again.", code="CS-M001"
        )
    return table


def table_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file; of a folder, that of the names and digests of its shards."""
    if path.is_file():
        return file_sha256(path)
    shards = _shards(path)
    names = [shard.relative_to(path).as_posix() for shard in shards]
    return "".join(digest_of(str(part), *names, *map(file_sha256, shards)) for part in range(4))


def file_stem(path: Path) -> str:
    """Return the name of a file without the ending that says its format."""
    name = path.resolve().name if path.name in ("", ".", "..") else path.name
    return next(
        (name.removesuffix(end) for end in (".csv.gz", *ENDINGS) if name.endswith(end)), name
    )


def unused_columns(file: str, names: Sequence[Any], *, kept: bool = False) -> list[str]:
    """Return a note that names the columns that no result uses; none if there are none.

    Args:
        file: the file's name.
        names: the columns.
        kept: True if they stay with the samples.
    """
    if not names:
        return []
    some = ", ".join(f"'{str(name)[:60]}'" for name in names[:NAMED])
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    done = "kept with the samples; no result uses them" if kept else "not used"
    return [f"{file}: the columns {some}{rest} are {done}."]


def _read_file(path: Path) -> pd.DataFrame:
    """Read one file; see `read_table`."""
    try:
        if path.name.endswith(_CSV):
            codec = text_codec(path, detect_encoding(path))
            _check_header(path, codec)
            table = pd.read_csv(path, dtype=_ID_TYPES, encoding=codec)
        else:
            # The names of folders are not columns: without this, `label=1/` would make one.
            table = pd.read_parquet(path, partitioning=None)
    except (*UNREADABLE_TABLE, csv.Error, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}). Write it again.", code="CS-M001"
        ) from None
    table = table.reset_index(drop=True)
    repeated = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if repeated:
        raise DataError(
            f"{path}: repeats the columns {', '.join(repeated[:NAMED])}; expected each once. "
            "Remove the others.",
            code="CS-M002",
        )
    return table


def _read_folder(path: Path) -> pd.DataFrame:
    shards = _shards(path)
    if not shards:
        raise DataError(
            f"{path}: is a folder without Parquet files; expected one file, or a folder with files "
            f"that end in {_PARQUET}. Name the file.",
            code="CS-M001",
        )
    tables = [_read_file(shard) for shard in shards]
    other = sum(set(table.columns) != set(tables[0].columns) for table in tables)
    if other:
        raise DataError(
            f"{path}: {other} of its {len(shards)} Parquet files have other columns than the "
            "first; expected the same in all. Keep only the shards of one table there.",
            code="CS-M001",
        )
    # An empty shard has no types of its own.
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


def _shards(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder; hidden ones and those of other tools are left out."""
    return sorted(
        path
        for path in folder.rglob(f"*{_PARQUET}")
        if path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )


def _check_header(path: Path, codec: str) -> None:
    """Refuse a first line that repeats a name, or that has fewer cells than the next line.

    Pandas would take the first cells of such lines for an index, or shift the names.
    """
    opener: Any = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rt", encoding=codec, newline="") as stream:
        lines = csv.reader(stream)
        first, second = next(lines, []), next(lines, [])
    names = [name for name in first if name.strip()]
    repeated = len(names) - len(set(names))
    if repeated:
        raise DataError(
            f"{path}: its first line repeats {repeated} names of columns; expected each once. "
            "Remove or rename the others, or add the line if the file has none.",
            code="CS-M002",
        )
    if len(second) > len(first):
        raise DataError(
            f"{path}: its rows have more cells than its first line; expected one name for each "
            "column. Write it without an index, or name the index.",
            code="CS-M002",
        )


def _check_headings(path: Path, names: Sequence[Any]) -> None:
    """Refuse a first line that may be a row of values; it is never printed.

    Raises:
        DataError: a cell is a number, or not a plain name.
    """
    if all(_HEADING.fullmatch(str(name)) and not _is_number(str(name)) for name in names):
        return
    raise DataError(
        f"{path}: its first line does not hold names of columns separated by commas: it has "
        f"{len(names)} cells, and some are numbers or not plain names. Add a first line with the "
        "names, such as sample,probability,label; separate cells by commas.",
        code="CS-M002",
    )


def _is_number(text: str) -> bool:
    return not np.isnan(parse_number(text)) or text.lower() in ("nan", "true", "false")


def parse_key(value: Any) -> str | None:
    """Return an id as text, the same from a number as from text; None for an empty cell.

    A table program writes a column of whole numbers with an empty cell as 7.0: it is 7 here.

    >>> [parse_key(value) for value in (7, 7.0, "7", "7.0", "007", " ")]
    ['7', '7', '7', '7', '007', None]
    """
    if is_blank(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def is_rounded_key(value: Any) -> bool:
    """Return True if an id was stored as a number that has lost digits or has a fraction.

    >>> [is_rounded_key(value) for value in (7.0, 7.5, 1e17, "1.2e+17", "12e5", "7.5")]
    [False, True, True, True, False, False]
    """
    if isinstance(value, float | np.floating):
        number = float(value)
        return not np.isnan(number) and (abs(number) > _LARGEST_EXACT or not number.is_integer())
    return isinstance(value, str) and bool(_ROUNDED.fullmatch(value))


def rounded_keys(file: Path, table: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Return a problem for each column of ids that holds rounded numbers."""
    problems = []
    for name in columns:
        if name in table:
            count = sum(map(is_rounded_key, table[name]))
            if count:
                problems.append(
                    f"{file}: {count} of {len(table)} ids in column {name} are rounded numbers or "
                    "have a fraction; expected whole ids. Write them as text."
                )
    return problems


def parse_number(value: Any) -> float:
    """Return a cell as a number, with true as 1 and false as 0; NaN if it is none."""
    try:
        return _TRUTH[value] if isinstance(value, str) and value in _TRUTH else float(value)
    except (TypeError, ValueError):
        return float("nan")


def is_blank(value: Any) -> bool:
    """Return True if a cell holds null, NaN or blank text."""
    if isinstance(value, str):
        return not value.strip()
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def row_positions(keys: np.ndarray, samples: Iterable[Any]) -> np.ndarray:
    """Return the row of each key among the ids of a store's samples; -1 where there is none.

    Raises:
        DataError: two ids of the store are the same number, such as 7 and 7.0.
    """
    named = [parse_key(sample) for sample in samples]
    rows = {key: row for row, key in enumerate(named)}
    if len(rows) < len(named):
        raise DataError(
            f"{len(named) - len(rows)} sample ids of the store are the same number as another, "
            "such as 7 and 7.0; expected ids that differ. Rename them in the cohort.",
            code="CS-M007",
        )
    return np.array([rows.get(parse_key(key), -1) for key in keys], dtype=np.int64)


def unknown_samples(file: str, rows: np.ndarray, store: CohortStore, *, what: str) -> list[str]:
    """Return a problem if some rows of a file are of samples that the store lacks.

    Args:
        file: its name.
        rows: the row of the store for each row of the file; below 0 where there is none.
        store: the cohort.
        what: the rows are, in the plural.
    """
    unknown = int((rows < 0).sum())
    if not unknown:
        return []
    return [
        f"{file}: {unknown} of {len(rows)} {what} are of samples that are not in the store of "
        f"cohort '{store.cohort}'; expected its sample ids. Remove the others."
    ]
