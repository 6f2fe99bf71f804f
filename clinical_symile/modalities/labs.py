"""Blood labs: columns of a sample's row to a vector, and percentiles of it."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinical_symile.errors import DefinitionError
from clinical_symile.modalities.modality import Note, Rejected, is_empty, unheard

LARGEST = float(np.finfo(np.float32).max)
REQUIRED = ("analyte", "loinc", "column", "unit")
OPTIONAL = ("low", "high")


@dataclass(frozen=True, kw_only=True)
class Analyte:
    """One lab of a panel: a row of `labs.csv`.

    Attributes:
        name: what it is called.
        loinc: its LOINC code; empty where the site's code has no certain one.
        column: where its value stands in a sample's row.
        unit: UCUM code of that value.
        low: values below are taken as not measured.
        high: values above are taken as not measured.
    """

    name: str
    loinc: str
    column: str
    unit: str
    low: float = -math.inf
    high: float = math.inf

    def plausible(self, values: Float[np.ndarray, " sample"]) -> Bool[np.ndarray, " sample"]:
        """Whether values are within the caps, and are such as can be stored."""
        return (self.low <= values) & (values <= self.high) & (np.abs(values) <= LARGEST)


class Labs:
    """A panel of blood labs; absent for a sample of which no analyte was measured.

    Stored are values in the panel's units, NaN where an analyte was not measured.

    Args:
        folder: of the cohort.
        panel: a CSV file in it, one row per analyte, with the columns analyte, loinc, column and
            unit, and optionally low and high, beyond which a value is implausible and counts as not
            measured. The manifest says of each analyte how many were.

    Raises:
        DefinitionError: with every problem of the panel.
    """

    dtype = "float32"
    unit = "as in the panel"
    encoder = "mlp"

    def __init__(self, folder: Path, *, panel: str):
        self.panel = read_panel(folder / panel)
        self.shape = (len(self.panel),)
        self.parts = tuple(analyte.name for analyte in self.panel)
        self.columns = tuple(analyte.column for analyte in self.panel)
        self.numbers = self.columns

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = unheard
    ) -> Float[np.ndarray, " analyte"] | None:
        """The sample's labs.

        Raises:
            Rejected: `implausible`: there are values, and every one is.
        """
        values, found = np.full(self.shape, np.nan, dtype=np.float32), False
        for place, analyte in enumerate(self.panel):
            value = row[analyte.column]
            if is_empty(value):
                continue
            found = True
            if analyte.plausible(np.array([value], dtype=np.float64))[0]:
                values[place] = value
        if np.isnan(values).all():
            if found:
                raise Rejected("implausible", "every value is beyond the panel's low and high")
            return None
        return values

    def implausible(self, columns: Mapping[str, np.ndarray]) -> dict[str, int]:
        """How many values of each analyte counted as not measured, of those that had any.

        Args:
            columns: by name, of all samples; NaN where there is no value.
        """
        counts = {}
        for analyte in self.panel:
            values = columns[analyte.column]
            values = values[~np.isnan(values)]
            counts[analyte.name] = int((~analyte.plausible(values)).sum())
        return {name: count for name, count in counts.items() if count}

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """The distribution of each analyte: its values, how often each, and the mean percentile.

        The mean percentile of an analyte that training never saw is 0.5.
        """
        parts = list(parts)
        measured = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
        distributions, means = [], []
        for column in measured.T:
            values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
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
        """Percentiles and, under them, which analytes were observed (1) and which not (0).

        A percentile is the share of the training values that are not above the value. An analyte
        that was not measured has the mean percentile of the training values, as in Symile-MIMIC;
        one that training never saw has 0.5.
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


def read_panel(file: Path) -> tuple[Analyte, ...]:
    """Read a panel of labs.

    Raises:
        DefinitionError: with every problem of the file.
    """
    if not file.is_file():
        raise DefinitionError(f"{file}: no such file; expected a panel of labs. Add it.")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        headings = [heading.strip() for heading in reader.fieldnames or ()]
        reader.fieldnames = headings
        rows = [(reader.line_num, row) for row in reader]
    problems = [
        f"{file}: unknown column '{heading}'; expected {', '.join(REQUIRED)} and optionally "
        f"{', '.join(OPTIONAL)}. Correct or remove it."
        for heading in headings
        if heading not in REQUIRED + OPTIONAL
    ]
    problems += [f"{file}: no column '{key}'. Add it." for key in REQUIRED if key not in headings]
    if problems:
        raise DefinitionError(*problems)
    if not rows:
        raise DefinitionError(f"{file}: no analytes; expected one row for each. Add them.")
    analytes = [_analyte(row, f"{file}, line {line}", problems) for line, row in rows]
    for key in ("name", "column"):
        repeated = Counter(getattr(analyte, key) for analyte in analytes)
        problems += [
            f"{file}: {key} '{value}' stands {n} times; expected once. Remove the others."
            for value, n in repeated.items()
            if n > 1 and value
        ]
    if problems:
        raise DefinitionError(*problems)
    return tuple(analytes)


def _analyte(row: Mapping[Any, Any], where: str, problems: list[str]) -> Analyte:
    cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    if len(cells) != len(row):
        problems.append(f"{where}: more cells than headings. Quote cells that hold a comma.")
    problems += [
        f"{where}: no {key}{' for ' + cells['analyte'] if cells['analyte'] else ''}. Add it."
        for key in ("analyte", "column", "unit")
        if not cells[key]
    ]
    limits = {"low": -math.inf, "high": math.inf}
    for key in OPTIONAL:
        if text := cells.get(key):
            try:
                limits[key] = float(text)
            except ValueError:
                problems.append(f"{where}: {key} is '{text}'; expected a number.")
    if not limits["low"] < limits["high"]:
        problems.append(f"{where}: low is not below high. Correct one.")
    return Analyte(
        name=cells["analyte"],
        loinc=cells["loinc"],
        column=cells["column"],
        unit=cells["unit"],
        **limits,
    )
