"""12-lead ECG: a WFDB record to ten seconds of microvolts in a fixed order of leads."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int16

from clinical_symile.modalities.modality import (
    Rejected,
    file_columns,
    is_fault,
    is_there,
    recorded_file,
)

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLING_RATE_HZ = 500
DURATION_S = 10
LOWEST_SAMPLING_RATE_HZ = 100  # of a recording that is resampled
LONG_BYTES = 50_000_000  # of a recording that is not read whole

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
_TIMES = SAMPLING_RATE_HZ * DURATION_S


class Ecg:
    """A 12-lead ECG: its first ten seconds at 500 Hz, leads ordered by their names.

    Stored are microvolts, which loses nothing of a recording of 1 µV per unit or coarser. A lead
    that is flat while others are not is kept, as in Symile-MIMIC.

    Args:
        folder: of the cohort; not read.
        path: pattern of the WFDB record under the source folder, with columns in braces; with or
            without its extension.
    """

    dtype = "int16"
    unit = "uV"
    encoder = "resnet1d"

    def __init__(self, folder: Path, *, path: str):
        self.path = path
        self.shape = (len(LEADS), _TIMES)
        self.parts = LEADS
        self.columns = file_columns(path)
        self.numbers = ()

    def read(self, row: Mapping[str, Any], root: Path) -> Int16[np.ndarray, "lead time"] | None:
        """The sample's ECG.

        Raises:
            Rejected: `file-missing`, `not-readable`, `leads-missing`, `leads-repeated`, `unit`,
                `sampling-rate`, `too-short`, `nan`, `all-zero`, `flat` or `amplitude`.
        """
        file = recorded_file(self.path, row, root)
        if file is None:
            return None
        record = _record(file)
        signal = record.p_signal[: round(record.fs * DURATION_S)].T
        signal = signal[_order(record.sig_name)] * _scale(record)[:, None]
        if not np.isfinite(signal).all():
            raise Rejected("nan", "some of the first ten seconds was not recorded")
        if (signal == signal[:, :1]).all():
            raise Rejected("flat" if signal.any() else "all-zero", "no lead ever changes")
        if signal.shape[1] != _TIMES:
            from scipy.signal import resample_poly  # here: most recordings do not need it

            ratio = Fraction(_TIMES, signal.shape[1])
            signal = resample_poly(
                signal, ratio.numerator, ratio.denominator, axis=1, padtype="line"
            )
        microvolts = np.rint(signal * 1000)
        limit = np.iinfo(np.int16).max
        if np.abs(microvolts).max() > limit:
            raise Rejected("amplitude", f"beyond {limit / 1000} mV; is the gain right?")
        return microvolts.astype(np.int16)

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Standard deviation per lead, in mV; 1 for a lead that never changes in training."""
        count, total, squares = 0, [0] * len(LEADS), [0] * len(LEADS)
        for part in parts:
            count += part.shape[0] * part.shape[2]
            for lead in range(len(LEADS)):  # sums of integers: the same in whatever parts
                values = part[:, lead].astype(np.int64)
                total[lead] += int(values.sum())
                squares[lead] += int((values * values).sum())
        variances = [
            Fraction(square * count - sum_ * sum_, count * count) if count else Fraction(0)
            for sum_, square in zip(total, squares, strict=True)
        ]
        return {"sd_mv": [float(v) ** 0.5 / 1000 if v else 1.0 for v in variances]}

    @staticmethod
    def transform(
        measurements: Int16[np.ndarray, "sample lead time"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample lead time"]:
        """Millivolts divided by the training standard deviation of each lead."""
        sd = np.asarray(statistics["sd_mv"], dtype=np.float32)
        return measurements.astype(np.float32) / (np.float32(1000) * sd[:, None])


def _record(file: Path) -> Any:
    """A WFDB record in physical units; of a long one only the first ten seconds."""
    import wfdb  # here: it takes a second, and checking a cohort does not need it

    stem = file.with_suffix("") if file.suffix.lower() in (".hea", ".dat", ".mat") else file
    if not is_there(stem.with_name(stem.name + ".hea")):
        raise Rejected("file-missing", "no such header (.hea)")
    signals = [stem.with_name(stem.name + extension) for extension in (".dat", ".mat")]
    if all(not file.exists() or file.stat().st_size < LONG_BYTES for file in signals):
        record = _read(wfdb.rdrecord, stem)  # once: most of the time goes into the header
        _check(record)
    else:
        header = _read(wfdb.rdheader, stem)
        _check(header)
        record = _read(wfdb.rdrecord, stem, sampto=round(header.fs * DURATION_S))
    return record


def _read(function: Callable[..., Any], stem: Path, **arguments: Any) -> Any:
    try:
        return function(str(stem), **arguments)
    except FileNotFoundError:
        raise Rejected("file-missing", "the header is there, its signal file is not") from None
    except Exception as error:  # whatever a broken header or signal file makes WFDB raise
        if is_fault(error):
            raise
        raise Rejected("not-readable", f"wfdb: {type(error).__name__}") from None


def _check(header: Any) -> None:
    """Reject a record for what its header says."""
    _order(header.sig_name or [])
    sampling_rate_hz, length = float(header.fs), header.sig_len
    rate = f"{sampling_rate_hz:g} Hz"
    if sampling_rate_hz < LOWEST_SAMPLING_RATE_HZ:
        raise Rejected("sampling-rate", f"{rate}; expected {LOWEST_SAMPLING_RATE_HZ} Hz or more")
    if sampling_rate_hz * DURATION_S % 1:
        raise Rejected("sampling-rate", f"{rate}; expected a whole number of times in ten seconds")
    if length is None:
        raise Rejected("not-readable", "the header does not say how long the record is")
    if length < sampling_rate_hz * DURATION_S:
        seconds = length / sampling_rate_hz
        raise Rejected("too-short", f"{seconds:.1f} s; expected {DURATION_S} s")


def _order(names: list[str]) -> list[int]:
    """Where each of `LEADS` stands in a record."""
    found = [name.strip().lower() for name in names]
    missing = [lead for lead in LEADS if lead.lower() not in found]
    if missing:
        raise Rejected("leads-missing", f"no {', '.join(missing)}; expected the 12 leads")
    counts = Counter(found)
    repeated = [lead for lead in LEADS if counts[lead.lower()] > 1]
    if repeated:
        raise Rejected("leads-repeated", f"{', '.join(repeated)} more than once; expected once")
    return [found.index(lead.lower()) for lead in LEADS]


def _scale(record: Any) -> Float[np.ndarray, " lead"]:
    """Millivolts per unit of each of `LEADS`."""
    units = [record.units[place] for place in _order(record.sig_name)]
    unknown = sorted({unit for unit in units if unit.strip().lower() not in _MILLIVOLTS})
    if unknown:
        raise Rejected("unit", f"'{', '.join(unknown)}'; expected V, mV, uV or nV")
    return np.array([_MILLIVOLTS[unit.strip().lower()] for unit in units])
