"""Parse the words of a pattern within a modality: a segment, a region, a marker, or noise.

Leads and values of a panel are hidden by a mechanism, as modalities are; `patterns.py` parses them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What a pattern within a modality may change besides the values of a panel.
SENSOR_PARTS = ("leads", "segment", "region", "marker", "noise")
SHIFTED_MARKER = "marker-shift"
SIGNAL_NOISE = "noise-db"  # noise whose level is relative to the recording
NOISE = ("noise", SIGNAL_NOISE)
MOST_NOISE = 999  # percent
_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)s", re.ASCII)
_DECIBELS = re.compile(r"([0-9]{1,2}(?:\.[0-9])?)db", re.ASCII)


@dataclass(frozen=True)
class PartWords:
    """The words of a pattern that follow the modality.

    Attributes:
        part: what is changed; see `Pattern`.
        mechanism: `mcar`, or `mnar` where it follows an outcome.
        rate: the share of an image, the tie of a marker, or the standard deviation of noise.
        seconds: the length of a segment.
        given: the outcome that a marker follows.
    """

    part: str
    mechanism: str = "mcar"
    rate: float = 0.0
    seconds: float = 0.0
    given: str = ""


def parse_part(words: Sequence[str]) -> PartWords | None:
    """Parse what follows a modality, such as `segment-3s`; return None if it does not fit.

    Examples:
        >>> parse_part(["noise", "20db"])
        PartWords(part='noise-db', mechanism='mcar', rate=0.1, seconds=0.0, given='')
    """
    part, *values = words
    if part == "marker":
        return _parse_marker(values)
    if len(values) != 1:
        return None
    (value,) = values
    if part == "noise":
        decibels = _DECIBELS.fullmatch(value)
        if decibels:
            return PartWords(SIGNAL_NOISE, rate=10 ** (-float(decibels[1]) / 20))
        fits = is_percent(value, least=1, most=MOST_NOISE)
        return PartWords(part, rate=int(value) / 100) if fits else None
    if part == "segment":
        seconds = _SECONDS.fullmatch(value)
        return PartWords(part, seconds=float(seconds[1])) if seconds and float(seconds[1]) else None
    if part == "region" and is_percent(value, least=1):
        return PartWords(part, rate=int(value) / 100)
    return None


def _parse_marker(values: Sequence[str]) -> PartWords | None:
    part = "marker"
    if len(values) == 3 and values[0] == "shift":
        part, values = SHIFTED_MARKER, values[1:]
    if len(values) != 2 or not values[0] or not is_percent(values[1], least=0):
        return None
    return PartWords(part, "mnar", rate=int(values[1]) / 100, given=values[0])


def is_percent(word: str, *, least: int, most: int = 99) -> bool:
    """Return whether a word is a whole percentage from `least` to `most`."""
    return word.isdecimal() and word.isascii() and least <= int(word) <= most
