"""Match the lab panels of two cohorts: the same analytes in the same order and units."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clinical_symile.modalities._ucum import unit_factor

_DIGITS = 6


@dataclass(frozen=True)
class PanelMatch:
    """The conversion of stored values of one panel into those of another.

    Attributes:
        columns: for each wanted analyte its column in the stored values; -1 where it is lacking.
        factors: what converts each wanted analyte into the wanted unit; 1 where it is lacking.
        lacking: wanted analytes that are not stored.
        unused: stored analytes that are not wanted.
        converted: stored analytes in another unit, with both units.
    """

    columns: tuple[int, ...]
    factors: tuple[float, ...]
    lacking: tuple[str, ...]
    unused: tuple[str, ...]
    converted: tuple[tuple[str, str, str], ...]

    def apply(
        self, values: Float[np.ndarray, "sample stored"]
    ) -> Float[np.ndarray, "sample wanted"]:
        """Return stored values as values of the wanted panel, NaN for what is lacking.

        Converted values are rounded to the digits that a float32 holds. Then 0.97 g/L is as much
        as 97 mg/dL, and not a little less than all train values of 97.
        """
        found = np.full((len(values), len(self.columns)), np.nan, dtype=values.dtype)
        for place, (column, factor) in enumerate(zip(self.columns, self.factors, strict=True)):
            if column >= 0 and factor == 1:
                found[:, place] = values[:, column]
            elif column >= 0:
                found[:, place] = _rounded(values[:, column].astype(np.float64) * factor)
        return found


def _rounded(values: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """Round to six significant digits; NaN, 0 and infinity stay."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** (_DIGITS - 1 - exponent)
        rounded = np.round(values * scale) / scale
    return np.where(np.isfinite(rounded), rounded, values)


def match_panels(wanted: Mapping[str, str], stored: Mapping[str, str]) -> PanelMatch:
    """Match the analytes of two panels by name, and convert units by UCUM.

    >>> match = match_panels({"glucose": "mg/dL", "sodium": "meq/L"}, {"glucose": "g/L"})
    >>> match.factors, match.lacking
    ((100.0, 1.0), ('sodium',))

    Args:
        wanted: UCUM unit of each analyte of the panel that a model reads, in its order.
        stored: UCUM unit of each analyte of the stored values, in their order.

    Raises:
        ValueError: a unit cannot be converted, as from mass to amount of substance; all of them.
    """
    places = {name: place for place, name in enumerate(stored)}
    factors, converted, problems = [], [], []
    for name, unit in wanted.items():
        own, factor = stored.get(name, unit), 1.0
        if own != unit:
            try:
                factor = unit_factor(own, unit)
                converted.append((name, own, unit))
            except ValueError as error:
                problems.append(f"{name}: {error}")
        factors.append(factor)
    if problems:
        raise ValueError("; ".join(problems))
    return PanelMatch(
        columns=tuple(places.get(name, -1) for name in wanted),
        factors=tuple(factors),
        lacking=tuple(name for name in wanted if name not in stored),
        unused=tuple(name for name in stored if name not in wanted),
        converted=tuple(converted),
    )
