"""Open an ECG file in whatever format its content shows."""

from pathlib import Path

from clinical_symile.errors import DataError
from clinical_symile.modalities.base import (
    Rejected,
    decoder_verdict,
    file_exists,
    is_dicom,
    is_file_error,
)
from clinical_symile.modalities.waveform_files.array_file import (
    HDF5_BEGINS,
    NUMPY_BEGINS,
    ArrayLayout,
    open_array_file,
)
from clinical_symile.modalities.waveform_files.base import Waveform
from clinical_symile.modalities.waveform_files.dicom_waveform import open_dicom_waveform
from clinical_symile.modalities.waveform_files.vendor_file import is_vendor_file, open_vendor_file
from clinical_symile.modalities.waveform_files.wfdb_record import open_wfdb

_WFDB_SUFFIXES = (".hea", ".dat", ".mat")
_NO_LAYOUT = ArrayLayout()
_EXPECTED_FORMATS = "WFDB (.hea with .dat or .mat), DICOM, XML, SCP, HDF5 or NumPy"


def open_waveform(
    file: Path, *, seconds: int | float, layout: ArrayLayout | None = None
) -> Waveform:
    """Open a recording.

    Args:
        file: the file; for WFDB with or without its extension.
        seconds: the duration that is needed; of a very long recording only this much is loaded.
        layout: the statements of a cohort about arrays.

    Raises:
        Rejected: `file-missing`, `not-readable`, `decoder-missing`, `not-in-array`, `too-large`,
            `checksum`, `sampling-rate`, `leads-missing` or `unit`.
    """
    try:
        return _open(file, seconds, layout or _NO_LAYOUT)
    except (Rejected, DataError):
        raise
    except Exception as error:  # such as for a gain of 400 digits, which WFDB reads
        if is_file_error(error):
            raise
        raise decoder_verdict("the reader", error) from None


def _open(file: Path, seconds: int | float, layout: ArrayLayout) -> Waveform:
    exists = file_exists(file)
    if exists and is_dicom(file):
        return open_dicom_waveform(file)
    stem = file.with_suffix("") if file.suffix.lower() in _WFDB_SUFFIXES else file
    if exists and not file_exists(stem.with_name(stem.name + ".hea")):
        return _open_single_file(file, layout)
    return open_wfdb(stem, seconds)


def _open_single_file(file: Path, layout: ArrayLayout) -> Waveform:
    """Open a file that is no WFDB record and no DICOM."""
    if file.suffix.lower() in _WFDB_SUFFIXES:
        raise Rejected("file-missing", "no such header (.hea)")
    with file.open("rb") as stream:
        head = stream.read(32)
    if is_vendor_file(head):
        return open_vendor_file(file)
    if head.startswith((HDF5_BEGINS, *NUMPY_BEGINS)):
        return open_array_file(file, layout, is_hdf5=head.startswith(HDF5_BEGINS))
    suffix = file.suffix[1:9].upper() or "a file without extension"
    raise Rejected(
        "not-readable",
        f"{suffix} is no format of ECGs that is read; expected {_EXPECTED_FORMATS}; "
        "convert the file",
    )
