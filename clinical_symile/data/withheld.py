"""Say which numbers of a stored measurement encoders may not read."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int


@runtime_checkable
class Withheld(Protocol):
    """Protocol of what is withheld from the measurements of one modality."""

    def of(
        self, rows: Int[np.ndarray, " row"], shape: tuple[int, ...]
    ) -> Bool[np.ndarray, "row ..."]:
        """Return True for withheld numbers, in a form that broadcasts to the measurements.

        Args:
            rows: rows of the store.
            shape: the shape of one measurement.
        """
        ...


@dataclass(frozen=True, eq=False, repr=False)
class WithheldParts:
    """Whole parts along the first axis of a measurement, such as analytes or leads.

    Attributes:
        hidden: True for a part that encoders may not read; one row for each row of the store.
    """

    hidden: Bool[np.ndarray, "sample part"]

    def of(
        self, rows: Int[np.ndarray, " row"], shape: tuple[int, ...]
    ) -> Bool[np.ndarray, "row ..."]:
        """See `Withheld`."""
        hidden = self.hidden[rows]
        return hidden.reshape(*hidden.shape, *[1] * (len(shape) - 1))


@dataclass(frozen=True, eq=False, repr=False)
class WithheldBlocks:
    """One block of each measurement: a segment in time, or a rectangle of an image.

    Attributes:
        starts: where the block begins along the last axes; one row for each row of the store.
        size: its length along these axes.
    """

    starts: Int[np.ndarray, "sample axis"]
    size: tuple[int, ...]

    def of(
        self, rows: Int[np.ndarray, " row"], shape: tuple[int, ...]
    ) -> Bool[np.ndarray, "row ..."]:
        """See `Withheld`."""
        axes = len(self.size)
        hidden = np.ones((len(rows), *[1] * len(shape)), dtype=bool)
        for axis, (starts, size) in enumerate(zip(self.starts[rows].T, self.size, strict=True)):
            length = shape[len(shape) - axes + axis]
            place = np.arange(length) - starts[:, None]
            inside = (place >= 0) & (place < size)
            after = axes - axis - 1
            hidden = hidden & inside.reshape(
                len(rows), *[1] * (len(shape) - after - 1), length, *[1] * after
            )
        return hidden
