"""Units by their UCUM codes: by how much a value is multiplied."""

from functools import cache
from typing import Any


@cache
def factor(recorded: str, wanted: str, g_per_mol: float | None = None) -> float:
    """What a value in one unit is multiplied by to be in another.

    The unit of an enzyme's activity, U, and the international unit are the same to a laboratory.
    An equivalent is a mole by the charge of the ion, so those two are not turned into one another.

    >>> factor("mg/dL", "g/L")
    0.01
    >>> round(factor("mg/dL", "umol/L", 113.12), 2)  # creatinine
    88.4
    >>> factor("[IU]/L", "U/L")
    1.0

    Args:
        recorded: UCUM code.
        wanted: UCUM code.
        g_per_mol: molar mass, where one is of mass and the other of substance.

    Raises:
        ValueError: one is no code of UCUM, or the two measure different things.
    """
    recorded, wanted = (_plain(unit) for unit in (recorded, wanted))
    if recorded == wanted:
        return 1.0
    if ("eq" in recorded) != ("eq" in wanted):
        raise ValueError(f"'{recorded}' is '{wanted}' times a charge, which is not told here")
    from pint import DimensionalityError  # here: it takes a second, and few panels need it

    quantity, target = _parsed(recorded), _parsed(wanted)
    molar = g_per_mol * _registry().from_ucum("g/mol") if g_per_mol else None
    for attempt in (quantity, *((quantity / molar, quantity * molar) if molar else ())):
        try:
            return float(f"{(attempt / target).to('dimensionless').magnitude:.12g}")
        except DimensionalityError:
            continue
    hint = "" if g_per_mol else "; a molar mass (g_per_mol) turns mass into substance"
    raise ValueError(f"'{recorded}' cannot be turned into '{wanted}'{hint}")


@cache
def is_code(unit: str) -> bool:
    """Whether a unit is written as a code of UCUM, be it one that can be converted or not.

    >>> [is_code(unit) for unit in ("mg/dL", "[pH]", "{INR}", "mg per dl", "mmHg")]
    [True, True, True, False, False]
    """
    from lark.exceptions import LarkError  # here: only what reads a panel needs them

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
        return 1 * _registry().from_ucum(unit)
    except Exception as error:  # the parser's, of which there are many kinds
        raise ValueError(f"'{unit}' is no unit of UCUM that can be converted") from error
