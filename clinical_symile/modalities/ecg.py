"""Read 12-lead ECGs as ten seconds of microvolts with leads in a fixed order."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int16

from clinical_symile.modalities._dead_time import (
    has_zeros_in_a_lead,
    lost_stretches,
    recorded_range,
)
from clinical_symile.modalities._ecg_format import DURATION_S, LEADS, SAMPLING_RATE_HZ
from clinical_symile.modalities.base import (
    Note,
    Rejected,
    file_columns,
    ignore_note,
    is_empty,
    recorded_file,
)
from clinical_symile.modalities.waveform_files.array_file import ArrayLayout
from clinical_symile.modalities.waveform_files.base import Waveform
from clinical_symile.modalities.waveform_files.detect import open_waveform

_MIN_SAMPLING_RATE_HZ = 100
_MAX_DENOMINATOR = 2500  # of the ratio of rates: off by less than one time point in ten seconds
_SEARCHED_S = 120  # longer recordings are cropped before padding is looked for
_MIN_DURATION_S = 1  # smallest value of shortest_s

# The swing is the range of 99.8 % of a lead's values, as the median over leads. Real recordings
# have 0.5 to 3 mV. Beyond the possible swing the unit or gain is wrong.
_POSSIBLE_SWING_MV = (0.02, 20.0)
_USUAL_SWING_MV = (0.2, 3.0)
_MAX_USUAL_MV = 7  # more comes from a lead that falls off, not from a heart
# Root mean square of a limb-lead rule's residual, relative to that of the largest limb lead.
_MAX_LIMB_RESIDUAL = 0.3

_TIMES = SAMPLING_RATE_HZ * DURATION_S
_LIMB = {  # weights of I, II, III, aVR, aVL, aVF whose sum is zero
    "I + III = II": (1, -1, 1, 0, 0, 0),
    "aVR = -(I + II) / 2": (0.5, 0.5, 0, 1, 0, 0),
    "aVL = (I - III) / 2": (-0.5, 0, 0.5, 0, 1, 0),
    "aVF = (II + III) / 2": (0, -0.5, -0.5, 0, 0, 1),
}


class Ecg:
    """Adapter of 12-lead ECGs: ten seconds at 500 Hz, leads ordered by name.

    It stores microvolts, without loss for a resolution of 1 µV or coarser. The defaults are those
    of Symile-MIMIC: the first ten seconds, nothing shorter, no gap, and a single flat lead is kept.

    Args:
        folder: folder of the cohort; not read.
        path: pattern of the recording under the source folder, with columns in braces: a DICOM
            waveform, a WFDB record with or without its extension, XML, SCP, HDF5 or NumPy.
        longer: the part of a longer recording that is stored: its `first` ten seconds, its
            `middle`, or none (`refused`).
        shortest_s: shorter recordings are refused; those below ten seconds are padded at their end
            with the median of each lead.
        gap_s: longest gap of a lead that is filled by a straight line; a longer gap is refused.
        flat_leads: leads without any change are `kept`; or `masked`, which stores zeros for them
            and for leads that are missing; or the recording is `refused`.
        limb_leads: limb leads that contradict each other are `noted`, or the recording is
            `refused`.
        array_id: column of the sample's row with the recording's id in an HDF5 or NumPy file of
            many; empty for files of one recording.
        array_values: name of the array of values in such a file.
        array_ids: name of the array of ids.
        array_leads: names of the leads, in the order of the array.
        array_rate_hz: sampling rate of the array.
        array_unit: unit of the array: V, mV, uV or nV.
    """

    display_name = "ECG"

    dtype = "int16"
    unit = "uV"
    encoder = "resnet1d"
    axes = ("lead", "time")
    sampling_rate_hz = SAMPLING_RATE_HZ
    unrecorded = 0  # as `masked` stores a lead that is missing

    def __init__(
        self,
        folder: Path,
        *,
        path: str,
        longer: str = "first",
        shortest_s: int | float = DURATION_S,
        gap_s: int | float = 0,
        flat_leads: str = "kept",
        limb_leads: str = "noted",
        array_id: str = "",
        array_values: str = "tracings",
        array_ids: str = "exam_id",
        array_leads: Sequence[str] = (),
        array_rate_hz: int | float = 0,
        array_unit: str = "",
    ):
        _check_word("longer", longer, _LONGER_RULES)
        _check_word("flat_leads", flat_leads, _FLAT_LEAD_RULES)
        _check_word("limb_leads", limb_leads, _LIMB_LEAD_RULES)
        _check_number("shortest_s", shortest_s, _MIN_DURATION_S)
        _check_number("gap_s", gap_s, 0)
        self.path = path
        self.shortest_s, self.gap_s = shortest_s, gap_s
        self._first = _LONGER_RULES[longer]
        self._on_flat_leads = _FLAT_LEAD_RULES[flat_leads]
        self._on_limb_leads = _LIMB_LEAD_RULES[limb_leads]
        self.shape = (len(LEADS), _TIMES)
        self.parts = LEADS
        self.columns = (*file_columns(path), *([array_id] if array_id else []))
        self._array_id = array_id
        self._layout = ArrayLayout(
            values=array_values,
            ids=array_ids,
            leads=tuple(array_leads),
            sampling_rate_hz=float(array_rate_hz),
            unit=array_unit,
        )
        self.named_by = self.columns
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> Int16[np.ndarray, "lead time"] | None:
        """Read the sample's ECG.

        Notes: `leads-derived`, `cropped`, `padded`, `padding-removed`, `hole`, `resampled`,
        `gap-filled`, `flat-leads`, `amplitude`, `artefact`, `limb-leads`, `checksum-unknown`,
        `partly-read`.

        Raises:
            Rejected: `file-missing`, `not-readable`, `checksum`, `too-large`, `leads-missing`,
                `decoder-missing`, `not-in-array`,
                `leads-repeated`, `unit`, `sampling-rate`, `too-short`, `too-long`, `nan`,
                `all-zero`, `flat`, `flat-leads`, `limb-leads` or `amplitude`.
        """
        file = recorded_file(self.path, row, root)
        recording = row[self._array_id] if self._array_id else ""
        if file is None or (self._array_id and is_empty(recording)):
            return None
        layout = replace(self._layout, recording=str(recording))
        waveform = open_waveform(file, seconds=DURATION_S, layout=layout)
        for word in waveform.notes:
            note(word)
        if waveform.needs_derived_leads():
            waveform = waveform.with_derived_leads()
            note("leads-derived")
        signal, rate = self._taken(waveform, note)
        lost, doubtful = lost_stretches(signal, rate)
        for first, end in lost:
            signal[:, first:end] = np.nan
        if doubtful or has_zeros_in_a_lead(signal, rate):
            note("hole")
        signal = _filled(signal, longest=self.gap_s, rate=rate, note=note)
        flat = np.isnan(signal[:, 0]) | (signal == signal[:, :1]).all(axis=1)
        if flat.all():
            raise _flat_verdict(signal)
        if flat.any():
            self._on_flat_leads(signal, flat)
            note("flat-leads")
        _check_amplitude(signal[~flat], note)
        if wrong := _limb_fault(signal, flat):
            self._on_limb_leads(wrong)
            note("limb-leads")
        return _microvolts(_padded(_resampled(signal, rate=rate, note=note), note))

    def _taken(self, waveform: Waveform, note: Note) -> tuple[Float[np.ndarray, "lead t"], float]:
        """Return the part of a recording that is stored, in millivolts, and its sampling rate."""
        waveform.order(LEADS)
        rate, times = waveform.sampling_rate_hz, waveform.times
        if rate < _MIN_SAMPLING_RATE_HZ:
            raise Rejected(
                "sampling-rate", f"{rate:g} Hz; expected {_MIN_SAMPLING_RATE_HZ} Hz or more"
            )
        wanted, shortest_s = math.ceil(rate * DURATION_S), min(self.shortest_s, DURATION_S)
        if times < math.floor(rate * shortest_s):
            raise Rejected("too-short", f"{times / rate:.3g} s; expected {shortest_s:g} s")
        if times > rate * _SEARCHED_S:
            first = self._first(times, wanted)
            note("cropped")
            return waveform.millivolts(LEADS, first, first + wanted), rate
        signal = waveform.millivolts(LEADS, 0, times)
        start, end = recorded_range(signal, rate)
        if end - start < times:
            note("padding-removed")
            if end - start < math.floor(rate * shortest_s):
                raise Rejected(
                    "too-short",
                    f"{(end - start) / rate:.3g} s, and no lead changes before or after; expected "
                    f"{shortest_s:g} s",
                )
        signal = signal[:, start:end]
        if signal.shape[1] > wanted:
            first = self._first(signal.shape[1], wanted)
            note("cropped")
            signal = signal[:, first : first + wanted]
        return signal, rate

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return the standard deviation per lead, in mV, over the samples that have it; else 1.

        A lead that is zero throughout counts as missing.
        """
        count, total, squares = ([0] * len(LEADS) for _ in range(3))
        for part in parts:
            for lead in range(len(LEADS)):  # sums of integers: the same in whatever parts
                values = part[:, lead].astype(np.int64)
                values = values[values.any(axis=1)]
                count[lead] += values.size
                total[lead] += int(values.sum())
                squares[lead] += int((values * values).sum())
        variances = [
            Fraction(square * n - sum_ * sum_, n * n) if n else Fraction(0)
            for n, sum_, square in zip(count, total, squares, strict=True)
        ]
        return {"sd_mv": [float(v) ** 0.5 / 1000 if v else 1.0 for v in variances]}

    @staticmethod
    def transform(
        measurements: Int16[np.ndarray, "sample lead time"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample lead time"]:
        """Divide millivolts by the train standard deviation of each lead."""
        return measurements.astype(np.float32) / Ecg.divisor(statistics)

    @staticmethod
    def divisor(statistics: Mapping[str, Any]) -> Float[np.ndarray, "lead 1"]:
        """Return the train standard deviation of each lead, in microvolts."""
        sd = np.asarray(statistics["sd_mv"], dtype=np.float32)
        return np.float32(1000) * sd[:, None]


def _start(times: int, wanted: int) -> int:
    return 0


def _middle(times: int, wanted: int) -> int:
    return (times - wanted) // 2


def _refuse_longer(times: int, wanted: int) -> int:
    raise Rejected("too-long", f"longer than {DURATION_S} s, which this cohort refuses")


def _keep_flat(signal: Float[np.ndarray, "lead t"], flat: Bool[np.ndarray, " lead"]) -> None:
    if np.isnan(signal).any():
        raise Rejected("nan", f"{_named(np.isnan(signal[:, 0]))} not recorded")


def _mask_flat(signal: Float[np.ndarray, "lead t"], flat: Bool[np.ndarray, " lead"]) -> None:
    signal[flat] = 0


def _refuse_flat(signal: Float[np.ndarray, "lead t"], flat: Bool[np.ndarray, " lead"]) -> None:
    raise Rejected("flat-leads", f"{_named(flat)} without any change")


def _keep_limb(wrong: str) -> None:
    del wrong


def _refuse_limb(wrong: str) -> None:
    raise Rejected("limb-leads", f"{wrong} does not hold; check the names of the leads")


_LONGER_RULES = {"first": _start, "middle": _middle, "refused": _refuse_longer}
_FLAT_LEAD_RULES = {"kept": _keep_flat, "masked": _mask_flat, "refused": _refuse_flat}
_LIMB_LEAD_RULES = {"noted": _keep_limb, "refused": _refuse_limb}


def _check_word(name: str, word: str, words: Mapping[str, Any]) -> None:
    if word not in words:
        raise ValueError(f"{name} is {word!r}; expected {', '.join(words)}")


def _check_number(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise ValueError(f"{name} is {value!r}; expected {least} or more")


def _named(which: Bool[np.ndarray, " lead"]) -> str:
    return ", ".join(lead for lead, one in zip(LEADS, which, strict=True) if one)


def _filled(
    signal: Float[np.ndarray, "lead t"], *, longest: int | float, rate: float, note: Note
) -> Float[np.ndarray, "lead t"]:
    """Fill short gaps by a straight line; leave a lead without any value unchanged."""
    gaps = ~np.isfinite(signal)
    signal[gaps] = np.nan
    part = gaps.any(axis=1) & ~gaps.all(axis=1)
    for lead in np.flatnonzero(part):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], gaps[lead].view(np.int8), [0]])))
        seconds = (edges[1::2] - edges[::2]).max() / rate
        if seconds > longest:
            raise Rejected(
                "nan", f"{seconds:.3g} s of {LEADS[lead]} not recorded; expected {longest:g} s"
            )
        known = np.flatnonzero(~gaps[lead])
        signal[lead] = np.interp(np.arange(signal.shape[1]), known, signal[lead, known])
    if part.any():
        note("gap-filled")
    return signal


def _flat_verdict(signal: Float[np.ndarray, "lead t"]) -> Rejected:
    if np.isnan(signal).all():
        return Rejected("nan", "no lead was recorded")
    return Rejected("flat" if np.nan_to_num(signal).any() else "all-zero", "no lead ever changes")


def _check_amplitude(signal: Float[np.ndarray, "lead t"], note: Note) -> None:
    """Refuse a swing that is far too large or small; note an unusual one."""
    low, high = np.quantile(signal, [0.001, 0.999], axis=1)
    swing = float(np.median(high - low))
    if not _POSSIBLE_SWING_MV[0] <= swing <= _POSSIBLE_SWING_MV[1]:
        raise Rejected(
            "amplitude",
            f"leads swing by less than {_POSSIBLE_SWING_MV[0]} or more than "
            f"{_POSSIBLE_SWING_MV[1]} mV; check unit and gain",
        )
    if not _USUAL_SWING_MV[0] <= swing <= _USUAL_SWING_MV[1]:
        note("amplitude")
    if np.abs(signal).max() > _MAX_USUAL_MV:
        note("artefact")


def _limb_fault(signal: Float[np.ndarray, "lead t"], flat: Bool[np.ndarray, " lead"]) -> str:
    """Return the first rule that the limb leads violate, or an empty text; skip flat leads."""
    limb = signal[:6] - np.median(signal[:6], axis=1, keepdims=True)
    largest = max(np.sqrt((lead**2).mean()) for lead in limb)
    for rule, weights in _LIMB.items():
        if flat[:6][np.array(weights) != 0].any():
            continue
        residual = np.sqrt(((np.array(weights) @ limb) ** 2).mean())
        if residual > _MAX_LIMB_RESIDUAL * largest:
            return rule
    return ""


def _resampled(
    signal: Float[np.ndarray, "lead t"], *, rate: float, note: Note
) -> Float[np.ndarray, "lead time"]:
    if rate == SAMPLING_RATE_HZ:
        return signal
    from scipy.signal import resample_poly  # here: most recordings do not need it

    note("resampled")
    ratio = Fraction(SAMPLING_RATE_HZ / rate).limit_denominator(_MAX_DENOMINATOR)
    signal = resample_poly(signal, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    return signal[:, :_TIMES]


def _padded(signal: Float[np.ndarray, "lead t"], note: Note) -> Float[np.ndarray, "lead time"]:
    missing = _TIMES - signal.shape[1]
    if not missing:
        return signal
    note("padded")
    rest = np.repeat(np.median(signal, axis=1, keepdims=True), missing, axis=1)
    return np.concatenate([signal, rest], axis=1)


def _microvolts(signal: Float[np.ndarray, "lead time"]) -> Int16[np.ndarray, "lead time"]:
    microvolts, limit = np.rint(signal * 1000), np.iinfo(np.int16).max
    if np.abs(microvolts).max() > limit:
        raise Rejected("amplitude", f"beyond {limit / 1000} mV; check the gain")
    return microvolts.astype(np.int16)
