"""Open waveform files, WFDB or DICOM, as leads by name in millivolts."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from clinical_symile.modalities.base import Rejected, file_exists, is_dicom, is_file_error

LONG_RECORDING_BYTES = 50_000_000  # larger signal files are read in part

_MILLIVOLTS_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
# SCP-ECG lead codes, which some carts write into DICOM beside or instead of a name.
_SCP_LEADS = {1: "i", 2: "ii", **{n: f"v{n - 2}" for n in range(3, 9)}} | {
    61: "iii",
    62: "avr",
    63: "avl",
    64: "avf",
}


@dataclass(frozen=True, eq=False)
class Waveform:
    """An open recording.

    Attributes:
        names: names of its leads, as spelled by `lead_name`.
        units: unit of each lead.
        sampling_rate_hz: sampling rate of all leads.
        times: number of time points.
        load: returns the values of all leads in a range of time points, in their units, with NaN
            in gaps.
    """

    names: Sequence[str]
    units: Sequence[str]
    sampling_rate_hz: float
    times: int
    load: Callable[[int, int], Float[np.ndarray, "time lead"]]

    def order(self, leads: Sequence[str]) -> list[int]:
        """Return the index of each of `leads`.

        Raises:
            Rejected: `leads-missing` or `leads-repeated`.
        """
        counts = Counter(self.names)
        missing = [lead for lead in leads if not counts[lead.lower()]]
        if missing:
            raise Rejected(
                "leads-missing", f"no {', '.join(missing)}; expected the {len(leads)} leads"
            )
        repeated = [lead for lead in leads if counts[lead.lower()] > 1]
        if repeated:
            raise Rejected("leads-repeated", f"{', '.join(repeated)} more than once; expected once")
        return [self.names.index(lead.lower()) for lead in leads]

    def millivolts(
        self, leads: Sequence[str], first: int, last: int
    ) -> Float[np.ndarray, "lead time"]:
        """Return some leads in millivolts, from time point `first` to before `last`.

        Raises:
            Rejected: `unit`, `leads-missing`, `leads-repeated` or `not-readable`.
        """
        order = self.order(leads)
        units = [self.units[place].strip() for place in order]
        unknown = sorted({unit for unit in units if unit.lower() not in _MILLIVOLTS_PER_UNIT})
        if unknown:
            raise Rejected("unit", f"'{', '.join(unknown)}'; expected V, mV, uV or nV")
        scale = np.array([_MILLIVOLTS_PER_UNIT[unit.lower()] for unit in units])
        return self.load(first, last).T[order].astype(np.float64) * scale[:, None]


def lead_name(text: str) -> str:
    """Return a lead's name in one spelling.

    >>> lead_name("MDC_ECG_LEAD_AVR"), lead_name("Lead I (Einthoven)"), lead_name(" ECG_V1 ")
    ('avr', 'i', 'v1')
    """
    name = re.sub(r"\(.*?\)", "", text).strip().lower()
    return re.sub(r"^(mdc[ _])?(ecg[ _])?(leads?[ _:-]*)?", "", name).strip()


def open_waveform(file: Path, *, seconds: int | float) -> Waveform:
    """Open a recording: DICOM, or the WFDB record of that name.

    Args:
        file: the file; for WFDB with or without its extension.
        seconds: the duration that is needed; a very long recording is read only so far.

    Raises:
        Rejected: `file-missing` or `not-readable`.
    """
    if file_exists(file) and is_dicom(file):
        return _open_dicom(file)
    return _open_wfdb(file, seconds)


def _open_wfdb(file: Path, seconds: int | float) -> Waveform:
    import wfdb  # here: it takes a second, and checking a cohort does not need it

    stem = file.with_suffix("") if file.suffix.lower() in (".hea", ".dat", ".mat") else file
    if not file_exists(stem.with_name(stem.name + ".hea")):
        raise Rejected("file-missing", "no such header (.hea)")
    signals = [stem.with_name(stem.name + extension) for extension in (".dat", ".mat")]
    if any(signal.exists() for signal in signals) and all(
        not signal.exists() or signal.stat().st_size < LONG_RECORDING_BYTES for signal in signals
    ):
        record = _wfdb(wfdb.rdrecord, stem)  # once: most of the time goes into the header
        return _wfdb_waveform(record, lambda first, last: record.p_signal[first:last])
    header = _wfdb(wfdb.rdheader, stem)
    if header.sig_name is None:  # a record of several segments, which name the leads
        whole = header.sig_len or 0
        part = min(whole, round(seconds * header.fs))
        record = _wfdb(wfdb.rdrecord, stem, sampto=part)
        header.sig_name, header.units = record.sig_name, record.units

    def load(first: int, last: int) -> np.ndarray:
        return _wfdb(wfdb.rdrecord, stem, sampfrom=first, sampto=last).p_signal

    return _wfdb_waveform(header, load)


def _wfdb(function: Callable[..., Any], stem: Path, **arguments: Any) -> Any:
    try:
        return function(str(stem), **arguments)
    except FileNotFoundError:
        raise Rejected("file-missing", "the header is there, its signal file is not") from None
    except Exception as error:  # whatever a broken header or signal file makes WFDB raise
        if is_file_error(error):
            raise
        raise Rejected("not-readable", f"wfdb: {type(error).__name__}") from None


def _wfdb_waveform(header: Any, load: Callable[[int, int], np.ndarray]) -> Waveform:
    if header.sig_len is None:
        raise Rejected("not-readable", "the header does not say how long the record is")
    return Waveform(
        names=[lead_name(name or "") for name in header.sig_name or []],
        units=[unit or "" for unit in header.units or []],
        sampling_rate_hz=float(header.fs),
        times=int(header.sig_len),
        load=load,
    )


def _open_dicom(file: Path) -> Waveform:
    """Open the longest group of a DICOM waveform: other groups hold averaged beats."""
    import pydicom  # here: a cohort of WFDB records does not need it
    from pydicom.waveforms.numpy_handler import multiplex_array

    try:
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
        units = [_dicom_unit(channel) for channel in channels]
        names = [_dicom_lead(channel) for channel in channels]
        rate = float(group.SamplingFrequency)
    except Rejected:
        raise
    except Exception as error:  # whatever a broken DICOM makes pydicom raise
        if is_file_error(error):
            raise
        raise Rejected("not-readable", f"pydicom: {type(error).__name__}") from None
    return Waveform(
        names=names,
        units=units,
        sampling_rate_hz=rate,
        times=len(values),
        load=lambda first, last: values[first:last],
    )


def _dicom_lead(channel: Any) -> str:
    source = channel.ChannelSourceSequence[0]
    scheme, code = str(source.get("CodingSchemeDesignator", "")), str(source.get("CodeValue", ""))
    scp = re.fullmatch(r"5\.6\.3-9-(\d+)", code)
    if scheme == "SCPECG" and scp:
        return _SCP_LEADS.get(int(scp[1]), code)
    if "ECG_LEAD" in code.upper():
        return lead_name(code)
    return lead_name(str(source.get("CodeMeaning") or channel.get("ChannelLabel") or code))


def _dicom_unit(channel: Any) -> str:
    """The unit; without a sensitivity the values are counts, which are no unit."""
    units = channel.get("ChannelSensitivityUnitsSequence")
    if channel.get("ChannelSensitivity") is None or not units:
        return "count"
    return str(units[0].CodeValue)
