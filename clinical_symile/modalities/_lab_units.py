"""Guess the unit of an analyte whose values do not fit the unit that its panel states."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clinical_symile.modalities._lab_panel import Analyte
from clinical_symile.modalities._ucum import unit_factor

_MIN_VALUES = 10  # fewer values say nothing about a unit
_IMPLAUSIBLE_SHARE = 0.1  # from which a unit is doubted
_FITTING_SHARE = 0.05  # of implausible values, up to which another unit fits
_SLACK = 2.0  # factor beyond the usual medians from which a unit is doubted

_UNITS = (
    *("mg/dL", "g/dL", "g/L", "mg/L", "ug/dL", "ug/L", "ng/L", "mol/L", "mmol/L", "umol/L"),
    *("nmol/L", "pmol/L", "%", "1", "10*3/uL", "10*6/uL", "10*12/L", "/uL", "mm[Hg]", "kPa"),
)


@dataclass(frozen=True)
class _KnownAnalyte:
    """An analyte by its LOINC codes, with the medians that hospitals see.

    Attributes:
        codes: LOINC codes.
        unit: UCUM code of the medians.
        low: lowest usual median.
        high: highest usual median.
        g_per_mol: molar mass that laboratories convert with; None without conversion.
    """

    codes: tuple[str, ...]
    unit: str
    low: int | float
    high: int | float
    g_per_mol: float | None = None


# Molar masses: conversion to SI units as in the AMA Manual of Style, 11th edition, table 17.5-1.
_KNOWN = (
    _KnownAnalyte(("2160-0", "14682-9"), "mg/dL", 0.5, 2.0, 113.12),
    _KnownAnalyte(("2345-7", "14749-6", "2339-0"), "mg/dL", 80, 200, 180.16),
    _KnownAnalyte(("3094-0",), "mg/dL", 8, 35, 28.01),
    _KnownAnalyte(("22664-7",), "mg/dL", 17, 75, 60.06),
    _KnownAnalyte(("1975-2", "14631-6"), "mg/dL", 0.2, 2.0, 584.66),
    _KnownAnalyte(("17861-6", "2000-8"), "mg/dL", 7.5, 10.5, 40.08),
    _KnownAnalyte(("19123-9", "2601-3"), "mg/dL", 1.5, 2.6, 24.305),
    _KnownAnalyte(("2777-1", "14879-1"), "mg/dL", 2.0, 5.5, 30.974),
    _KnownAnalyte(("3084-1", "14933-6"), "mg/dL", 3, 9, 168.11),
    _KnownAnalyte(("2524-7", "32693-4"), "mmol/L", 0.7, 4, 90.08),
    _KnownAnalyte(("718-7", "59260-0"), "g/dL", 8, 16, 16114.0),
    _KnownAnalyte(("1751-7",), "g/dL", 2.2, 4.8, 66500.0),
    _KnownAnalyte(("2093-3", "14647-2"), "mg/dL", 100, 260, 386.65),
    _KnownAnalyte(("2571-8", "14927-8"), "mg/dL", 60, 250, 885.4),
    _KnownAnalyte(("1988-5",), "mg/L", 1, 150),
    _KnownAnalyte(("4544-3", "20570-8"), "%", 22, 48),
    _KnownAnalyte(("777-3", "26515-7"), "10*3/uL", 100, 400),
    _KnownAnalyte(("6690-2", "26464-8"), "10*3/uL", 3, 18),
    _KnownAnalyte(("2951-2", "2947-0"), "mmol/L", 128, 148),
    _KnownAnalyte(("2823-3", "6298-4"), "mmol/L", 3.3, 5.2),
)


def likely_unit(analyte: Analyte, values: Float[np.ndarray, " sample"]) -> str | None:
    """Return the unit that values seem to have; None where the panel's unit may be right.

    Args:
        analyte: the analyte, with its plausible range.
        values: values as converted into the panel's unit; no NaN.
    """
    if len(values) < _MIN_VALUES:
        return None
    known = next((one for one in _KNOWN if analyte.loinc in one.codes), None)
    usual = _usual_medians(analyte, known)
    median, implausible = float(np.median(values)), _implausible_share(analyte, values)
    doubted = implausible > _IMPLAUSIBLE_SHARE or (
        usual is not None and not usual[0] / _SLACK <= median <= usual[1] * _SLACK
    )
    if not doubted:
        return None
    middle = math.sqrt(usual[0] * usual[1]) if usual else None
    fitting = []
    for unit, factor in _other_units(analyte, known):
        converted = values * factor
        inside = usual is None or usual[0] <= median * factor <= usual[1]
        if inside and _implausible_share(analyte, converted) <= _FITTING_SHARE:
            distance = abs(math.log(median * factor / middle)) if middle and median > 0 else 0.0
            fitting.append((distance, unit))
    if not fitting or (middle is None and len(fitting) > 1):
        return None
    return min(fitting)[1]


def _usual_medians(analyte: Analyte, known: _KnownAnalyte | None) -> tuple[float, float] | None:
    if known is None:
        return None
    try:
        factor = unit_factor(known.unit, analyte.unit, analyte.g_per_mol or known.g_per_mol)
    except ValueError:
        return None
    return known.low * factor, known.high * factor


def _other_units(analyte: Analyte, known: _KnownAnalyte | None) -> Iterator[tuple[str, float]]:
    """Yield units other than the stated one, with the factor that corrects the values."""
    stated = analyte.factor("")
    molar = analyte.g_per_mol or (known.g_per_mol if known else None)
    seen = {1.0}
    for unit in _UNITS:
        try:
            factor = unit_factor(unit, analyte.unit, molar) / stated
        except ValueError:
            continue
        if all(not math.isclose(factor, other, rel_tol=1e-6) for other in seen):
            seen.add(factor)
            yield unit, factor


def _implausible_share(analyte: Analyte, values: Float[np.ndarray, " sample"]) -> float:
    return float((~analyte.plausible(values)).mean())
