"""12-lead ECGs that are rows of an array, each stretched to the range from -1 to 1."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt16

from clinical_symile.errors import DataError
from clinical_symile.modalities._array_io import RecordedArray
from clinical_symile.modalities.base import Note, Rejected, ignore_note

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
TIMES = 5000  # ten seconds at 500 Hz
FINEST = np.iinfo(np.uint16).max  # steps from the lowest to the highest value
ROUNDING = 2.0**-23  # of float32 near 1
STRIDES = 8  # steps that a recording's smallest one may be made of


class EcgArray:
    """A 12-lead ECG from an array of stretched recordings, `[sample, 1, time, lead]`.

    In such an array the lowest value of each recording, over all leads, is -1 and the highest 1:
    its millivolts are lost, and with them whether a wave is high or low. Stored are steps from the
    lowest value, as many as the recording was digitised in, so that what is read again equals the
    array to the accuracy of float32; where they cannot be told, 65,535 steps.

    Args:
        folder: of the cohort; not read.
        path: see `RecordedArray`.
        ids: see `RecordedArray`.
        id: see `RecordedArray`.
        leads: the order of the leads in the array.
    """

    dtype = "uint16"
    unit = "normalised"
    encoder = "resnet1d"

    def __init__(self, folder: Path, *, path: str, ids: str, id: str, leads: Sequence[str] = LEADS):
        if sorted(leads) != sorted(LEADS):
            raise ValueError(f"leads are {', '.join(leads)}; expected each of {', '.join(LEADS)}")
        self.array = RecordedArray(path=path, ids=ids, id=id)
        self.order = [list(leads).index(lead) for lead in LEADS]
        self.shape = (len(LEADS), TIMES)
        self.parts = LEADS
        self.columns = self.array.columns
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> UInt16[np.ndarray, "lead time"] | None:
        """The sample's ECG.

        Notes: `rounded`, where its steps cannot be told.

        Raises:
            Rejected: `nan`, `flat` or `scale`; or as `RecordedArray.read`.
            DataError: the array's recordings are of another shape; or as `RecordedArray.read`.
        """
        signal = self.array.read(row, root)
        if signal is None:
            return None
        if signal.shape != (1, TIMES, len(LEADS)):
            raise DataError(
                f"{self.array.path}: recordings of shape {list(signal.shape)}; expected "
                f"{[1, TIMES, len(LEADS)]}: one channel, ten seconds at 500 Hz, 12 leads."
            )
        signal = signal[0].T[self.order].astype(np.float64)
        if not np.isfinite(signal).all():
            raise Rejected("nan", "some of it is not a number; was it flat before it was scaled?")
        if signal.min() == signal.max():
            raise Rejected("flat", "no lead ever changes")
        if max(abs(signal.min() + 1), abs(signal.max() - 1)) > 2 * ROUNDING:
            raise Rejected("scale", "its lowest and highest values are not -1 and 1")
        count = steps(np.unique(signal))
        if count is None:
            note("rounded")
        return np.rint((signal + 1) / 2 * (count or FINEST)).astype(np.uint16)

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Nothing: every recording has been scaled by itself."""
        return {}

    @staticmethod
    def transform(
        measurements: UInt16[np.ndarray, "sample lead time"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample lead time"]:
        """Each recording from -1, its lowest value, to 1, its highest."""
        highest = measurements.max(axis=(1, 2), keepdims=True, initial=1)
        return (2 * (measurements / highest) - 1).astype(np.float32)


def steps(levels: Shaped[np.ndarray, " level"]) -> int | None:
    """In how many equal steps all levels from -1 to 1 lie, at most `FINEST`; None if in none.

    Args:
        levels: the values that a recording has, in order, rounded to float32.
    """
    smallest = np.diff(levels).min()
    for stride in range(1, STRIDES + 1):
        about = 2 * stride / smallest
        if about > FINEST + 1:
            break
        spread = 1 + math.ceil(about * about * ROUNDING)  # what rounding does to the smallest step
        for count in sorted(range(-spread, spread + 1), key=abs):
            number = round(about) + count
            places = (levels + 1) / 2 * number
            if 0 < number <= FINEST and np.abs(places - np.rint(places)).max() < ROUNDING * number:
                return number
    return None
