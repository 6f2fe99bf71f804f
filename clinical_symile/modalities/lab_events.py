"""Read a sequence of lab events, each a time, a code and a value, as MEDS has them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from clinical_symile.modalities.base import Note, Rejected, ignore_note, is_empty

_HOURS = "hours"
_HOURS_PER_UNIT = 24.0  # times of an input are days
_KEYS = ("hours", "code", "value")


class LabEvents:
    """Adapter of a sequence of lab events; missing for a sample without any event of a known code.

    The cohort's query selects the events of a sample from MEDS and writes them into one column, as
    JSON: a list of objects with `hours` (after a time of the sample), `code` and `value`. It stores
    the events in the order of their times, those at the same time in that of `codes`. The first row
    has the hours, and each code a row with the values of its events; NaN elsewhere.

    Args:
        folder: folder of the cohort; not read.
        column: the column of a sample's row with its events.
        codes: the codes that are read, such as `LAB//50912//mg/dL`; others are left out, and noted.
        events: the number of events that are stored; of more, the last ones.

    Raises:
        ValueError: there are no codes, one is named twice, or `events` is no whole number of 1 or
            more.
    """

    display_name = "lab events"
    description = "Reads a sequence of lab events, each a time, a code and a value, as in MEDS."

    dtype = "float32"
    unit = "as in MEDS"
    encoder = "events"

    def __init__(self, folder: Path, *, column: str, codes: Sequence[str], events: int = 64):
        if not codes or len(set(codes)) < len(codes):
            raise ValueError(f"codes has {len(codes)} names; expected one or more, each once")
        if isinstance(events, bool) or not isinstance(events, int) or events < 1:
            raise ValueError(f"events is {events!r}; expected a whole number of 1 or more")
        self.column, self.events = column, events
        self.places = {code: place for place, code in enumerate(codes)}
        self.shape = (1 + len(codes), events)
        self.parts = (_HOURS, *codes)
        self.columns = (column,)
        self.named_by = ()
        self.values = (column,)
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> Float[np.ndarray, "part event"] | None:
        """Read the sample's events.

        Notes, once each: `other-code`, `not-a-number` for an event without a time or value, and
        `cut` for more events than are stored.

        Raises:
            Rejected: `not-readable`: the column holds no such list; `none-known`: no event has a
                known code, a time and a value.
        """
        if is_empty(row[self.column]):
            return None
        notes, found = dict[str, None](), []
        for hours, code, value in _events(row[self.column]):
            if code not in self.places:
                notes["other-code"] = None
            elif not (math.isfinite(hours) and math.isfinite(value)):
                notes["not-a-number"] = None
            else:
                found.append((hours, self.places[code], value))
        if not found:
            raise Rejected("none-known", "no event has one of the codes, a time and a value")
        if len(found) > self.events:
            notes["cut"] = None
        for word in notes:
            note(word)
        stored = np.full(self.shape, np.nan, dtype=np.float32)
        for event, (hours, place, value) in enumerate(sorted(found)[-self.events :]):
            stored[0, event], stored[1 + place, event] = hours, value
        return stored

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return the distinct values of each code and their counts."""
        blocks = list(parts)
        distributions = []
        for place in range(1, blocks[0].shape[1] if blocks else 1):
            of_code = np.concatenate([block[:, place].ravel() for block in blocks])
            values, counts = np.unique(of_code[~np.isnan(of_code)], return_counts=True)
            exact = [float(str(value)) for value in values]  # the shortest text of a float32
            distributions.append({"values": exact, "counts": counts.tolist()})
        return {"distributions": distributions}

    @staticmethod
    def transform(
        measurements: Float[np.ndarray, "sample part event"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample row event"]:
        """Return the days, the percentile of the value, and for each code 1 at its events, else 0.

        A percentile is the share of the code's train values that are not above the value, and 0.5
        for a code without train values. All rows are 0 where there is no event.
        """
        is_code = ~np.isnan(measurements[:, 1:])
        percentiles = np.zeros(measurements[:, 0].shape, dtype=np.float32)
        for place, distribution in enumerate(statistics["distributions"]):
            values = np.asarray(distribution["values"], dtype=np.float32)
            share = np.concatenate([[0], np.cumsum(distribution["counts"])])
            below = np.searchsorted(values, measurements[:, 1 + place], side="right")
            found = share[below] / share[-1] if len(values) else 0.5
            percentiles = np.where(is_code[:, place], found, percentiles)
        days = np.nan_to_num(measurements[:, 0]) / _HOURS_PER_UNIT
        both = np.stack([days, percentiles], axis=1)
        return np.concatenate([both, is_code], axis=1).astype(np.float32)


def _events(cell: Any) -> list[tuple[float, str, float]]:
    """Return the hours, the code and the value of each event of a cell.

    Raises:
        Rejected: `not-readable`.
    """
    expected = f"a JSON list of objects with {', '.join(_KEYS)}"
    try:
        listed = json.loads(cell) if isinstance(cell, str) else cell
        return [
            (_number(event["hours"]), str(event["code"]), _number(event["value"]))
            for event in listed
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise Rejected(
            "not-readable", f"the column of events: {type(error).__name__}; expected {expected}"
        ) from None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
