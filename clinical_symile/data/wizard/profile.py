"""Profile raw tables: the columns, what they hold, and the formats of dates and numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from clinical_symile.data.ingest.csv_files import (
    csv_problem,
    detect_encoding,
    read_dialect,
    text_codec,
)
from clinical_symile.errors import DataError

# A wizard looks at the first rows; `check --source` and `prepare` read all of them.
_ROWS = 100_000
_NUMBER = re.compile(r"^[<>≤≥]?\s*[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?$")
# Day first before month first: where both fit, the text of the file cannot decide.
DATE_FORMATS = (
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y"),
    *("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y"),
    *("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y"),
    *("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y"),
)


@dataclass(frozen=True, eq=False, repr=False)
class Column:
    """A column of a raw table.

    Attributes:
        name: as in the file.
        values: its text without empty cells, stripped.
        rows: how many rows the table has.
        date_formats: every format that all values fit; empty if it is no date.
        is_number: whether nearly all values are numbers; `<0.01` and `1,5` are numbers.
        has_decimal_comma: whether numbers have a comma as in `1,5`.
    """

    name: str
    values: pd.Series
    rows: int
    date_formats: tuple[str, ...]
    is_number: bool
    has_decimal_comma: bool

    @property
    def distinct(self) -> set[str]:
        """The different values."""
        return set(self.values)

    @property
    def is_unique(self) -> bool:
        """Return whether every row has a value of its own."""
        return self.rows > 1 and len(self.values) == self.rows == self.values.nunique()

    @property
    def is_date(self) -> bool:
        """Return whether all values are dates of one format."""
        return bool(self.date_formats)

    @property
    def words(self) -> str:
        """The name in lower-case letters without accents, words joined by `_`."""
        return plain_words(self.name)


@dataclass(frozen=True, eq=False)
class RawTable:
    """A raw table.

    Attributes:
        file: under the source folder.
        key: its name in a query.
        columns: by name.
        rows: how many rows were read.
        encoding: encoding of a CSV file.
    """

    file: str
    key: str
    columns: Mapping[str, Column]
    rows: int
    encoding: str = "utf-8"


def profile_tables(raw: Path) -> list[RawTable]:
    """Profile every CSV, CSV.gz and Parquet file directly under a folder.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    files = [
        path
        for path in sorted(raw.glob("*"))
        if path.name.lower().endswith((".csv", ".csv.gz", ".tsv", ".parquet"))
    ]
    if not files:
        raise DataError(
            f"{raw}: no CSV, CSV.gz or Parquet file in it; expected the tables of the hospital. "
            "Give their folder after --from.",
            code="CS-D004",
        )
    return [_profile(path) for path in files]


def plain_words(text: str) -> str:
    """Return a name as lower-case words without accents.

    >>> plain_words("Röntgen-Datum")
    'rontgen_datum'
    >>> plain_words("FallNr")
    'fall_nr'
    """
    import unicodedata

    text = re.sub(r"(?<=[a-zäöüß])(?=[A-ZÄÖÜ])", "_", text)
    text = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    letters = "".join(one for one in text if not unicodedata.combining(one))
    return re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_")


def _profile(path: Path) -> RawTable:
    encoding = "utf-8" if path.suffix == ".parquet" else detect_encoding(path)
    frame = _read(path, encoding)
    columns = {str(name): _column(str(name), pd.Series(frame[name])) for name in frame.columns}
    key = re.sub(r"^(?=\d)", "t_", plain_words(path.name.split(".")[0])) or "table"
    return RawTable(path.name, key, columns, len(frame), encoding)


def _read(path: Path, encoding: str) -> pd.DataFrame:
    """Read the first rows of a table as text.

    Raises:
        DataError: it cannot be read as a table.
    """
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path).head(_ROWS)
            return frame.astype("string").astype(object).where(frame.notna(), None)
        if problem := csv_problem(path, encoding):
            raise DataError(problem, code="CS-D003")
        dialect = read_dialect(path, encoding)
        return pd.read_csv(
            path,
            sep=dialect.delimiter,
            skiprows=dialect.blank_lines,
            dtype=str,
            nrows=_ROWS,
            encoding=text_codec(path, encoding),
            keep_default_na=False,
        )
    except (ValueError, OSError, NotImplementedError, LookupError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{path}: cannot be read as a table ({type(error).__name__}). Export it again.",
            code="CS-D003",
        ) from None


def _column(name: str, cells: pd.Series) -> Column:
    text = cells.dropna().astype(str).str.strip()
    values = text[text != ""]
    numbers = values[values.str.match(_NUMBER)]
    dates = tuple(form for form in DATE_FORMATS if _fits(values, form)) if len(values) else ()
    return Column(
        name=name,
        values=values,
        rows=len(cells),
        date_formats=dates,
        is_number=len(values) > 0 and len(numbers) >= 0.8 * len(values),
        has_decimal_comma=bool(numbers.str.contains(",", regex=False).any()),
    )


def _fits(values: pd.Series, form: str) -> bool:
    """Return True if all values have a date format; try the first alone, which rejects most."""
    try:
        datetime.strptime(values.iloc[0], form)
    except ValueError:
        return False
    return bool(pd.to_datetime(values, format=form, errors="coerce").notna().all())
