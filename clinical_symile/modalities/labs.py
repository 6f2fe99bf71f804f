"""Read blood labs from columns of a sample's row as a vector, and convert it to percentiles."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.errors import DefinitionError
from clinical_symile.modalities._lab_panel import Analyte, read_panel
from clinical_symile.modalities._lab_units import likely_unit
from clinical_symile.modalities.base import Note, Rejected, ValueSummary, ignore_note, is_empty
from clinical_symile.registry.names import is_path_below

VALUES_AT_A_TIME = 1_000_000  # of one analyte, that are sorted at a time

_MIN_FOR_MEDIAN = 10  # of fewer values a median may be a patient's value

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_CENSORED = re.compile(r"\s*(<=?|>=?|≤|≥)\s*([0-9.eE+-]+)\s*")


class Labs:
    """Adapter of a panel of blood labs; missing for a sample without any value.

    It stores values in the panel's units, NaN where an analyte is not observed. `censored` says
    what is stored and not who has labs: a sample with `<0.01` alone has labs, by `absent` as well.

    Args:
        folder: folder of the cohort.
        panel: a CSV file in it, one row per analyte, with the columns analyte, loinc, column and
            unit. Optional columns are low and high, beyond which a value is implausible and stored
            as missing; recorded_unit or unit_column, from which values are converted; and
            g_per_mol.
        censored: the value that is stored for a text such as `<0.01`: its `limit`; `half` of a
            limit below; or none (`absent`). With `refused`, columns must hold numbers only. With
            any other word, a text that is no number is stored as missing, and noted.

    Raises:
        DefinitionError: the panel has problems; all of them at once.
    """

    display_name = "labs"
    description = "Reads a panel of blood labs; missing for a sample without any observed analyte."

    dtype = "float32"
    unit = "as in the panel"
    encoder = "mlp"
    axes = ("analyte",)
    unrecorded = np.float32(np.nan)

    def __init__(self, folder: Path, *, panel: str, censored: str = "refused"):
        if censored not in _CENSORED_RULES:
            raise ValueError(f"censored is {censored!r}; expected {', '.join(_CENSORED_RULES)}")
        if not is_path_below(panel):
            raise DefinitionError(
                f"{folder}: panel is '{panel}'; expected a file in this folder. Copy it there.",
                code="CS-F016",
            )
        self.panel = read_panel(folder / panel)
        self.shape = (len(self.panel),)
        self.parts = tuple(analyte.name for analyte in self.panel)
        self.units = tuple(analyte.unit for analyte in self.panel)
        values = tuple(analyte.column for analyte in self.panel)
        units = dict.fromkeys(analyte.unit_column for analyte in self.panel if analyte.unit_column)
        self.columns = (*values, *units)
        self.named_by = ()
        self.values = values
        self._uncensored = _CENSORED_RULES[censored]
        self.numbers = values if self._uncensored is _refuse else ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> Float[np.ndarray, " analyte"] | None:
        """Read the sample's labs.

        Notes, once each: `censored`, `not-a-number`, `unit-unknown`, `implausible`, and
        `none-observed` for labs without a value, such as `<0.01` alone by the rule `absent`.

        Raises:
            Rejected: `implausible`: every value of the sample is implausible, not a number, or has
                an unknown unit, and none is censored.
        """
        values, notes = np.full(self.shape, np.nan, dtype=np.float32), dict[str, None]()
        found = False
        for place, analyte in enumerate(self.panel):
            if is_empty(row[analyte.column]):
                continue
            found = True
            value = self._value(analyte, row, notes)
            if math.isnan(value):
                continue
            if analyte.plausible(np.array([value]))[0]:
                values[place] = value
            else:
                notes["implausible"] = None
        if np.isnan(values).all() and "censored" not in notes:
            if found:
                raise Rejected("implausible", f"no value is usable: {', '.join(notes)}")
            return None
        if np.isnan(values).all():
            notes["none-observed"] = None
        for word in notes:
            note(word)
        return values

    def _value(self, analyte: Analyte, row: Mapping[str, Any], notes: dict[str, None]) -> float:
        """Return an analyte's value in the panel's unit; NaN where it is not usable."""
        cell = row[analyte.column]
        unit = row[analyte.unit_column] if analyte.unit_column else ""
        try:
            factor = analyte.factor("" if is_empty(unit) else str(unit))
        except ValueError:  # before the number, so that no rule for censored values decides it
            notes["unit-unknown"] = None
            return math.nan
        value = cell if isinstance(cell, int | float) else self._number(str(cell), notes)
        return math.nan if is_empty(value) else float(value) * factor

    def _number(self, text: str, notes: dict[str, None]) -> float:
        try:
            return float(text)
        except ValueError:
            pass
        censored = _CENSORED.fullmatch(text)
        try:
            limit = float(censored[2]) if censored else math.nan
        except ValueError:
            censored, limit = None, math.nan
        if not censored:
            notes["not-a-number"] = None
            return math.nan
        notes["censored"] = None
        return self._uncensored(censored[1], limit)

    def implausible(self, columns: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Count the values of each analyte beyond its limits; omit analytes without any.

        Args:
            columns: columns of all samples, by name; NaN or None where there is no value.
        """
        counts = {}
        for analyte in self.panel:
            values = self._values(analyte, columns)
            values = values[~np.isnan(values)]
            counts[analyte.name] = int((~analyte.plausible(values)).sum())
        return {name: count for name, count in counts.items() if count}

    def summarize_values(
        self,
        read: Callable[[Sequence[str]], tuple[Mapping[str, np.ndarray], Int[np.ndarray, " value"]]],
    ) -> Iterator[ValueSummary]:
        """Yield a summary of each analyte's values in the tables.

        Args:
            read: returns the distinct values of some columns where the first has one, and how
                often each occurs.
        """
        for analyte in self.panel:
            names = [name for name in (analyte.column, analyte.unit_column) if name]
            yield self._summary(analyte, *read(names))

    def _summary(
        self,
        analyte: Analyte,
        columns: Mapping[str, np.ndarray],
        counts: Int[np.ndarray, " value"],
    ) -> ValueSummary:
        cells = columns[analyte.column]
        if cells.dtype != object and not analyte.unit_column:
            values = self._values(analyte, columns)
            not_numbers = commas = unknown = 0
        else:
            values = np.full(len(cells), np.nan)
            not_numbers = commas = unknown = 0
            names = [name for name in (analyte.column, analyte.unit_column) if name]
            rows = zip(*(columns[name] for name in names), strict=True)
            for place, row in enumerate(rows):
                notes: dict[str, None] = {}
                values[place] = self._value(analyte, dict(zip(names, row, strict=True)), notes)
                count = int(counts[place])
                not_numbers += count * ("not-a-number" in notes)
                unknown += count * ("unit-unknown" in notes)
                if isinstance(row[0], str) and _DECIMAL_COMMA.fullmatch(row[0]):
                    commas += count
        is_number = np.isfinite(values)
        numbers = np.repeat(values[is_number], counts[is_number])
        return ValueSummary(
            part=analyte.name,
            column=analyte.column,
            count=int(counts.sum()),
            not_numbers=not_numbers,
            decimal_commas=commas,
            unit_unknown=unknown,
            implausible=int((~analyte.plausible(numbers)).sum()),
            range_text=f"{analyte.low:g} to {analyte.high:g} {analyte.unit}",
            median=float(np.median(numbers)) if len(numbers) >= _MIN_FOR_MEDIAN else None,
            likely_unit=likely_unit(analyte, numbers),
        )

    def _values(
        self, analyte: Analyte, columns: Mapping[str, np.ndarray]
    ) -> Float[np.ndarray, " sample"]:
        """Return one analyte of all samples, in the panel's unit."""
        values = columns[analyte.column]
        if values.dtype != object and not analyte.unit_column:
            return values.astype(np.float64) * analyte.factor("")
        names = [name for name in (analyte.column, analyte.unit_column) if name]
        rows = zip(*(columns[name] for name in names), strict=True)
        return np.array(
            [
                math.nan
                if is_empty(row[0])
                else self._value(analyte, dict(zip(names, row, strict=True)), {})
                for row in rows
            ],
            dtype=np.float64,
        )

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return each analyte's distribution: its values, their counts, and the mean percentile.

        The mean percentile of an analyte without train values is 0.5.
        """
        distributions, means = [], []
        for values, counts in _distributions(parts):
            percentiles = np.cumsum(counts) / max(counts.sum(), 1)
            means.append(float((percentiles * counts).sum() / counts.sum()) if len(counts) else 0.5)
            exact = [float(str(value)) for value in values]  # the shortest text of a float32
            distributions.append({"values": exact, "counts": counts.tolist()})
        return {"distributions": distributions, "mean_percentile": means}

    @staticmethod
    def transform(
        measurements: Float[np.ndarray, "sample analyte"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample 2 analyte"]:
        """Return percentiles and, below them, 1 for observed analytes and 0 for others.

        A percentile is the share of train values that are not above the value. An analyte that is
        not observed gets the mean percentile of the train values, as in Symile-MIMIC. An analyte
        without train values gets 0.5.
        """
        observed = ~np.isnan(measurements)
        percentiles = np.full(measurements.shape, 0.5, dtype=np.float32)
        for place, distribution in enumerate(statistics["distributions"]):
            values = np.asarray(distribution["values"], dtype=np.float32)
            if not len(values):
                continue
            share = np.concatenate([[0], np.cumsum(distribution["counts"])])
            below = np.searchsorted(values, measurements[:, place], side="right")
            percentiles[:, place] = np.where(
                observed[:, place], share[below] / share[-1], statistics["mean_percentile"][place]
            )
        return np.stack([percentiles, observed.astype(np.float32)], axis=1)

    @staticmethod
    def unmeasured(statistics: Mapping[str, Any]) -> Float[np.ndarray, "2 analyte"]:
        """Return the input of a panel of which no analyte was observed."""
        nothing = np.full((1, len(statistics["distributions"])), math.nan, dtype=np.float32)
        return Labs.transform(nothing, statistics)[0]

    @staticmethod
    def noise_scale(statistics: Mapping[str, Any]) -> Float[np.ndarray, " analyte"]:
        """Return the standard deviation of each analyte's train values; 0 without two of them."""
        scale = np.zeros(len(statistics["distributions"]))
        for place, distribution in enumerate(statistics["distributions"]):
            values = np.asarray(distribution["values"], dtype=np.float64)
            counts = np.asarray(distribution["counts"], dtype=np.float64)
            if len(values):
                mean = np.average(values, weights=counts)
                scale[place] = np.average((values - mean) ** 2, weights=counts) ** 0.5
        return scale


def _refuse(sign: str, limit: float) -> float:
    raise AssertionError("the column holds numbers only")


def _limit(sign: str, limit: float) -> float:
    return limit


def _half(sign: str, limit: float) -> float:
    return limit / 2 if sign in ("<", "<=", "≤") else limit


def _absent(sign: str, limit: float) -> float:
    return math.nan


_CENSORED_RULES = {"refused": _refuse, "limit": _limit, "half": _half, "absent": _absent}


def _distributions(
    parts: Iterable[np.ndarray],
) -> list[tuple[Float[np.ndarray, " value"], Int[np.ndarray, " value"]]]:
    """Return the distinct values of each analyte and their counts, in bounded memory."""
    merged: list[tuple[np.ndarray, np.ndarray]] = []
    for block in _blocks(parts):
        merged = merged or [(np.empty(0, np.float32), np.empty(0, np.int64))] * block.shape[1]
        for place, column in enumerate(block.T):
            values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
            every, at = np.unique(np.concatenate([merged[place][0], values]), return_inverse=True)
            total = np.zeros(len(every), dtype=np.int64)
            np.add.at(total, at, np.concatenate([merged[place][1], counts]))
            merged[place] = every, total
    return merged


def _blocks(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield parts joined to blocks of many samples."""
    waiting: list[np.ndarray] = []
    for part in parts:
        waiting.append(part)
        if sum(len(other) for other in waiting) >= VALUES_AT_A_TIME:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
