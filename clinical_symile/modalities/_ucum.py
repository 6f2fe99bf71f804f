"""Convert between units given as UCUM codes."""

from functools import cache
from typing import Any


@cache
def unit_factor(recorded: str, wanted: str, g_per_mol: float | None = None) -> float:
    """Return the factor that converts a value from one unit into another.

    The unit of enzyme activity, U, and the international unit count as equal. Equivalents and moles
    are not converted, because the factor depends on the ion's charge.

    >>> unit_factor("mg/dL", "g/L")
    0.01
    >>> round(unit_factor("mg/dL", "umol/L", 113.12), 2)  # creatinine
    88.4
    >>> unit_factor("[IU]/L", "U/L")
    1.0

    Args:
        recorded: UCUM code.
        wanted: UCUM code.
        g_per_mol: molar mass, to convert between mass and amount of substance.

    Raises:
        ValueError: a unit is not a UCUM code, or the two have different dimensions.
    """
    recorded, wanted = (_plain(unit) for unit in (recorded, wanted))
    if recorded == wanted:
        return 1.0
    if ("eq" in recorded) != ("eq" in wanted):
        raise ValueError(f"'{recorded}' and '{wanted}' differ by the ion's charge")
    from pint import DimensionalityError  # here: it takes a second, and few panels need it

    quantity, target = _parsed(recorded), _parsed(wanted)
    molar = g_per_mol * _registry().from_ucum("g/mol") if g_per_mol else None
    for attempt in (quantity, *((quantity / molar, quantity * molar) if molar else ())):
        try:
            return float(f"{(attempt / target).to('dimensionless').magnitude:.12g}")
        except DimensionalityError:
            continue
    hint = "" if g_per_mol else "; to convert mass into amount of substance, give g_per_mol"
    raise ValueError(f"'{recorded}' cannot be converted into '{wanted}'{hint}")


@cache
def is_ucum_code(unit: str) -> bool:
    """Return True if a unit is a UCUM code, whether or not it can be converted.

    >>> [is_ucum_code(unit) for unit in ("mg/dL", "[pH]", "{INR}", "mg per dl", "mmHg")]
    [True, True, True, False, False]
    """
    from lark.exceptions import LarkError  # here: only reading a panel needs it

    try:
        _parser().parse(unit)
    except LarkError:
        return False
    return True


def _plain(unit: str) -> str:
    return unit.strip().replace("[IU]", "U").replace("[iU]", "U")


@cache
def _parser() -> Any:
    from ucumvert import get_ucum_parser

    return get_ucum_parser()


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def _parsed(unit: str) -> Any:
    try:
        quantity = 1 * _registry().from_ucum(unit)
    except Exception as error:  # the parser's, of which there are many kinds
        raise ValueError(f"'{unit}' is not a UCUM code that can be converted") from error
    if isinstance(quantity, str):  # a word in braces, such as {INR}
        raise ValueError(f"'{unit}' is a word, not a unit that can be converted")
    return quantity
