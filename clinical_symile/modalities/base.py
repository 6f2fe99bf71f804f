"""Define the protocol of a modality adapter, and the verdict on an unusable recording."""

import errno
import os
import stat
import string
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

# Errors that a file's name causes or, for EINVAL of a seek, its content.
_FILE_ERRNOS = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.EINVAL,
)

# The folder that links of recordings must not leave, while `links_stay_inside` holds.
_SOURCE: ContextVar[Path | None] = ContextVar("source_folder", default=None)

MAX_FILE_BYTES = 500_000_000  # of one image or waveform
_BLOCK_BYTES = 1 << 20
_META_BYTES = 2048  # in which a DICOM names its transfer syntax
_DEFLATED = b"1.2.840.10008.1.2.1.99"

Note = Callable[[str], None]


class Rejected(Exception):  # noqa: N818, a verdict rather than an error
    """A recording that the tables list and that is not usable.

    Args:
        reason: a word to count by, such as `file-missing`, `truncated` or `leads-missing`.
        detail: what was found and what was expected; never a value of a patient.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class ValueSummary:
    """The values of one part of a modality in the tables, before a sample is left out.

    Attributes:
        part: the part, such as an analyte.
        column: its column.
        count: number of samples with a value.
        not_numbers: number of values that are not numbers.
        decimal_commas: number of these that have a decimal comma.
        unit_unknown: number of values whose unit cannot be converted.
        implausible: number of values beyond the plausible range.
        range_text: the plausible range with its unit.
        median: median of all numbers, in the unit of the range; None below ten numbers.
        likely_unit: the unit that the values seem to have; None if the stated unit may be right.
    """

    part: str
    column: str
    count: int
    not_numbers: int = 0
    decimal_commas: int = 0
    unit_unknown: int = 0
    implausible: int = 0
    range_text: str = ""
    median: float | None = None
    likely_unit: str | None = None


class Modality(Protocol):
    """Protocol of a modality adapter: read a measurement, and convert it into an encoder's input.

    An adapter is created as `Adapter(folder, **arguments)`: the folder of the cohort, and the keys
    of the cohort's table for this modality as keyword-only arguments. Nothing is inherited.

    Optional members:

    - `named_by`: the columns that name the recording, all of which must hold a value. Only they are
      reported for a rejected recording. Without it that is every column that is not in `numbers`.
      None at all, `()`, says that the measurement is in the row: the dry run then reads it.
    - `values`: the columns with the measurement itself, if it is in the row and not in a file. The
      row records the modality if any of them holds a value. Without it they are `numbers`, or all
      columns if there is no `named_by` either.
    - `check_row(row)`: raises `Rejected` for what the row alone shows, before a file is opened, so
      that the dry run counts it: see `Cxr`.
    - `summarize_values(read)`: yields a `ValueSummary` of each part: see `Labs`.
    - `implausible(columns)`: counts by part the single values that are stored as missing: see
      `Labs`.
    - `divisor(statistics)`: the divisor, if `transform` only divides stored numbers, so that a GPU
      can do it: see `Cxr`.
    - `decoding`: what sets this reading apart from the adapter's exact one, as JSON values: see
      `Cxr`. The store's manifest keeps it.
    - `unmeasured(statistics)`: the encoder's input where no part was measured, if single parts can
      be missing. Objectives that hide a part put this in its place: see `Labs`.
    - `axes` and `unrecorded`: the names of the axes of a stored measurement, and the stored number
      where nothing was recorded, for patterns within the modality. An axis `lead` has leads that
      can come off. The last axis `time`, with `sampling_rate_hz`, has segments, and the last axes
      `row` and `column` have regions. `transform` reads the number as not recorded: see `Ecg`.
    - `noise_scale(statistics)`: in stored units, what noise of 100 % stands for: see `Cxr`, `Labs`.

    Attributes:
        shape: shape of one stored measurement.
        dtype: dtype of the stored array.
        unit: UCUM code of the stored numbers, or a word for it.
        parts: names along the first axis of `shape`, such as leads or analytes.
        columns: the columns that it reads from a sample's row.
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
        """Return the measurement of one sample; None if the row records none.

        Args:
            row: the sample's columns; None where there is no value.
            root: the source folder, which file names start from.
            note: called with a word for each change to a usable recording, or each oddity of it,
                such as `cropped`; the words are counted.

        Raises:
            Rejected: the recording is not usable.
            DataError: a file that holds many recordings cannot be read: `prepare` stops.
        """
        ...

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return the statistics that `transform` needs, as JSON values.

        Args:
            parts: stored measurements of the train samples that have one, some at a time.
        """
        ...

    @staticmethod
    def transform(
        measurements: np.ndarray,
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Convert stored measurements into an encoder's float32 input.

        Args:
            measurements: stored measurements, one per row; may be empty.
            statistics: the result of `fit`.
            generator: random generator, for modalities with random changes.
        """
        ...


def ignore_note(word: str) -> None:
    """Discard a note."""


def file_columns(pattern: str) -> tuple[str, ...]:
    """Return the columns in braces of a file pattern.

    Examples:
        >>> file_columns("mimic-iv-ecg/{ecg_path}")
        ('ecg_path',)
    """
    return tuple(field for _, field, _, _ in string.Formatter().parse(pattern) if field)


def recorded_file(pattern: str, row: Mapping[str, Any], root: Path) -> Path | None:
    """Return the file that a pattern names for one sample; None if a column of it is empty.

    Raises:
        Rejected: `outside-source`.
    """
    values = {column: row[column] for column in file_columns(pattern)}
    if any(is_empty(value) for value in values.values()):
        return None
    path = Path(pattern.format(**values))
    if path.is_absolute() or ".." in path.parts:
        raise Rejected("outside-source", "the file name leads out of the source folder")
    return root / path


@contextmanager
def links_stay_inside(source: Path | None) -> Iterator[None]:
    """Refuse files that a symbolic link leads out of the source folder, while they are read.

    Args:
        source: the folder; None allows all links.
    """
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


def leads_outside(file: Path, folder: Path) -> bool:
    """Return True if a file below a folder is, by its links, a file outside of it."""
    below = Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder))  # noqa: PTH100
    return below and not file.resolve().is_relative_to(folder.resolve())


def file_exists(file: Path) -> bool:
    """Return True if the file exists; False for a name that no file can have.

    Raises:
        Rejected: `outside-source`, if `links_stay_inside` forbids the file.
        OSError: the disk does not answer, or permission is missing.
    """
    try:
        exists = stat.S_ISREG(os.stat(file).st_mode)  # noqa: PTH116, half the time of is_file
    except OSError as error:
        if is_file_error(error):
            raise
        return False
    except ValueError:  # a name with a null byte
        return False
    source = _SOURCE.get()
    if exists and source is not None and leads_outside(file, source):
        raise Rejected("outside-source", "a symbolic link leads out of the source folder")
    return exists


def is_dicom(file: Path) -> bool:
    """Return True if a file has the DICOM preamble."""
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def check_inflated_size(file: Path) -> None:
    """Refuse a DICOM of the deflated transfer syntax that unpacks to far more than it holds.

    The library unpacks such a file whole before it reads a tag (PS3.5, section A.5).

    Raises:
        Rejected: `too-large`.
    """
    with file.open("rb") as stream:
        head = stream.read(_META_BYTES)
        if head[128:132] != b"DICM" or _DEFLATED not in head:
            return
        stream.seek(144 + int.from_bytes(head[140:144], "little"))  # behind the meta information
        inflated, unpacker = 0, zlib.decompressobj(-zlib.MAX_WBITS)
        while block := unpacker.unconsumed_tail or stream.read(_BLOCK_BYTES):
            inflated += len(unpacker.decompress(block, _BLOCK_BYTES))
            if inflated > MAX_FILE_BYTES:
                raise Rejected("too-large", f"it unpacks to more than {MAX_FILE_BYTES} bytes")
            if unpacker.eof:
                return


def is_file_error(error: Exception) -> bool:
    """Return True if reading failed because of the machine: permission, handles, disk.

    The recording itself may be usable, so it is not rejected: `prepare` stops, and resumes there
    when the fault is fixed. `MemoryError` is a verdict on the recording: decoders raise it for
    sizes that a damaged header states.
    """
    return (
        isinstance(error, OSError) and error.errno is not None and error.errno not in _FILE_ERRNOS
    )


def decoder_verdict(library: str, error: Exception) -> Rejected:
    """Return the verdict on a recording that made a decoder raise `error`.

    Args:
        library: the library that decodes.
        error: any error that is not of the machine.
    """
    if isinstance(error, MemoryError):
        return Rejected("too-large", f"{library}: reading it asks for more memory than there is")
    return Rejected("not-readable", f"{library}: {type(error).__name__}")


def is_empty(value: object) -> bool:
    """Return True if a table's cell holds no value: null, NaN or blank text."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())
