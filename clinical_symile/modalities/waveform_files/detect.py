"""Open an ECG file in whatever format its content shows."""

from pathlib import Path

from clinical_symile.modalities.base import Rejected, file_exists, is_dicom
from clinical_symile.modalities.waveform_files.base import Waveform
from clinical_symile.modalities.waveform_files.dicom_waveform import open_dicom_waveform
from clinical_symile.modalities.waveform_files.wfdb_record import open_wfdb

_WFDB_SUFFIXES = (".hea", ".dat", ".mat")
_EXPECTED_FORMATS = "WFDB (.hea with .dat or .mat) and DICOM"


def open_waveform(file: Path, *, seconds: int | float) -> Waveform:
    """Open a recording.

    Args:
        file: the file; for WFDB with or without its extension.
        seconds: the duration that is needed; a very long recording is loaded only so far.

    Raises:
        Rejected: `file-missing`, `not-readable`, `checksum`, `sampling-rate` or `unit`.
    """
    exists = file_exists(file)
    if exists and is_dicom(file):
        return open_dicom_waveform(file)
    stem = file.with_suffix("") if file.suffix.lower() in _WFDB_SUFFIXES else file
    if exists and not file_exists(stem.with_name(stem.name + ".hea")):
        return _open_single_file(file)
    return open_wfdb(stem, seconds)


def _open_single_file(file: Path) -> Waveform:
    """Open a file that is no WFDB record and no DICOM."""
    if file.suffix.lower() in _WFDB_SUFFIXES:
        raise Rejected("file-missing", "no such header (.hea)")
    suffix = file.suffix[1:9].upper() or "a file without extension"
    raise Rejected(
        "not-readable",
        f"{suffix} is no format of ECGs that is read; expected {_EXPECTED_FORMATS}; "
        "convert the file",
    )
