"""Determine the dialect of a CSV file, and explain why DuckDB cannot read one.

Messages name lines, numbers of cells and encodings. None of these is a value of a patient.
"""

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_symile.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20
_LONGEST_ROW = 2_000_000  # characters; of more, DuckDB reads no row
_WINDOWS_LETTER = re.compile("[\x80-\x9f]")  # control characters in Latin-1; DuckDB refuses them
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Dialect:
    """The delimiter and encoding of a CSV file; its quote and its escape are `"`.

    Attributes:
        delimiter: the delimiter, from the first line.
        encoding: `utf-8`, `utf-16` or `latin-1`.
        blank_lines: number of blank lines before the header.
        header: cells of the header.
    """

    delimiter: str
    encoding: str
    blank_lines: int
    header: tuple[str, ...]


def detect_encoding(file: Path) -> str:
    """Return the encoding of a CSV file by its content: `utf-8`, `utf-16` or `latin-1`.

    Args:
        file: CSV or CSV.gz.

    Raises:
        DataError: the file is no complete gzip file.
    """
    with _open(file) as stream:
        if _looks_like_utf_16(stream.read(_HEAD_BYTES)):
            return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(file):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def text_codec(file: Path, encoding: str) -> str:
    """Return the name by which Python decodes a file of an encoding; a byte order mark is dropped.

    Args:
        file: CSV or CSV.gz.
        encoding: `utf-8`, `utf-16` or `latin-1`.
    """
    if encoding == "utf-8":
        return "utf-8-sig"
    if encoding == "utf-16":
        with _open(file) as stream:
            return "utf-16" if stream.read(2) in _UTF_16_MARKS else "utf-16-le"
    return encoding


def read_dialect(file: Path, encoding: str) -> Dialect:
    """Read the delimiter of a CSV file from its first line; a comma if the line has none.

    Args:
        file: CSV or CSV.gz.
        encoding: the declared encoding.
    """
    with _open(file) as stream:
        head = stream.read(_HEAD_BYTES).decode(text_codec(file, encoding), errors="replace")
    lines = head.splitlines(keepends=True)
    blank_lines = next((place for place, line in enumerate(lines) if line.strip()), 0)
    line = lines[blank_lines] if lines else ""
    outside_quotes = "".join(line.split('"')[::2])
    delimiter = max(_DELIMITERS, key=outside_quotes.count)
    header = next(csv.reader(lines[blank_lines:], delimiter=delimiter), [])
    return Dialect(delimiter, encoding, blank_lines, tuple(cell.strip() for cell in header))


def head_problem(file: Path, encoding: str) -> str | None:
    """Return a problem of the encoding that shows in the first bytes of a CSV file.

    DuckDB would not report it: it reads such a file as nonsense.

    Args:
        file: CSV or CSV.gz.
        encoding: the declared encoding.
    """
    with _open(file) as stream:
        start = stream.read(_HEAD_BYTES)
    is_utf_16 = _looks_like_utf_16(start)
    if is_utf_16 and (start.startswith(codecs.BOM_UTF16_BE) or start[:1] == b"\0"):
        return f"{file}: is encoded in big-endian UTF-16, which is not read. Save it as UTF-8."
    if is_utf_16 and encoding != "utf-16":
        return (
            f"{file}: is encoded in UTF-16, not in {encoding.upper()}. Declare encoding = "
            '"utf-16" in cohort.toml, or save the file as UTF-8.'
        )
    if not is_utf_16 and encoding == "utf-16" and start:
        return (
            f"{file}: is not encoded in UTF-16, which cohort.toml declares. Correct encoding, or "
            "remove it if the file is UTF-8."
        )
    return None


def _looks_like_utf_16(start: bytes) -> bool:
    zeros = start.count(0) > len(start) / 4  # of Latin letters, every second byte
    return start.startswith(_UTF_16_MARKS) or zeros


def is_utf_8_read_as_latin_1(file: Path, encoding: str) -> bool:
    """Return True for a file that is declared as Latin-1 and has letters encoded in UTF-8."""
    if encoding != "latin-1":
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_ascii = True
    try:
        for chunk in _chunks(file):
            is_ascii = is_ascii and chunk.isascii()
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return not is_ascii


def csv_problem(file: Path, encoding: str) -> str | None:
    """Return what is wrong with a CSV file: its encoding, a line's cells, a quote or line ends.

    Args:
        file: CSV or CSV.gz.
        encoding: the declared encoding.

    Returns:
        One sentence and what to do; None if the file has none of these problems.
    """
    return (
        head_problem(file, encoding)
        or _encoding_problem(file, encoding)
        or _cell_problem(file, read_dialect(file, encoding))
        or _line_end_problem(file, encoding)
    )


@contextmanager
def _open(file: Path) -> Iterator[Any]:
    """Open the content of a CSV file.

    Raises:
        DataError: the file is no complete gzip file.
    """
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        try:
            yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise DataError(
                f"{file}: is no complete gzip file. Get the file again.", code="CS-D003"
            ) from None


def _chunks(file: Path) -> Iterator[bytes]:
    with _open(file) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _encoding_problem(file: Path, encoding: str) -> str | None:
    decoder = codecs.getincrementaldecoder(text_codec(file, encoding))()
    lines = 1
    try:
        for chunk in _chunks(file):
            text = decoder.decode(chunk)
            if encoding == "latin-1" and (found := _WINDOWS_LETTER.search(text)):
                line = lines + text.count("\n", 0, found.start())
                return (
                    f"{file}: line {line} has a letter of Windows-1252, such as a euro sign or a "
                    "dash, that Latin-1 lacks. Save it as UTF-8, for example by `iconv -f "
                    "WINDOWS-1252 -t UTF-8`, and remove its encoding from cohort.toml."
                )
            lines += text.count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = lines + error.object[: error.start].count(b"\n")
        return (
            f"{file}: line {line} is not encoded in {encoding.upper()}. If the file is Latin-1, "
            'declare encoding = "latin-1" at the top of cohort.toml, before the first [table]. If '
            "it is from Windows, save it as UTF-8, for example by `iconv -f WINDOWS-1252 -t UTF-8`."
        )
    return None


def _cell_problem(file: Path, dialect: Dialect) -> str | None:
    """Find the first row whose number of cells differs from the header's."""
    csv.field_size_limit(1 << 30)
    expected, first = 0, 1
    with _open(file) as stream:
        text = codecs.getreader(text_codec(file, dialect.encoding))(stream)
        reader = csv.reader(text, delimiter=dialect.delimiter, strict=True)
        try:
            for row in reader:
                last, number = reader.line_num, len(row)
                if row and not expected:
                    expected = number
                elif row and number != expected:
                    return (
                        f"{file}: line {first} has {_cells(number)} where the header has "
                        f"{expected}. " + _remedy(number, expected)
                    )
                if sum(map(len, row)) > _LONGEST_ROW:
                    return (
                        f"{file}: the row that begins in line {first} is longer than 2 MB. If it "
                        "is not one row, a stray quote has joined several: double or remove it."
                    )
                first = last + 1
        except csv.Error:
            return (
                f"{file}: a quote that opens in line {first} is not closed properly. Double or "
                "remove the quotes inside cells."
            )
    return None


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


def _remedy(number: int, expected: int) -> str:
    if expected == 1:
        return "If the first line is a title, remove it; the header comes first."
    if number == 1:
        return "If it is a footer or a remark, remove the line."
    if number > expected:
        return "Quote cells that hold the delimiter, or remove the cell."
    return "Complete or remove the line."


def _line_end_problem(file: Path, encoding: str) -> str | None:
    decoder = codecs.getincrementaldecoder(text_codec(file, encoding))()
    counts = {"CRLF": 0, "LF": 0, "CR": 0}
    last = ""
    for chunk in _chunks(file):
        text = last + decoder.decode(chunk)
        last = text[-1:] if text.endswith("\r") else ""
        text = text[: len(text) - len(last)]
        both = text.count("\r\n")
        counts["CRLF"] += both
        counts["LF"] += text.count("\n") - both
        counts["CR"] += text.count("\r") - both
    kinds = [kind for kind, count in counts.items() if count]
    if len(kinds) < 2:
        return None
    return f"{file}: lines end in {' and in '.join(kinds)}. Save it with one kind of line end."
