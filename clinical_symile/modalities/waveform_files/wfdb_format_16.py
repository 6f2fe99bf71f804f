"""Read the plainest WFDB records without WFDB's reader: one file of 16-bit samples.

Most large ECG collections, such as MIMIC-IV-ECG and PTB-XL, hold nothing else, and WFDB's reader
spends nearly all of its time on their headers. A record that differs in any way is left to it, so
that no header is read in two ways.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from clinical_symile.modalities.base import file_exists

# A record line and a signal line of header(5) with every field, in digits that leave no doubt.
_RECORD = re.compile(
    r"[-\w]+ +(?P<signals>\d{1,4}) +(?P<rate>\d{1,6}) +(?P<times>\d{1,9})"
    r"(?: +(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?: +(?P<date>\d\d/\d\d/\d{4}))?)?",
    re.ASCII,
)
_SIGNAL = re.compile(
    r"^([-\w]+\.\w+) +16(?:x1)?(?:\+(\d{1,9}))?"  # file, byte offset
    r" +(\d{1,20}(?:\.\d{1,40})?)(?:\((-?\d{1,9})\))?/([A-Za-z]+)"  # gain, baseline, unit
    r" +\d{1,3} +(-?\d{1,9}) +(-?\d{1,9}) +(-?\d{1,9}) +\d{1,9}"  # zero, first sample, checksum
    r" +([!-~]+(?: [!-~]+)*)$",  # name
    re.ASCII | re.MULTILINE,
)
_MISSING = -32768  # the sample of format 16 that means no value
_SAMPLE = np.dtype("<i2")


@dataclass(frozen=True, eq=False, repr=False)
class Format16Record:
    """A record whose signals are in one file of 16-bit samples.

    Names are those of WFDB's records, so that both are held to their headers by the same code.

    Attributes:
        fs: sampling rate, in Hz.
        sig_name: name of each signal.
        units: unit of each signal.
        init_value: first sample of each signal, as the header states it.
        checksum: sum of the samples of each signal modulo 65536, as the header states it.
        first: first sample of each signal.
        sums: sum of the samples of each signal modulo 65536.
        counts: the samples.
        baseline: sample that stands for zero of each signal's unit.
        gain: samples per unit of each signal.
    """

    fs: float
    sig_name: list[str]
    units: list[str]
    init_value: list[int]
    checksum: list[int]
    first: list[list[int]]
    sums: list[int]
    counts: Int16[np.ndarray, "lead time"]
    baseline: Float[np.ndarray, " lead"]
    gain: Float[np.ndarray, " lead"]

    def load(self, first: int, last: int) -> Float[np.ndarray, "time lead"]:
        """Return the values of all signals, from time point `first` to before `last`."""
        return self.load_leads(list(range(len(self.gain))), first, last).T

    def load_leads(
        self, leads: Sequence[int], first: int, last: int
    ) -> Float[np.ndarray, "lead time"]:
        """Return some signals in their units, with NaN for samples that mean no value."""
        counts = self.counts[:, first:last][leads]
        values = counts.astype(np.float64)
        if self.baseline.any():
            values -= self.baseline[leads][:, None]
        values /= self.gain[leads][:, None]
        if counts.size and counts.min() == _MISSING:
            values[counts == _MISSING] = np.nan
        return values


def read_format_16(stem: Path, lines: Sequence[str], *, fewer_bytes: int) -> Format16Record | None:
    """Read a record if its header leaves no doubt; return None for one that WFDB must read.

    Args:
        stem: the record, without extension.
        lines: the lines of its header without comments.
        fewer_bytes: a signal file of as many bytes or more is left to WFDB.

    Raises:
        Rejected: `outside-source`.
    """
    record = _plain_record(lines)
    signals = _SIGNAL.findall("\n".join(lines[1:]))
    if record is None or not signals or len(signals) != len(lines) - 1:
        return None
    files, offsets, gains, baselines, units, zeros, initial, checksums, names = zip(
        *signals, strict=True
    )
    gain = np.array(gains, dtype=np.float64)
    if len(set(files)) > 1 or len(set(offsets)) > 1 or not gain.all():
        return None
    times = int(record["times"])
    if int(record["signals"]) != len(signals) or not times:
        return None
    shape, offset = (times, len(signals)), int(offsets[0] or 0)
    counts = _samples(stem.with_name(files[0]), offset, shape, fewer_bytes)
    if counts is None:
        return None
    # header(5): a baseline that is missing is the zero of the converter.
    baseline = [float(own or zero) for own, zero in zip(baselines, zeros, strict=True)]
    return Format16Record(
        fs=float(record["rate"]),
        sig_name=list(names),
        units=list(units),
        init_value=list(map(int, initial)),
        checksum=list(map(int, checksums)),
        first=[[value] for value in counts[:, 0].tolist()],
        sums=counts.sum(axis=1, dtype=np.int16).tolist(),  # numbers of 16 bits wrap around
        counts=counts,
        baseline=np.array(baseline),
        gain=gain,
    )


def _plain_record(lines: Sequence[str]) -> re.Match[str] | None:
    """Return the fields of the record line; None if WFDB must read it."""
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None or not int(record["rate"]):
        return None
    if record["date"]:
        day, month, year = map(int, record["date"].split("/"))
        try:
            date(year, month, day)
        except ValueError:
            return None
    return record


def _samples(
    file: Path, offset: int, shape: tuple[int, int], fewer_bytes: int
) -> Int16[np.ndarray, "lead time"] | None:
    """Return the samples of a file; None if it does not hold them all, or is long.

    Args:
        file: samples of all signals at the first time point, then at the next, and so on.
        offset: bytes before the first sample.
        shape: number of time points and of signals.
        fewer_bytes: see `read_format_16`.
    """
    if not file_exists(file):
        return None
    needed = shape[0] * shape[1] * _SAMPLE.itemsize
    with file.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size >= fewer_bytes or size < offset + needed:
            return None
        counts = np.empty(shape, dtype=_SAMPLE)
        stream.seek(offset)
        if stream.readinto(counts.data) != needed:  # pyright: ignore[reportArgumentType]
            return None
    return np.ascontiguousarray(counts.T)
