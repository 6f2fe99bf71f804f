"""12-lead ECG: a recording to ten seconds of microvolts in a fixed order of leads."""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int16

from clinical_symile.modalities._waveform_io import Waveform, open_waveform
from clinical_symile.modalities.base import (
    Note,
    Rejected,
    file_columns,
    ignore_note,
    recorded_file,
)

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLING_RATE_HZ = 500
DURATION_S = 10
LOWEST_SAMPLING_RATE_HZ = 100  # of a recording that is resampled
LARGEST_DENOMINATOR = 2500  # of the ratio of rates: less than a time's width off in ten seconds
LOWEST_DURATION_S = 1  # of a recording that may be padded

# The median over the leads of the range that holds 99.8 % of a lead. Recordings of patients have
# 0.5 to 3 mV; beyond the outer pair the unit or the gain is wrong, beyond the inner it may be.
SWING_MV = (0.02, 20.0)
USUAL_SWING_MV = (0.2, 3.0)
LARGEST_USUAL_MV = 7  # no heart makes more; a lead that comes off does
# Root mean square of what limb leads do not fulfil, as a share of that of the largest of them.
LIMB_RESIDUAL = 0.3

_TIMES = SAMPLING_RATE_HZ * DURATION_S
_LIMB = {  # each row is zero of I, II, III, aVR, aVL, aVF
    "I + III = II": (1, -1, 1, 0, 0, 0),
    "aVR = -(I + II) / 2": (0.5, 0.5, 0, 1, 0, 0),
    "aVL = (I - III) / 2": (-0.5, 0, 0.5, 0, 1, 0),
    "aVF = (II + III) / 2": (0, -0.5, -0.5, 0, 0, 1),
}


class Ecg:
    """A 12-lead ECG: ten seconds at 500 Hz, leads ordered by their names.

    Stored are microvolts, which loses nothing of a recording of 1 µV per unit or coarser. The
    defaults are those of Symile-MIMIC: the first ten seconds, nothing shorter, no gap, and a lead
    that is flat while others are not is kept.

    Args:
        folder: of the cohort; not read.
        path: pattern of the recording under the source folder, with columns in braces: a DICOM
            waveform, or a WFDB record with or without its extension.
        longer: what to take of a longer recording: its `first` ten seconds, its `middle`, or
            nothing (`refused`).
        shortest_s: shorter recordings are refused; those up to ten seconds are continued at their
            end with the median of each lead.
        gap_s: longest gap of a lead that is filled by a straight line; a longer one is refused.
        flat_leads: whether leads that never change are `kept`, `masked`, which is stored as zero
            along with leads that were not recorded, or make the recording `refused`.
        limb_leads: whether limb leads that contradict each other are `noted` or make the recording
            `refused`.
    """

    dtype = "int16"
    unit = "uV"
    encoder = "resnet1d"

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
    ):
        _check_word("longer", longer, LONGER)
        _check_word("flat_leads", flat_leads, FLAT_LEADS)
        _check_word("limb_leads", limb_leads, LIMB_LEADS)
        _check_number("shortest_s", shortest_s, LOWEST_DURATION_S)
        _check_number("gap_s", gap_s, 0)
        self.path = path
        self.shortest_s, self.gap_s = shortest_s, gap_s
        self._first = LONGER[longer]
        self._on_flat_leads = FLAT_LEADS[flat_leads]
        self._on_limb_leads = LIMB_LEADS[limb_leads]
        self.shape = (len(LEADS), _TIMES)
        self.parts = LEADS
        self.columns = file_columns(path)
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> Int16[np.ndarray, "lead time"] | None:
        """The sample's ECG.

        Notes: `cropped`, `padded`, `resampled`, `gap-filled`, `flat-leads`, `amplitude`,
        `artefact`, `limb-leads`.

        Raises:
            Rejected: `file-missing`, `not-readable`, `leads-missing`, `leads-repeated`, `unit`,
                `sampling-rate`, `too-short`, `too-long`, `nan`, `all-zero`, `flat`, `flat-leads`,
                `limb-leads` or `amplitude`.
        """
        file = recorded_file(self.path, row, root)
        if file is None:
            return None
        signal, rate = self._taken(open_waveform(file, seconds=DURATION_S), note)
        signal = _filled(signal, longest=self.gap_s, rate=rate, note=note)
        flat = np.isnan(signal[:, 0]) | (signal == signal[:, :1]).all(axis=1)
        if flat.all():
            raise _without_life(signal)
        if flat.any():
            self._on_flat_leads(signal, flat)
            note("flat-leads")
        _check_amplitude(signal[~flat], note)
        if wrong := _limb_fault(signal, flat):
            self._on_limb_leads(wrong)
            note("limb-leads")
        return _microvolts(_padded(_resampled(signal, rate=rate, note=note), note))

    def _taken(self, waveform: Waveform, note: Note) -> tuple[Float[np.ndarray, "lead t"], float]:
        """The part of a recording that counts, in millivolts, and its sampling rate."""
        waveform.order(LEADS)
        rate, times = waveform.sampling_rate_hz, waveform.times
        if rate < LOWEST_SAMPLING_RATE_HZ:
            raise Rejected(
                "sampling-rate", f"{rate:g} Hz; expected {LOWEST_SAMPLING_RATE_HZ} Hz or more"
            )
        wanted, shortest_s = math.ceil(rate * DURATION_S), min(self.shortest_s, DURATION_S)
        if times < math.floor(rate * shortest_s):
            raise Rejected("too-short", f"{times / rate:.3g} s; expected {shortest_s:g} s")
        first = 0
        if times > wanted:
            first = self._first(times, wanted)
            note("cropped")
        return waveform.millivolts(LEADS, first, min(first + wanted, times)), rate

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Standard deviation per lead, in mV, of the samples that have it; 1 if none has.

        A lead that is zero throughout was not recorded.
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
        """Millivolts divided by the training standard deviation of each lead."""
        return measurements.astype(np.float32) / Ecg.divisor(statistics)

    @staticmethod
    def divisor(statistics: Mapping[str, Any]) -> Float[np.ndarray, "lead 1"]:
        """The training standard deviation of each lead in microvolts."""
        sd = np.asarray(statistics["sd_mv"], dtype=np.float32)
        return np.float32(1000) * sd[:, None]


def _start(times: int, wanted: int) -> int:
    return 0


def _middle(times: int, wanted: int) -> int:
    return (times - wanted) // 2


def _refuse_longer(times: int, wanted: int) -> int:
    raise Rejected("too-long", f"longer than {DURATION_S} s, which the cohort refuses")


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
    raise Rejected("limb-leads", f"{wrong} does not hold; are the leads named rightly?")


LONGER = {"first": _start, "middle": _middle, "refused": _refuse_longer}
FLAT_LEADS = {"kept": _keep_flat, "masked": _mask_flat, "refused": _refuse_flat}
LIMB_LEADS = {"noted": _keep_limb, "refused": _refuse_limb}


def _check_word(name: str, word: str, words: Mapping[str, Any]) -> None:
    if word not in words:
        raise ValueError(f"{name} is {word!r}; expected {', '.join(words)}")


def _check_number(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise ValueError(f"{name} is {value!r}; expected {least} or more")


def _named(which: Bool[np.ndarray, " lead"]) -> str:
    return ", ".join(lead for lead, there in zip(LEADS, which, strict=True) if there)


def _filled(
    signal: Float[np.ndarray, "lead t"], *, longest: int | float, rate: float, note: Note
) -> Float[np.ndarray, "lead t"]:
    """Short gaps filled by a straight line; a lead without any value is left as it is."""
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
        there = np.flatnonzero(~gaps[lead])
        signal[lead] = np.interp(np.arange(signal.shape[1]), there, signal[lead, there])
    if part.any():
        note("gap-filled")
    return signal


def _without_life(signal: Float[np.ndarray, "lead t"]) -> Rejected:
    if np.isnan(signal).all():
        return Rejected("nan", "no lead was recorded")
    return Rejected("flat" if np.nan_to_num(signal).any() else "all-zero", "no lead ever changes")


def _check_amplitude(signal: Float[np.ndarray, "lead t"], note: Note) -> None:
    """Refuse what is a thousand times too large or small; note what is merely unusual."""
    low, high = np.quantile(signal, [0.001, 0.999], axis=1)
    swing = float(np.median(high - low))
    if not SWING_MV[0] <= swing <= SWING_MV[1]:
        raise Rejected(
            "amplitude",
            f"leads swing by less than {SWING_MV[0]} or more than {SWING_MV[1]} mV; are unit and "
            "gain right?",
        )
    if not USUAL_SWING_MV[0] <= swing <= USUAL_SWING_MV[1]:
        note("amplitude")
    if np.abs(signal).max() > LARGEST_USUAL_MV:
        note("artefact")


def _limb_fault(signal: Float[np.ndarray, "lead t"], flat: Bool[np.ndarray, " lead"]) -> str:
    """The first rule that the limb leads do not fulfil; none of a lead that is flat."""
    limb = signal[:6] - np.median(signal[:6], axis=1, keepdims=True)
    largest = max(np.sqrt((lead**2).mean()) for lead in limb)
    for rule, weights in _LIMB.items():
        if flat[:6][np.array(weights) != 0].any():
            continue
        residual = np.sqrt(((np.array(weights) @ limb) ** 2).mean())
        if residual > LIMB_RESIDUAL * largest:
            return rule
    return ""


def _resampled(
    signal: Float[np.ndarray, "lead t"], *, rate: float, note: Note
) -> Float[np.ndarray, "lead time"]:
    if rate == SAMPLING_RATE_HZ:
        return signal
    from scipy.signal import resample_poly  # here: most recordings do not need it

    note("resampled")
    ratio = Fraction(SAMPLING_RATE_HZ / rate).limit_denominator(LARGEST_DENOMINATOR)
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
        raise Rejected("amplitude", f"beyond {limit / 1000} mV; is the gain right?")
    return microvolts.astype(np.int16)
