"""Read WFDB records, and hold each to the checksums and initial values of its header."""

import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.modalities.base import Rejected, decoder_verdict, file_exists, is_file_error
from clinical_symile.modalities.waveform_files.base import Waveform, lead_name
from clinical_symile.modalities.waveform_files.wfdb_format_16 import read_format_16

LONG_RECORDING_BYTES = 50_000_000  # larger signal files are read in part
_MAX_HEADER_BYTES = 1_000_000
_PART_SAMPLES = 4_000_000  # samples of all signals that are read together from a long recording

# Bytes per sample of each signal format of header(5); None where the signal is compressed.
_BYTES_PER_SAMPLE = {
    **{"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2},
    **{"212": 1.5, "310": 4 / 3, "311": 4 / 3, "508": None, "516": None, "524": None},
}
_MAX_COMPRESSION = 500  # samples per byte of a compressed signal file
_DEFAULT_RATE_HZ = 250.0  # header(5): where the record line names none
_CHECKSUM_MODULUS = 65536
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, eq=False)
class _Header:
    """The statements of a header file that WFDB's reader replaces by defaults.

    Attributes:
        lines: its lines without comments.
        segments: number of segments; 0 for a record that has signals of its own.
        signals: number of signals.
        sampling_rate_hz: sampling rate.
        times: number of time points; 0 where it is not specified.
        calibrated: True for each signal with a positive, finite gain.
    """

    lines: list[str]
    segments: int
    signals: int
    sampling_rate_hz: float
    times: int
    calibrated: list[bool]


def open_wfdb(stem: Path, seconds: int | float) -> Waveform:
    """Open a WFDB record.

    The samples must agree with the checksum and the initial value of each signal, where the header
    states them (WFDB Applications Guide, header(5)).

    Args:
        stem: the record, without extension.
        seconds: the duration that is needed; of a very long recording only this much is loaded.

    Raises:
        Rejected: `file-missing`, `not-readable`, `checksum`, `sampling-rate` or `unit`.
    """
    lines = _header_lines(stem)
    plain = read_format_16(stem, lines, fewer_bytes=LONG_RECORDING_BYTES)
    if plain is not None:
        notes = _check_statements(plain, plain.first, plain.sums)
        return Waveform(
            names=[lead_name(name) for name in plain.sig_name],
            units=plain.units,
            sampling_rate_hz=plain.fs,
            times=plain.counts.shape[1],
            load=plain.load,
            load_leads=plain.load_leads,
            notes=notes,
        )
    header = _parse_header(lines)
    return _open_segments(stem, header, seconds) if header.segments else _open_one(stem, header)


def _open_one(stem: Path, header: _Header) -> Waveform:
    """Open a record that has signals of its own."""
    import wfdb  # here: it takes a second, and checking a cohort does not need it

    signals = _signal_files(stem, header)
    _check_size(stem, header, signals)
    if not header.times:
        with _without_length(stem, header, signals) as plain:
            record = _wfdb(wfdb.rdrecord, plain, physical=False, smooth_frames=False)
        _check_initial_values(record, record.e_d_signal)
        return _loaded(record, header)
    if all(file.stat().st_size < LONG_RECORDING_BYTES for file in signals):
        # Once: most of the time goes into the header.
        record = _wfdb(wfdb.rdrecord, stem, physical=False, smooth_frames=False, ignore_skew=True)
        _check_rate(record, header)
        sums = [int(np.sum(values)) for values in record.e_d_signal]
        notes = _check_statements(record, record.e_d_signal, sums)
        if any(record.skew) or any(count != 1 for count in record.samps_per_frame):
            return replace(_loaded_smoothly(stem, header), notes=notes)
        return replace(_loaded(record, header), notes=notes)
    return _open_long(stem, header)


def _open_long(stem: Path, header: _Header) -> Waveform:
    """Open a long recording: check it in parts, and load the part that is asked for."""
    import wfdb

    described = _wfdb(wfdb.rdheader, stem)
    _check_rate(described, header)
    sums = np.zeros(header.signals, dtype=np.int64)
    begun: list[Any] = []
    for first, last in _parts(header.times, sum(described.samps_per_frame)):
        part = _wfdb(
            wfdb.rdrecord,
            stem,
            **{"sampfrom": first, "sampto": last, "physical": False, "smooth_frames": False},
            ignore_skew=True,
        )
        begun = begun or [values[:1].copy() for values in part.e_d_signal]
        sums += [int(np.sum(values)) for values in part.e_d_signal]
    notes = _check_statements(described, begun, sums.tolist())
    return replace(_described(described, header, _loader(stem)), notes=notes)


def _open_segments(stem: Path, header: _Header, seconds: int | float) -> Waveform:
    """Open a record of several segments; check each segment that is needed."""
    import wfdb

    described = _wfdb(wfdb.rdheader, stem)
    _check_rate(described, header)
    whole = described.sig_len or 0
    part = min(whole, round(seconds * header.sampling_rate_hz))
    begin = 0
    calibrated: dict[str, bool] = {}
    notes: dict[str, None] = {}
    for name, length in zip(described.seg_name, described.seg_len, strict=True):
        if begin >= part:
            break
        begin += length
        if name != "~" and length:
            part_header = _parse_header(_header_lines(stem.with_name(name)))
            if part_header.segments:
                raise Rejected("not-readable", "a segment that consists of segments")
            segment = _open_one(stem.with_name(name), part_header)
            notes |= dict.fromkeys(segment.notes)
            for lead, unit in zip(segment.names, segment.units, strict=True):
                calibrated[lead] = calibrated.get(lead, True) and unit != _UNCALIBRATED
    record = _wfdb(wfdb.rdrecord, stem, sampto=part)
    units = [
        unit if calibrated.get(lead_name(name or ""), True) else _UNCALIBRATED
        for name, unit in zip(record.sig_name, record.units, strict=True)
    ]
    opened = _waveform(record.sig_name, units, header.sampling_rate_hz, whole, _loader(stem))
    return replace(opened, notes=tuple(notes))


def _loader(stem: Path) -> Callable[[int, int], np.ndarray]:
    import wfdb

    def load(first: int, last: int) -> np.ndarray:
        return _wfdb(wfdb.rdrecord, stem, sampfrom=first, sampto=last).p_signal

    return load


def _parts(times: int, samples_per_time: int) -> Iterator[tuple[int, int]]:
    step = max(1, _PART_SAMPLES // max(1, samples_per_time))
    for first in range(0, times, step):
        yield first, min(first + step, times)


def _loaded(record: Any, header: _Header) -> Waveform:
    values = np.stack(record.dac(expanded=True), axis=1)
    return _described(record, header, lambda first, last: values[first:last], times=len(values))


def _loaded_smoothly(stem: Path, header: _Header) -> Waveform:
    """Read a record whose signals are skewed, or have several samples per time point."""
    import wfdb

    record = _wfdb(wfdb.rdrecord, stem)
    return _described(record, header, lambda first, last: record.p_signal[first:last])


_UNCALIBRATED = "not calibrated (gain 0 or missing)"


def _described(
    record: Any,
    header: _Header,
    load: Callable[[int, int], np.ndarray],
    *,
    times: int | None = None,
) -> Waveform:
    units = [
        (unit or "") if calibrated else _UNCALIBRATED
        for unit, calibrated in zip(record.units, header.calibrated, strict=True)
    ]
    length = header.times if times is None else times
    return _waveform(record.sig_name, units, header.sampling_rate_hz, length, load)


def _waveform(
    names: list[str | None],
    units: list[str],
    rate: float,
    times: int,
    load: Callable[[int, int], np.ndarray],
) -> Waveform:
    return Waveform(
        names=[lead_name(name or "") for name in names],
        units=units,
        sampling_rate_hz=rate,
        times=times,
        load=load,
    )


def _wfdb(function: Callable[..., Any], stem: Path, **arguments: Any) -> Any:
    try:
        return function(str(stem), **arguments)
    except FileNotFoundError:
        raise Rejected("file-missing", "the header is there, its signal file is not") from None
    except Exception as error:  # whatever a broken header or signal file makes WFDB raise
        if is_file_error(error):
            raise
        raise decoder_verdict("wfdb", error) from None


def _header_lines(stem: Path) -> list[str]:
    """Return the lines of a header without comments."""
    file = stem.with_name(stem.name + ".hea")
    if not file_exists(file):
        raise Rejected("file-missing", "no such header (.hea)")
    with file.open("rb", buffering=0) as stream:
        if os.fstat(stream.fileno()).st_size > _MAX_HEADER_BYTES:
            raise Rejected("not-readable", f"a header of more than {_MAX_HEADER_BYTES} bytes")
        text = stream.readall().decode("ascii", errors="ignore")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _parse_header(lines: list[str]) -> _Header:
    """Return what a header states, and refuse one that no recording can have."""
    words = lines[0].split() if lines else []
    if len(words) < 2 or not re.fullmatch(r"\d+", words[1]):
        raise Rejected("not-readable", "the first line of the header names no number of signals")
    name, _, segments = words[0].partition("/")
    del name
    if segments and not segments.isdigit():
        raise Rejected("not-readable", "the number of segments in the header is no number")
    expected, described = int(segments or words[1]), len(lines) - 1
    if not expected or expected != described:
        raise Rejected(
            "not-readable",
            f"the header announces {expected} {'segments' if segments else 'signals'} and "
            f"describes {described}; expected the same number, at least one",
        )
    rate = _rate(words[2]) if len(words) > 2 else _DEFAULT_RATE_HZ
    if len(words) > 3 and not words[3].isdigit():
        raise Rejected("not-readable", "the number of time points in the header is no number")
    times = int(words[3]) if len(words) > 3 else 0
    calibrated = [] if segments else [_gain(line) > 0 for line in lines[1:]]
    return _Header(lines, int(segments or 0), int(words[1]), rate, times, calibrated)


def _rate(word: str) -> float:
    number = re.match(rf"({_NUMBER}|[-+]?nan|[-+]?inf)(?=$|[/(])", word, re.IGNORECASE)
    rate = float(number[1]) if number else math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise Rejected("sampling-rate", "the header states no positive, finite sampling rate")
    return rate


def _gain(line: str) -> float:
    """Return the gain of a signal's line; 0 where there is none, or none that can be used.

    Raises:
        Rejected: `unit`: the gain is no number, so that WFDB would misread the rest of the line.
    """
    words = line.split()
    if len(words) < 3:
        return 0.0
    number = re.match(_NUMBER, words[2])
    if number is None:
        raise Rejected("unit", "a signal in the header has a gain that is no number")
    gain = float(number[0])
    return gain if math.isfinite(gain) else 0.0


def _signal_files(stem: Path, header: _Header) -> list[Path]:
    names = [line.split()[0] for line in header.lines[1:]]
    if any(Path(name).name != name for name in names):
        raise Rejected("not-readable", "the header names a signal file of another folder")
    files = [stem.with_name(name) for name in names]
    for file in files:
        if not file_exists(file):
            raise Rejected("file-missing", "the header is there, its signal file is not")
    return list(dict.fromkeys(files))


def _check_size(stem: Path, header: _Header, signals: list[Path]) -> None:
    """Refuse unknown formats, and a header that asks for more samples than its files can hold."""
    needed = dict.fromkeys(signals, 0.0)
    for line in header.lines[1:]:
        name, _, rest = (line + " ").partition(" ")
        word = (rest.split() or [""])[0]
        layout = re.fullmatch(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", word)
        if not layout:
            raise Rejected("not-readable", "a signal's format in the header is not readable")
        if layout[1] not in _BYTES_PER_SAMPLE:
            raise Rejected(
                "not-readable",
                f"signal format {layout[1][:8]}; formats that are read: "
                f"{', '.join(_BYTES_PER_SAMPLE)}",
            )
        size = _BYTES_PER_SAMPLE[layout[1]] or 1 / _MAX_COMPRESSION
        needed[stem.with_name(name)] += max(header.times, 1) * int(layout[2] or 1) * size
    for file, size in needed.items():
        if math.floor(size) > file.stat().st_size:
            raise Rejected(
                "not-readable",
                f"the header states more samples than its signal file of {file.stat().st_size} "
                "bytes can hold",
            )


@contextmanager
def _without_length(stem: Path, header: _Header, signals: list[Path]) -> Iterator[Path]:
    """Copy a header without the length 0, which means that it is not specified."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / stem.name
        first = " ".join(header.lines[0].split()[:3])
        text = "\n".join([first, *header.lines[1:]]) + "\n"
        record.with_name(stem.name + ".hea").write_text(text)
        for signal in signals:
            record.with_name(signal.name).symlink_to(signal.absolute())
        yield record


def _check_rate(record: Any, header: _Header) -> None:
    if float(record.fs) != header.sampling_rate_hz:
        raise Rejected("not-readable", "the sampling rate in the header is not readable")


def _check_initial_values(record: Any, signals: list[Any]) -> None:
    for lead, values, initial in zip(record.sig_name, signals, record.init_value, strict=True):
        if initial is not None and len(values) and int(values[0]) != initial:
            _raise_mismatch(lead, "first sample", "initial value")


def _check_statements(record: Any, signals: list[Any], sums: list[int]) -> tuple[str, ...]:
    """Hold signals to the initial values and checksums of their header; return notes.

    Some writers put 0 where they compute no checksum. If every signal states 0 and no sum is 0,
    the header states none, nor initial values where these are all 0 too.

    Raises:
        Rejected: `checksum`.
    """
    stated = [checksum for checksum in record.checksum if checksum is not None]
    is_placeholder = len(stated) > 1 and not any(stated)
    if is_placeholder and all(total % _CHECKSUM_MODULUS for total in sums):
        if any(record.init_value):
            _check_initial_values(record, signals)
        return ("checksum-unknown",)
    _check_initial_values(record, signals)
    for lead, total, checksum in zip(record.sig_name, sums, record.checksum, strict=True):
        if checksum is not None and (total - checksum) % _CHECKSUM_MODULUS:
            _raise_mismatch(lead, "samples", "checksum")
    return ()


def _raise_mismatch(lead: str | None, found: str, stated: str) -> None:
    raise Rejected(
        "checksum",
        f"the {found} of {lead_name(lead or '') or 'a signal'} disagree with the {stated} in the "
        "header: the signal file is damaged, or of another record",
    )
