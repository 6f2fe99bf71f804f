"""Read 12-lead ECGs from the rows of an array, each scaled to the range from -1 to 1."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt16

from clinical_symile.errors import DataError
from clinical_symile.modalities._array_io import RecordedArray
from clinical_symile.modalities._ecg_format import DURATION_S, LEADS, SAMPLING_RATE_HZ
from clinical_symile.modalities.base import Note, Rejected, ignore_note

_TIMES = SAMPLING_RATE_HZ * DURATION_S
MAX_STEPS = np.iinfo(np.uint16).max  # steps from the lowest to the highest value
_FLOAT32_ROUNDING = 2.0**-23  # of float32 near 1
_MAX_STRIDE = 8  # steps in the smallest difference of a recording's values


class EcgArray:
    """Adapter of 12-lead ECGs in an array of scaled recordings, `[sample, 1, time, lead]`.

    In such an array each recording ranges from -1 to 1 over all leads; its millivolts are lost. It
    stores steps above the lowest value, as many as the recording was digitised in. The
    result equals the array to the precision of float32. If the number of steps cannot be
    determined, it stores 65,535 steps.

    Args:
        folder: folder of the cohort; not read.
        path: file pattern of the array under the source folder, with columns in braces.
        ids: file pattern of the array of ids, one id per row.
        id: column of a sample's row with its id.
        leads: the order of the leads in the array.
    """

    display_name = "ECG"
    description = (
        "Reads 12-lead ECGs from one array of scaled recordings, `[sample, 1, time, lead]`."
    )

    dtype = "uint16"
    unit = "normalised"
    encoder = "resnet1d"
    axes = ("lead", "time")
    sampling_rate_hz = SAMPLING_RATE_HZ
    unrecorded = np.float32(np.nan)  # 0 is the lowest value of a recording

    def __init__(self, folder: Path, *, path: str, ids: str, id: str, leads: Sequence[str] = LEADS):
        if sorted(leads) != sorted(LEADS):
            raise ValueError(f"leads are {', '.join(leads)}; expected each of {', '.join(LEADS)}")
        self.array = RecordedArray(path=path, ids=ids, id=id)
        self.order = [list(leads).index(lead) for lead in LEADS]
        self.shape = (len(LEADS), _TIMES)
        self.parts = LEADS
        self.columns = self.array.columns
        self.named_by = self.columns
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> UInt16[np.ndarray, "lead time"] | None:
        """Read the sample's ECG.

        Notes: `rounded`, if its number of steps cannot be determined.

        Raises:
            Rejected: `nan`, `flat` or `scale`; or as `RecordedArray.read`.
            DataError: the array's recordings have another shape; or as `RecordedArray.read`.
        """
        signal = self.array.read(row, root)
        if signal is None:
            return None
        if signal.shape != (1, _TIMES, len(LEADS)):
            raise DataError(
                f"{self.array.path}: recordings of shape {list(signal.shape)}; expected "
                f"{[1, _TIMES, len(LEADS)]}: one channel, ten seconds at 500 Hz, 12 leads.",
                code="CS-D026",
            )
        signal = signal[0].T[self.order].astype(np.float64)
        if not np.isfinite(signal).all():
            raise Rejected(
                "nan", "some values are not numbers; scaling a flat recording gives them"
            )
        if signal.min() == signal.max():
            raise Rejected("flat", "no lead ever changes")
        if max(abs(signal.min() + 1), abs(signal.max() - 1)) > 2 * _FLOAT32_ROUNDING:
            raise Rejected("scale", "its lowest and highest values are not -1 and 1")
        count = digitisation_steps(np.unique(signal))
        if count is None:
            note("rounded")
        return np.rint((signal + 1) / 2 * (count or MAX_STEPS)).astype(np.uint16)

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return no statistics: every recording was scaled by itself."""
        return {}

    @staticmethod
    def transform(
        measurements: UInt16[np.ndarray, "sample lead time"]
        | Float[np.ndarray, "sample lead time"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample lead time"]:
        """Scale each recording from -1, its lowest value, to 1, its highest.

        What was not recorded (NaN) has no part in the highest value, and becomes 0.
        """
        recorded = ~np.isnan(measurements)
        highest = measurements.max(axis=(1, 2), keepdims=True, initial=1, where=recorded)
        scaled = (2 * (measurements / highest) - 1).astype(np.float32)
        return np.where(recorded, scaled, np.float32(0))


def digitisation_steps(levels: Shaped[np.ndarray, " level"]) -> int | None:
    """Return the number of equal steps on which all levels lie; None above `MAX_STEPS`.

    Args:
        levels: the distinct values of a recording from -1 to 1, in order, rounded to float32.
    """
    smallest = np.diff(levels).min()
    for stride in range(1, _MAX_STRIDE + 1):
        about = 2 * stride / smallest
        if about > MAX_STEPS + 1:
            break
        spread = 1 + math.ceil(
            about * about * _FLOAT32_ROUNDING
        )  # what rounding does to the smallest step
        for count in sorted(range(-spread, spread + 1), key=abs):
            number = round(about) + count
            places = (levels + 1) / 2 * number
            if (
                0 < number <= MAX_STEPS
                and np.abs(places - np.rint(places)).max() < _FLOAT32_ROUNDING * number
            ):
                return number
    return None
