"""A panel of labs: which analytes, in which columns and units, read from `labs.csv`."""

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
from clinical_symile.modalities._ucum import factor, is_code

LARGEST = float(np.finfo(np.float32).max)
REQUIRED = ("analyte", "loinc", "column", "unit")
NUMBERS = ("low", "high", "g_per_mol")
OPTIONAL = (*NUMBERS, "recorded_unit", "unit_column")


@dataclass(frozen=True, kw_only=True)
class Analyte:
    """One lab of a panel: a row of `labs.csv`.

    Attributes:
        name: what it is called.
        loinc: its LOINC code; empty where the site's code has no certain one.
        column: where its value stands in a sample's row.
        unit: UCUM code of what is stored, and of `low` and `high`.
        recorded_unit: UCUM code of the value in the column, if it is another.
        unit_column: where the UCUM code of each value stands instead, if they differ.
        g_per_mol: molar mass, where a mass is turned into substance or back.
        low: values below are taken as not measured.
        high: values above are taken as not measured.
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
        """What a value in that unit is multiplied by.

        Raises:
            ValueError: it cannot be turned into the unit of the panel.
        """
        return factor(unit or self.recorded_unit or self.unit, self.unit, self.g_per_mol)

    def plausible(self, values: Float[np.ndarray, " sample"]) -> Bool[np.ndarray, " sample"]:
        """Whether values are within the caps, and are such as can be stored."""
        return (self.low <= values) & (values <= self.high) & (np.abs(values) <= LARGEST)


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
    numbers: dict[str, Any] = {"low": -math.inf, "high": math.inf, "g_per_mol": None}
    for key in NUMBERS:
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
    strangers = {key: unit for key, unit in units.items() if unit and not is_code(unit)}
    problems += [
        f"{where}: {key}: '{unit}' is no unit of UCUM; expected a code such as mg/dL, mm[Hg] or "
        "10*3/uL, or a word in braces where there is no unit, such as {score}. Correct it."
        for key, unit in strangers.items()
    ]
    if not strangers:
        try:
            analyte.factor("")
        except ValueError as error:
            problems.append(f"{where}: recorded_unit: {error}. Correct a unit.")
    return analyte
