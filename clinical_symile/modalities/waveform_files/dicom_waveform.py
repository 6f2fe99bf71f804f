"""Read the rhythm of a DICOM waveform."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.modalities.base import (
    MAX_FILE_BYTES,
    Rejected,
    check_inflated_size,
    decoder_verdict,
    is_file_error,
)
from clinical_symile.modalities.waveform_files.base import Waveform, lead_name

# Lead codes of ISO/IEEE 11073-10102, which SCP-ECG and MDC share.
_LEAD_CODES = {1: "i", 2: "ii", **{n: f"v{n - 2}" for n in range(3, 9)}} | {
    **{61: "iii", 62: "avr", 63: "avl", 64: "avf"}
}
# A code as SCP-ECG writes it (5.6.3-9-61), as MDC does (2:61), or as partition 2 in 32 bits.
_CODE = re.compile(r"(?:5\.6\.3-9-|2:{1,2})0*(\d{1,3})")
_MDC_PARTITION = 2 * 65536
_MDC_CODES = 256  # codes above are other things than leads


def open_dicom_waveform(file: Path) -> Waveform:
    """Open the longest group of a DICOM waveform: other groups hold averaged beats.

    Raises:
        Rejected: `not-readable`, `too-large` or `sampling-rate`.
    """
    import pydicom  # here: a cohort of WFDB records does not need it
    from pydicom.waveforms.numpy_handler import multiplex_array

    if file.stat().st_size > MAX_FILE_BYTES:
        raise Rejected("too-large", f"expected a file of at most {MAX_FILE_BYTES} bytes")
    try:
        check_inflated_size(file)
        dataset = pydicom.dcmread(file)
        groups = list(dataset.get("WaveformSequence") or [])
        if not groups:
            raise Rejected("not-readable", "the DICOM holds no waveform")
        place = max(range(len(groups)), key=lambda n: groups[n].NumberOfWaveformSamples)
        group = groups[place]
        channels = list(group.ChannelDefinitionSequence)
        values = np.asarray(multiplex_array(dataset, place, as_raw=False), dtype=np.float64)
        padding = bytes(group.get("WaveformPaddingValue") or b"")
        raw = multiplex_array(dataset, place, as_raw=True)
        if len(padding) == raw.dtype.itemsize:
            values[raw == np.frombuffer(padding, dtype=raw.dtype)[0]] = np.nan
        units = [_unit(channel) for channel in channels]
        names = [_lead(channel) for channel in channels]
        rate = float(group.SamplingFrequency)
    except Rejected:
        raise
    except Exception as error:  # whatever a broken DICOM makes pydicom raise
        if is_file_error(error):
            raise
        raise decoder_verdict("pydicom", error) from None
    if len(names) != values.shape[1]:
        raise Rejected(
            "not-readable",
            f"{values.shape[1]} channels, of which {len(names)} are described; expected all",
        )
    return Waveform(
        names=names,
        units=units,
        sampling_rate_hz=rate,
        times=len(values),
        load=lambda first, last: values[first:last],
    )


def _lead(channel: Any) -> str:
    """Return a channel's lead by its code, or by its text where there is no code of a lead."""
    sources = channel.get("ChannelSourceSequence") or [{}]
    code, meaning = str(sources[0].get("CodeValue", "")), str(sources[0].get("CodeMeaning") or "")
    if "ECG_LEAD" in code.upper():
        return lead_name(code)
    number = _CODE.fullmatch(code.strip())
    if number:
        return _LEAD_CODES.get(int(number[1]), code)
    if code.isdigit() and 0 < int(code) - _MDC_PARTITION < _MDC_CODES:
        return _LEAD_CODES.get(int(code) - _MDC_PARTITION, code)
    return lead_name(meaning or str(channel.get("ChannelLabel") or code))


def _unit(channel: Any) -> str:
    """The unit; without a positive sensitivity the values are counts, which are no unit."""
    units = channel.get("ChannelSensitivityUnitsSequence")
    sensitivity = channel.get("ChannelSensitivity")
    if sensitivity is None or not units:
        return "count"
    factor = channel.get("ChannelSensitivityCorrectionFactor")
    scale = float(sensitivity) * (1.0 if factor is None else float(factor))
    if not (math.isfinite(scale) and scale > 0):
        return "not calibrated (sensitivity not positive)"
    return str(units[0].CodeValue)
