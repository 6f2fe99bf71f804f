"""What a modality must provide, and how one says that a recording is unusable."""

import errno
import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

# What the operating system says of a file's name or, as EINVAL of a seek, of its content.
OF_THE_FILE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.EINVAL,
)


Note = Callable[[str], None]


class Rejected(Exception):  # noqa: N818, a verdict rather than an error
    """A recording that exists, or should, and cannot be used.

    Args:
        reason: a word to count by, such as `file-missing`, `truncated` or `leads-missing`.
        detail: what was found and what was expected, never a value of a patient.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Modality(Protocol):
    """One kind of measurement: how it is read, and how it becomes an encoder's input.

    An adapter is made as `Adapter(folder, **arguments)`: the folder of the cohort, and what the
    cohort's table for this modality holds, which are keyword-only arguments. Nothing is inherited.

    One whose columns hold more than numbers and what names a recording has `named_by`, the columns
    that do: no others are told of a recording that is rejected.

    One that leaves out single values of a measurement also has `implausible(columns)`, which counts
    them by part: see `Labs`. One whose `transform` does nothing but divide stored numbers has
    `divisor(statistics)`, by what, so that it can be done on a GPU: see `Cxr`.

    Attributes:
        shape: of one stored measurement.
        dtype: of the stored array.
        unit: UCUM code of the stored numbers, or what stands for one.
        parts: names along the first axis of `shape`: the leads, the analytes.
        columns: what it reads of a sample's row.
        numbers: those of `columns` that must hold numbers.
        encoder: name of the encoder that reads it unless a task names another.
    """

    shape: tuple[int, ...]
    dtype: ClassVar[str]
    unit: ClassVar[str]
    parts: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    encoder: ClassVar[str]

    def read(self, row: Mapping[str, Any], root: Path, note: Note = ...) -> np.ndarray | None:
        """The measurement of one sample; None where none was made.

        Args:
            row: the sample's columns; None where there is no value.
            root: the source folder that file names start from.
            note: called with a word for whatever was done to a recording that is used, or is odd
                about it, such as `cropped`; they are counted.

        Raises:
            Rejected: there is a recording and it cannot be used.
            DataError: a file that holds many cannot be read: `prepare` stops, and says so.
        """
        ...

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Statistics, as JSON, that `transform` needs.

        Args:
            parts: stored measurements of training samples that have one, some at a time.
        """
        ...

    @staticmethod
    def transform(
        measurements: np.ndarray,
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Stored measurements, one or more or none, as float32 input of an encoder.

        Args:
            measurements: as stored, one per row.
            statistics: what `fit` said.
            generator: source of random changes, where the modality makes any.
        """
        ...


def ignore_note(word: str) -> None:
    """The note of whoever does not count them."""


def file_columns(pattern: str) -> tuple[str, ...]:
    """The columns in braces of a file pattern.

    >>> file_columns("mimic-iv-ecg/{ecg_path}")
    ('ecg_path',)
    """
    return tuple(field for _, field, _, _ in string.Formatter().parse(pattern) if field)


def recorded_file(pattern: str, row: Mapping[str, Any], root: Path) -> Path | None:
    """The file that a pattern names for one sample; None where a column of it is empty.

    Raises:
        Rejected: the name leads out of the source folder.
    """
    values = {column: row[column] for column in file_columns(pattern)}
    if any(is_empty(value) for value in values.values()):
        return None
    path = Path(pattern.format(**values))
    if path.is_absolute() or ".." in path.parts:
        raise Rejected("outside-source", "the file name leads out of the source folder")
    return root / path


def file_exists(file: Path) -> bool:
    """Whether there is a file of that name; there is none of a name that no file can have.

    Raises:
        OSError: it cannot be told, for want of permission or of a disk that answers.
    """
    try:
        return file.is_file()
    except OSError as error:
        if is_file_error(error):
            raise
        return False


def is_dicom(file: Path) -> bool:
    """Whether a file says that it is DICOM."""
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def is_file_error(error: Exception) -> bool:
    """Whether reading failed for want of permission, memory, handles or a disk that answers.

    The recording may be well, so this is no reason to reject it: it stops `prepare`, which goes on
    from there when the fault is mended.
    """
    if isinstance(error, OSError):
        return error.errno is not None and error.errno not in OF_THE_FILE
    return isinstance(error, MemoryError)


def is_empty(value: object) -> bool:
    """Whether a table's cell holds no value: null, NaN, or blank text."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())
