"""Propose LOINC codes and units for a site's lab codes."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from clinical_symile.data.wizard.profile import plain_words
from clinical_symile.formatting import SMALLEST_COUNT

# Units as laboratories write them, and their UCUM code.
_UNITS = {
    "mg/dl": "mg/dL",
    "g/dl": "g/dL",
    "g/l": "g/L",
    "mg/l": "mg/L",
    "ng/l": "ng/L",
    "ng/ml": "ng/mL",
    "pg/ml": "pg/mL",
    "mmol/l": "mmol/L",
    "meq/l": "mmol/L",
    "umol/l": "umol/L",
    "u/l": "U/L",
    "mu/l": "m[IU]/L",
    "miu/l": "m[IU]/L",
    "%": "%",
    "/nl": "10*3/uL",
    "10^3/ul": "10*3/uL",
    "10*3/ul": "10*3/uL",
    "10^9/l": "10*3/uL",
    "10*9/l": "10*3/uL",
    "gpt/l": "10*3/uL",
    "tsd/ul": "10*3/uL",
    "k/ul": "10*3/uL",
}


@dataclass(frozen=True)
class KnownAnalyte:
    """A common analyte in one unit.

    Attributes:
        analyte: its name.
        synonyms: names that laboratories use.
        unit: UCUM code.
        loinc: its LOINC code in this unit.
        typical: the range in which the median of a hospital lies.
        low: lower values are implausible.
        high: higher values are implausible.
    """

    analyte: str
    synonyms: frozenset[str]
    unit: str
    loinc: str
    typical: tuple[float, float]
    low: str
    high: str


@dataclass(frozen=True)
class LabCode:
    """A lab code of a site, and what it probably is.

    Attributes:
        code: as in the table.
        count: how many values it has.
        median: of its values; None if none is a number, or with fewer than ten values.
        units: the units in the table, the most frequent first.
        known: the likely analyte and unit; None if there is none.
        doubt: why the proposal may be wrong; empty if nothing speaks against it.
    """

    code: str
    count: int
    median: float | None
    units: tuple[str, ...]
    known: KnownAnalyte | None
    doubt: str = ""


def propose_lab_codes(
    codes: pd.Series, values: pd.Series, units: pd.Series | None
) -> list[LabCode]:
    """Propose an analyte for each lab code, the most frequent first.

    Args:
        codes: the code of each value.
        values: the values as text; `<0.01` and `1,5` are numbers.
        units: the unit of each value; None if the table has no such column.
    """
    text = values.str.replace(",", ".", regex=False).str.lstrip("<>≤≥ ")
    numbers: Any = pd.to_numeric(text, errors="coerce")
    found = []
    for code, count in codes.value_counts().items():
        own = codes == code
        median = None if numbers[own].isna().all() else float(numbers[own].median())
        same: Any = None if units is None else units[own]
        names = () if same is None else tuple(map(str, same.value_counts().index))
        known, doubt = _match(str(code), median, names)
        if count < SMALLEST_COUNT:  # a median of few values tells values of single people
            median, doubt = None, re.sub(r"^median \S+ is", "the median is", doubt)
        found.append(LabCode(str(code), int(count), median, names, known, doubt))
    return found


def ucum_code(unit: str) -> str:
    """Return the UCUM code of a unit as laboratories write it; empty if it is not known.

    >>> ucum_code("µmol/l")
    'umol/L'
    """
    if unit.strip() in ("G/l", "Gpt/l"):  # giga per litre; g/l is grams
        return "10*3/uL"
    return _UNITS.get(re.sub(r"\s", "", unit.lower()).replace("µ", "u").replace("μ", "u"), "")


def _match(
    code: str, median: float | None, units: tuple[str, ...]
) -> tuple[KnownAnalyte | None, str]:
    words = plain_words(code)
    named = [one for one in _known_analytes() if words in one.synonyms]
    if not named:
        return None, "unknown code"
    recorded = ucum_code(units[0]) if units else ""
    if units and not recorded and named[0].unit != "{INR}":
        return named[0], f"unit '{units[0]}' is unknown"
    in_unit = [one for one in named if one.unit == recorded] if recorded else named
    if not in_unit:
        return named[0], f"unit '{units[0]}' is unusual for {named[0].analyte}"
    fitting = [
        one for one in in_unit if median is not None and one.typical[0] <= median <= one.typical[1]
    ]
    if len(fitting) == 1 and len(units) < 2:
        return fitting[0], ""
    if len(units) > 1:
        return (fitting or in_unit)[0], f"recorded in {', '.join(units)}"
    if not fitting:
        return in_unit[0], f"median {median:g} is unusual for {in_unit[0].unit}" if median else ""
    return fitting[0], "several units fit the median"


@cache
def _known_analytes() -> tuple[KnownAnalyte, ...]:
    with (Path(__file__).parent / "analytes.csv").open(encoding="utf-8", newline="") as stream:
        return tuple(
            KnownAnalyte(
                analyte=row["analyte"],
                synonyms=frozenset(row["synonyms"].split()),
                unit=row["unit"],
                loinc=row["loinc"],
                typical=(float(row["typical_low"]), float(row["typical_high"])),
                low=row["low"],
                high=row["high"],
            )
            for row in csv.DictReader(stream)
        )
