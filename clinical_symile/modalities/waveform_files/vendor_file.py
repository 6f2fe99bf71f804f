"""Read the files of ECG carts, XML (MUSE, HL7 aECG, Philips) and SCP-ECG, by ecgdatakit."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.modalities.base import Rejected, decoder_verdict, is_file_error
from clinical_symile.modalities.waveform_files.base import Waveform, lead_name

MAX_BYTES = 20_000_000  # of an ECG of some minutes; of more, XML takes gigabytes of memory
_EXPECTED = "expected XML of MUSE, HL7 aECG or Philips, or SCP-ECG; convert the file"
INSTALL_ECG_EXTRA = "pip install 'clinical-symile[ecg]'"


def is_vendor_file(head: bytes) -> bool:
    """Return True if a file begins like XML or SCP-ECG.

    Args:
        head: the first 32 bytes, or all of a shorter file.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")
    # SCP-ECG: section 0 follows the checksum and size of the record; its id is 0.
    is_scp = len(head) >= 32 and head[8:10] == b"\0\0" and head[16:22] in (b"SCPECG", bytes(6))
    return text.startswith(b"<") or is_scp


def open_vendor_file(file: Path) -> Waveform:
    """Open an ECG in XML or SCP-ECG.

    The library resolves no XML entity and opens no network connection. A wrong checksum of the file
    counts as an error.

    Raises:
        Rejected: `decoder-missing`, `not-readable`, `too-large`, `checksum` or `sampling-rate`.
    """
    try:
        from ecgdatakit import ChecksumWarning, FileParser
        from ecgdatakit.exceptions import UnsupportedFormatError
    except ImportError:
        raise Rejected(
            "decoder-missing", f"ECGs in XML or SCP need another package: {INSTALL_ECG_EXTRA}"
        ) from None
    if file.stat().st_size > MAX_BYTES:
        raise Rejected("too-large", f"expected a file of at most {MAX_BYTES} bytes")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            record = FileParser.parse(file, units="mV")
    except UnsupportedFormatError:
        raise Rejected("not-readable", f"is of an unknown form; {_EXPECTED}") from None
    except Exception as error:  # whatever a broken file makes the library raise
        if is_file_error(error):
            raise
        raise decoder_verdict("ecgdatakit", error) from None
    if any(issubclass(warning.category, ChecksumWarning) for warning in heard):
        raise Rejected("checksum", "a checksum in the file does not hold: it is damaged")
    return _waveform(record, is_partly_read=any(_is_partial(one) for one in heard))


def _is_partial(warning: warnings.WarningMessage) -> bool:
    """Return True for a warning of the library that it left a part of the recording out."""
    return "only the first is read" in str(warning.message)


def _waveform(record: Any, *, is_partly_read: bool) -> Waveform:
    leads = record.leads
    lengths, rates = ({len(lead.samples) for lead in leads}, {lead.sampling_rate for lead in leads})
    starts = {lead.annotations.get("start_sample", "1") for lead in leads}
    if len(lengths) != 1 or len(rates) != 1 or len(starts) != 1:
        raise Rejected("not-readable", "no leads of one start, one length and one sampling rate")
    values = np.stack([np.asarray(lead.samples, dtype=np.float64) for lead in leads], axis=1)
    return Waveform(
        # The library numbers repeated leads: II, II_2.
        names=[lead_name(re.sub(r"_\d+$", "", lead.label)) for lead in leads],
        units=[lead.units if lead.units and not lead.is_raw else "count" for lead in leads],
        sampling_rate_hz=_exact_rate(record.raw_metadata) or float(rates.pop()),
        times=lengths.pop(),
        load=lambda first, last: values[first:last],
        notes=("partly-read",) if is_partly_read else (),
    )


def _exact_rate(metadata: dict[str, Any]) -> float:
    """Return the sampling rate that SCP-ECG and aECG state by an interval; 0 for other formats.

    The library rounds it to a whole number.
    """
    interval_us = metadata.get("rhythm_sample_interval_us")
    if interval_us:
        return 1e6 / interval_us
    return float(metadata.get("rhythm_time", {}).get("sampling_rate_exact", 0))
