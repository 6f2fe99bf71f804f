"""Order patterns of one kind by how much they hide, for curves of degradation."""

from collections.abc import Iterable
from dataclasses import dataclass

from clinical_symile.missingness.patterns import parse_pattern


@dataclass(frozen=True)
class PartCurve:
    """Patterns that hide ever more of the same parts of a modality.

    Attributes:
        name: the words that the patterns share, such as `ecg-leads-mcar`.
        part: one of `SENSOR_PARTS`, `marker-shift`, `noise-db`, or empty for a panel's values.
        unit: of the severities: `s` for a segment, else `%`.
        patterns: the patterns by severity, rising; `complete` is 0.
    """

    name: str
    part: str
    unit: str
    patterns: dict[float, str]


def mechanism_rates(patterns: Iterable[str], mechanism: str) -> dict[int, str]:
    """Return the patterns of a mechanism by the rate in per cent that they hide, 0 first.

    Examples:
        >>> mechanism_rates(["mcar-50", "complete", "mcar-10", "mnar-30"], "mcar")
        {0: 'complete', 10: 'mcar-10', 50: 'mcar-50'}
    """
    found: dict[int, str] = {}
    for pattern in patterns:
        word, _, rate = pattern.partition("-")
        if word == mechanism and rate.isdigit():
            found[int(rate)] = pattern
        elif pattern == "complete":
            found[0] = pattern
    return dict(sorted(found.items()))


def part_curves(patterns: Iterable[str]) -> list[PartCurve]:
    """Return the curves of patterns within a modality that have two severities or more.

    Severities are the rates in per cent, or the seconds of a segment. Those of noise in decibels
    are its standard deviation in per cent of the signal's: 20 dB are 10 %, and no noise is 0 %.

    Examples:
        >>> [curve] = part_curves(["complete", "ecg-segment-5s", "ecg-segment-1s", "mcar-30"])
        >>> curve.name, curve.patterns
        ('ecg-segment', {0.0: 'complete', 1.0: 'ecg-segment-1s', 5.0: 'ecg-segment-5s'})
        >>> part_curves(["complete", "labs-mcar-50"])
        []
    """
    names = list(dict.fromkeys(patterns))
    complete: dict[float, str] = {0.0: "complete"} if "complete" in names else {}
    curves: dict[tuple[str, str], dict[float, str]] = {}
    for name in names:
        one = parse_pattern(name)
        if one.within:
            severity = one.seconds or float(f"{100 * one.rate:.3g}")
            curves.setdefault((name.rpartition("-")[0], one.part), {})[severity] = name
    return [
        PartCurve(
            name, part, "s" if part == "segment" else "%", complete | dict(sorted(at.items()))
        )
        for (name, part), at in curves.items()
        if len(at) > 1
    ]
