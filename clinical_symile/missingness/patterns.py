"""Parse missingness patterns: words that say which modalities a query may use.

`PATTERN_FORMS` has every form; the table of examples is in docs/explanation/missingness.md, and a
test parses it.

Modalities are hidden independently, given what the mechanism depends on, unless the pattern says
otherwise. A sample may lose all. Two words name several patterns: `every` all 2^M - 1 fixed ones of
M modalities, `grid` these with `mcar` and `mnar` at three rates and `site`. `mechanisms.py` and
`data/masks.py` draw what is random.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from clinical_symile.errors import DefinitionError
from clinical_symile.missingness.part_patterns import (
    NOISE,
    SENSOR_PARTS,
    is_percent,
    parse_part,
)
from clinical_symile.registry.names import is_name

# For `list missingness`. <rates> is one percentage, or one for each modality: ecg-50-labs-20.
PATTERN_FORMS = {
    "observed": "all samples with the target present; a query has what was recorded",
    "complete": "samples with every modality of the task; a query has all of them",
    "without-<modality>": "the same samples; a query has all but this one",
    "only-<modality>": "the same samples; a query has only this one (or several: only-cxr-labs)",
    "mcar-<rates>": "each modality hidden in so many percent, at random: mcar-30",
    "mcar-<rates>-corr-<percent>": "the same; the hiding of two modalities correlates so much",
    "mar-<column>-<rates>": "hidden more often the higher a column that the cohort keeps",
    "mnar-<rates>": "hidden more often by the measurement itself: by severity; see `worse_with`",
    "mnar-<outcome>-<rates>": "hidden more often with an outcome, or by a kept column",
    "<mechanism>@at-least-one": "mcar, mar or mnar; every sample keeps one modality",
    "site": "a query has what a train sample drawn at random has",
    "site-<name>": "the same, by a kept column's value, or by the table sites/<name>.csv",
    "mask-<name>": "a query has what masks/<name>.csv says",
    "<modality>-<mechanism>": "parts of it hidden by mcar, mar or mnar: labs-mcar-50",
    "<modality>-leads-<mechanism>": "leads that come off, by mcar, mar or mnar: ecg-leads-mcar-30",
    "<modality>-segment-<seconds>s": "so many seconds in a row are lost: ecg-segment-3s",
    "<modality>-region-<percent>": "a square of so much of the image is covered: cxr-region-25",
    "<modality>-noise-<decibels>db": "noise at this signal-to-noise ratio: ecg-noise-10db",
    "<modality>-noise-<percent>": "noise: percent of the grey scale, or of an analyte's spread",
    "<modality>-marker-<outcome>-<percent>": "a square whose side tells the outcome so surely",
    "<modality>-marker-shift-<outcome>-<percent>": "the same; held-out sides tell nothing",
}
PATTERN_GROUPS = {
    "every": "all 2^M - 1 patterns of complete, without and only",
    "grid": "every, mcar and mnar at 10, 30 and 50 %, and site",
}
AT_LEAST_ONE = "at-least-one"
GRID_RATES = (10, 30, 50)
DRAWN_FORMS = ("mcar", "mar", "mnar", "site", "mask")
_MECHANISMS = DRAWN_FORMS[:3]
_WORDS = ("observed", "complete", "without", "only", "corr", *DRAWN_FORMS, *SENSOR_PARTS)


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern.

    Attributes:
        name: the word as written in a task.
        complete: True if only complete samples are evaluated, so that patterns differ in nothing
            else.
        without: modalities that are hidden in all samples.
        only: the modalities that are not hidden; empty for all.
        mechanism: one of `DRAWN_FORMS` if hidden modalities differ from sample to sample.
        rate: the share of each modality that the mechanism hides; 0 if `rates` has one for each.
        rates: modalities and their own rates; other modalities are never hidden.
        correlation: the correlation of the hiding of any two modalities.
        at_least_one: True if every sample keeps a modality.
        given: the column, outcome or table that the pattern depends on; may be empty.
        within: the modality whose parts are hidden, instead of modalities; may be empty.
        part: what is hidden within it: one of `SENSOR_PARTS`, or empty for the values of a panel.
            A segment or a region lies at a place drawn uniformly; `rate` is its share of an image.
            A marker's `rate` is its tie to the outcome; held-out ones of `marker-shift` have none.
            The `rate` of `noise` is its standard deviation as a share of the image's grey scale or
            of an analyte's train standard deviation; of `noise-db`, of that of the recorded lead.
        seconds: the length of a segment.
    """

    name: str
    complete: bool = True
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    mechanism: str = ""
    rate: float = 0.0
    rates: tuple[tuple[str, float], ...] = ()
    correlation: float = 0.0
    at_least_one: bool = False
    given: str = ""
    within: str = ""
    part: str = ""
    seconds: float = 0.0

    def visible_modalities(self, modalities: Sequence[str]) -> list[str]:
        """Return the modalities that the pattern does not hide in all samples."""
        kept = [m for m in modalities if not self.only or m in self.only]
        return [m for m in kept if m not in self.without]

    def rates_of(self, modalities: Sequence[str]) -> Float[np.ndarray, " modality"]:
        """Return the rate of each modality."""
        own = dict(self.rates)
        return np.array([own.get(name, 0.0) if own else self.rate for name in modalities])

    @property
    def effect(self) -> str:
        """The effect of a pattern within a modality, to follow its name in a message."""
        return f"{'adds noise to' if self.part in NOISE else 'hides parts of'} {self.within}"

    def check(self, modalities: Sequence[str]) -> None:
        """Refuse a pattern that does not apply to queries with these modalities.

        Raises:
            DefinitionError: it names another modality, hides all modalities in all samples, or
                has rates or a correlation that cannot be reached.
        """
        problems: list[str] = []
        named = (*self.without, *self.only, *dict(self.rates), *([self.within] * bool(self.within)))
        for modality in named:
            if modality not in modalities:
                close = get_close_matches(modality, modalities, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else "."
                problems.append(
                    f"missingness pattern '{self.name}': '{modality}' is not among the modalities "
                    f"{', '.join(modalities)}{hint} Name one of these, or leave the pattern out."
                )
        if not problems and not self.visible_modalities(modalities):
            problems.append(
                f"missingness pattern '{self.name}' hides all of {', '.join(modalities)}; "
                "expected at least one to be left. Leave the pattern out."
            )
        if not problems and self.at_least_one:
            problems += self._at_least_one_problems(modalities)
        if not problems and self.correlation:
            problems += self._correlation_problems(modalities)
        if problems:
            raise DefinitionError(*problems, code="CS-F014")

    def _at_least_one_problems(self, modalities: Sequence[str]) -> list[str]:
        """Return a problem if some samples would have to lose all modalities."""
        rates = self.rates_of(modalities)
        if rates.sum() <= len(modalities) - 1 + 1e-9:
            return []
        if self.rates:
            expected = f"a sum of at most {100 * (len(modalities) - 1)} %"
        else:
            expected = f"at most {100 * (1 - 1 / len(modalities)):.0f} %"
        return [
            f"missingness pattern '{self.name}' hides {_percents(rates)} of "
            f"{', '.join(modalities)}; expected {expected}, since every sample keeps one. Lower "
            f"the rate, or leave '@{AT_LEAST_ONE}' out."
        ]

    def _correlation_problems(self, modalities: Sequence[str]) -> list[str]:
        """Return a problem if the rates do not allow the correlation."""
        from clinical_symile.missingness.correlated import largest_correlation

        rates = self.rates_of(modalities)
        if (rates > 0).sum() < 2:
            return [
                f"missingness pattern '{self.name}' hides one modality, which correlates with no "
                "other; expected at least two. Leave 'corr' out."
            ]
        largest = largest_correlation(rates)
        if self.correlation <= largest + 1e-9:
            return []
        return [
            f"missingness pattern '{self.name}': rates of {_percents(rates)} allow a correlation "
            f"of at most {100 * largest:.0f} %. Lower 'corr', or bring the rates closer together."
        ]


def _percents(rates: Float[np.ndarray, " modality"]) -> str:
    """Return rates as text: one if all are equal."""
    distinct = dict.fromkeys(f"{100 * rate:.0f} %" for rate in rates)
    return " and ".join(distinct)


def parse_pattern(name: str) -> Pattern:
    """Parse a pattern's name.

    Raises:
        DefinitionError: it has none of the forms above.

    Examples:
        >>> parse_pattern("mcar-30").rate
        0.3
        >>> parse_pattern("mcar-ecg-50-labs-20").rates
        (('ecg', 0.5), ('labs', 0.2))
        >>> parse_pattern("labs-mnar-50").within
        'labs'
        >>> parse_pattern("ecg-segment-2.5s").seconds
        2.5
    """
    found = _parse(name)
    if found is None:
        raise DefinitionError(_unknown_pattern(name), code="CS-F013")
    return found


def _parse(name: str) -> Pattern | None:
    """Parse a pattern's name; return None if it has none of the forms, or `/` and the like."""
    if not is_name(name):
        return None
    body, at, rule = name.partition("@")
    word, *rest = body.split("-")
    if at:
        found = _parse_mechanism(name, word, rest) if word in _MECHANISMS else None
        if found is None or found.correlation or rule != AT_LEAST_ONE:
            return None
        return replace(found, at_least_one=True)
    if word in ("observed", "complete") and not rest:
        return Pattern(name, complete=word == "complete")
    if word in ("without", "only") and rest and all(rest) and len(set(rest)) == len(rest):
        named = tuple(rest)
        return Pattern(name, without=named) if word == "without" else Pattern(name, only=named)
    if word in ("site", "mask"):
        return _parse_table(name, word, rest)
    if word in _MECHANISMS:
        return _parse_mechanism(name, word, rest)
    found = _parse_within(name, rest) if word and rest else None
    return None if found is None else replace(found, within=word)


def _parse_within(name: str, words: Sequence[str]) -> Pattern | None:
    """Parse what follows a modality, such as `leads-mcar-30`; return None if it does not fit."""
    part, values = (words[0], words[1:]) if words[0] in SENSOR_PARTS else ("", words)
    if part not in ("", "leads"):
        found = parse_part(words)
        return None if found is None else Pattern(name, **asdict(found))
    if not values or values[0] not in _MECHANISMS:
        return None
    found = _parse_mechanism(name, values[0], values[1:])
    if found is None or found.rates or found.correlation:
        return None
    return replace(found, part=part)


def _parse_table(name: str, mechanism: str, rest: Sequence[str]) -> Pattern | None:
    """Parse `site`, `site-<name>` or `mask-<name>`; return None if it is none of these."""
    if len(rest) == 1 and rest[0]:
        return Pattern(name, mechanism=mechanism, given=rest[0])
    return Pattern(name, mechanism=mechanism) if mechanism == "site" and not rest else None


def _parse_mechanism(name: str, mechanism: str, words: Sequence[str]) -> Pattern | None:
    """Parse what follows `mcar`, `mar` or `mnar`; return None if it does not fit.

    A column comes before the rates. After `mnar` it may be left out: `mnar-x-30` depends on `x`,
    `mnar-x-30-y-20` has rates of two modalities.
    """
    correlation = 0.0
    if mechanism == "mcar" and len(words) > 2 and words[-2] == "corr":
        if not is_percent(words[-1], least=1):
            return None
        correlation, words = int(words[-1]) / 100, words[:-2]
    pairs_alone = len(words) >= 4 and len(words) % 2 == 0
    has_column = mechanism == "mar" or (mechanism == "mnar" and len(words) > 1 and not pairs_alone)
    given, words = (words[0], words[1:]) if has_column and words else ("", words)
    if has_column and (not given or given.isdecimal()):
        return None
    pattern = partial(Pattern, name, mechanism=mechanism, given=given, correlation=correlation)
    if len(words) == 1:
        if not is_percent(words[0], least=1):
            return None
        return pattern(rate=int(words[0]) / 100)
    modalities, percents = words[::2], words[1::2]
    is_rates = (
        len(words) > 1
        and len(modalities) == len(percents) == len(set(modalities))
        and all(word and not word.isdecimal() for word in modalities)
        and all(is_percent(word, least=0) for word in percents)
        and any(int(word) for word in percents)
    )
    if not is_rates:
        return None
    rates = tuple((m, int(p) / 100) for m, p in zip(modalities, percents, strict=True))
    return pattern(rates=rates)


def _unknown_pattern(name: str) -> str:
    """Return the error message for a name that has no form of a pattern."""
    word = name.partition("@")[0].partition("-")[0]
    forms = {form.split("-")[0].split("@")[0]: form for form in reversed(PATTERN_FORMS)}
    close = get_close_matches(word, forms, n=1)
    meant = _similar_pattern(name) or (forms[close[0]] if close else "")
    expected = f"did you mean '{meant}'? Expected" if meant else "expected"
    return (
        f"unknown missingness pattern '{name}'; {expected} one of {', '.join(PATTERN_FORMS)}, "
        "with several modalities as in only-cxr-labs, rates as in mcar-30 or mcar-ecg-50-labs-20, "
        "whole percents from 1 to 99 (of noise to 999), seconds above 0, and decibels of at most "
        "two digits and one decimal. Correct the name."
    )


def _similar_pattern(name: str) -> str:
    """Return a pattern that differs from a name in the spelling of one word; empty if none."""
    body, at, rule = name.partition("@")
    words = body.split("-")
    if at and rule != AT_LEAST_ONE and _parse(f"{body}@{AT_LEAST_ONE}"):
        return f"{body}@{AT_LEAST_ONE}"
    for place, word in enumerate(words):
        for other in get_close_matches(word, _WORDS, n=3):
            meant = "-".join([*words[:place], other, *words[place + 1 :]]) + at + rule
            if meant != name and _parse(meant):
                return meant
    return ""


def every_pattern(modalities: Sequence[str]) -> list[str]:
    """Return the patterns of all non-empty subsets of the modalities, the largest first.

    Examples:
        >>> every_pattern(["ecg", "labs"])
        ['complete', 'without-labs', 'without-ecg']
    """
    names = ["complete"]
    for size in range(len(modalities) - 1, 0, -1):
        for kept in combinations(modalities, size):
            hidden = [name for name in modalities if name not in kept]
            fewer = ("only", kept) if len(kept) < len(hidden) else ("without", hidden)
            names.append("-".join([fewer[0], *fewer[1]]))
    return names


def expand(names: Sequence[str], modalities: Sequence[str]) -> tuple[str, ...]:
    """Write out `every` and `grid` for these modalities; each pattern occurs once.

    Examples:
        >>> expand(["observed", "every"], ["ecg", "labs"])
        ('observed', 'complete', 'without-labs', 'without-ecg')
    """
    every = every_pattern(modalities)
    random = [f"{word}-{rate}" for word in ("mcar", "mnar") for rate in GRID_RATES] + ["site"]
    # With one modality, a sample either has it or is answered at chance level.
    grid = [*every, *(random if len(modalities) > 1 else [])]
    words = {"every": every, "grid": grid}
    return tuple(dict.fromkeys(one for name in names for one in words.get(name, [name])))


def is_applicable(pattern: Pattern, modalities: Sequence[str]) -> bool:
    """Return whether the pattern applies to queries with these modalities."""
    try:
        pattern.check(modalities)
    except DefinitionError:
        return False
    return True


def eligible_samples(
    pattern: Pattern, present: Bool[np.ndarray, "sample modality"]
) -> Bool[np.ndarray, " sample"]:
    """Return the samples that the pattern is evaluated on, by their present query modalities.

    The caller must require the target to be present.
    """
    if pattern.complete:
        return np.all(present, axis=1)
    return np.any(present, axis=1)


def apply_pattern(
    pattern: Pattern,
    *,
    modalities: Sequence[str],
    present: Bool[np.ndarray, "sample modality"],
) -> Bool[np.ndarray, "sample modality"]:
    """Return the entries that stay available under the fixed part of a pattern.

    Args:
        pattern: a parsed pattern; `masks.draw_mask` draws its random part.
        modalities: the modalities of the query; the columns of `present`.
        present: True where the store has a usable measurement.

    Raises:
        DefinitionError: the pattern does not apply to these modalities.
        ValueError: `present` has other columns than `modalities`.
    """
    pattern.check(modalities)
    if present.shape[1] != len(modalities):
        raise ValueError(
            f"present has shape {list(present.shape)}; expected {[len(present), len(modalities)]}, "
            "one for each sample and modality."
        )
    visible = pattern.visible_modalities(modalities)
    return present & np.array([m in visible for m in modalities])
