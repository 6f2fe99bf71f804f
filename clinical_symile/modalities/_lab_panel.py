"""Read a lab panel from `labs.csv`: its analytes, their columns and units."""

import csv
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinical_symile.errors import DefinitionError
from clinical_symile.modalities._ucum import is_ucum_code, unit_factor

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_REQUIRED_COLUMNS = ("analyte", "loinc", "column", "unit")
_NUMBER_COLUMNS = ("low", "high", "g_per_mol")
_OPTIONAL_COLUMNS = (*_NUMBER_COLUMNS, "recorded_unit", "unit_column")


@dataclass(frozen=True, kw_only=True)
class Analyte:
    """One analyte of a panel: a row of `labs.csv`.

    Attributes:
        name: name of the analyte.
        loinc: its LOINC code; empty if the site's code has no certain one.
        column: column of a sample's row with its value.
        unit: UCUM code of the stored values, and of `low` and `high`.
        recorded_unit: UCUM code of the values in the column, if it differs.
        unit_column: column with the UCUM code of each value, if they differ.
        g_per_mol: molar mass, to convert between mass and amount of substance.
        low: lower values count as missing.
        high: higher values count as missing.
    """

    name: str
    loinc: str
    column: str
    unit: str
    recorded_unit: str = ""
    unit_column: str = ""
    g_per_mol: float | None = None
    low: float = -math.inf
    high: float = math.inf

    def factor(self, unit: str) -> float:
        """Return the factor that converts a value in `unit` into the unit of the panel.

        Raises:
            ValueError: the unit cannot be converted.
        """
        return unit_factor(unit or self.recorded_unit or self.unit, self.unit, self.g_per_mol)

    def plausible(self, values: Float[np.ndarray, " sample"]) -> Bool[np.ndarray, " sample"]:
        """Return True for values within the limits that float32 can store."""
        return (self.low <= values) & (values <= self.high) & (np.abs(values) <= _FLOAT32_MAX)


def read_panel(file: Path) -> tuple[Analyte, ...]:
    """Read a lab panel.

    Raises:
        DefinitionError: the file has problems; all of them at once.
    """
    if not file.is_file():
        raise DefinitionError(
            f"{file}: no such file; expected a lab panel. Add it.", code="CS-F016"
        )
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        headings = [heading.strip() for heading in reader.fieldnames or ()]
        reader.fieldnames = headings
        rows = [(reader.line_num, row) for row in reader]
    problems = [
        f"{file}: unknown column '{heading}'; expected {', '.join(_REQUIRED_COLUMNS)} and "
        f"optionally {', '.join(_OPTIONAL_COLUMNS)}. Correct or remove it."
        for heading in headings
        if heading not in _REQUIRED_COLUMNS + _OPTIONAL_COLUMNS
    ]
    problems += [
        f"{file}: no column '{key}'. Add it." for key in _REQUIRED_COLUMNS if key not in headings
    ]
    if problems:
        raise DefinitionError(*problems, code="CS-F016")
    if not rows:
        raise DefinitionError(
            f"{file}: no analytes; expected one row for each. Add them.", code="CS-F016"
        )
    analytes = [_analyte(row, f"{file}, line {line}", problems) for line, row in rows]
    for key in ("name", "column"):
        repeated = Counter(getattr(analyte, key) for analyte in analytes)
        problems += [
            f"{file}: {key} '{value}' occurs {n} times; expected once. Remove the others."
            for value, n in repeated.items()
            if n > 1 and value
        ]
    if problems:
        raise DefinitionError(*problems, code="CS-F016")
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
    numbers: dict[str, Any] = {"low": -math.inf, "high": math.inf, "g_per_mol": None}
    for key in _NUMBER_COLUMNS:
        if text := cells.get(key):
            try:
                numbers[key] = float(text)
            except ValueError:
                problems.append(f"{where}: {key} is '{text}'; expected a number.")
    if not numbers["low"] < numbers["high"]:
        problems.append(f"{where}: low is not below high. Correct one.")
    analyte = Analyte(
        name=cells["analyte"],
        loinc=cells["loinc"],
        column=cells["column"],
        unit=cells["unit"],
        recorded_unit=cells.get("recorded_unit", ""),
        unit_column=cells.get("unit_column", ""),
        **numbers,
    )
    units = {"unit": analyte.unit, "recorded_unit": analyte.recorded_unit}
    strangers = {key: unit for key, unit in units.items() if unit and not is_ucum_code(unit)}
    problems += [
        f"{where}: {key}: '{unit}' is not a UCUM code; expected a code such as mg/dL, mm[Hg] or "
        "10*3/uL, or a word in braces where there is no unit, such as {score}. Correct it."
        for key, unit in strangers.items()
    ]
    if not strangers:
        try:
            analyte.factor("")
        except ValueError as error:
            problems.append(f"{where}: recorded_unit: {error}. Correct a unit.")
    return analyte
