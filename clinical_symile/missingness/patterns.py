"""Parse missingness patterns: words that say which modalities a query may use.

| pattern | samples | available to a query |
|---|---|---|
| `observed` | those with anything present | what was recorded |
| `complete` | those with every modality | all of them |
| `without-ecg` | the same as `complete` | all but the ECG |
| `only-labs`, `only-cxr-labs` | the same as `complete` | just these |
| `mcar-30` | the same as `complete` | each hidden in 30 % of samples, by chance alone |
| `mar-age-30` | the same as `complete` | each hidden in 30 %, more often the higher the age |
| `mnar-30` | the same as `complete` | each hidden in 30 %, more often the more severe itself is |
| `mnar-died-30` | the same as `complete` | each hidden in 30 %, more often with the outcome |
| `site` | the same as `complete` | what a train sample, drawn at random, has |
| `site-ward` | the same as `complete` | the same, drawn among those of the sample's ward |
| `site-clinic` | the same as `complete` | what a line of the store's `sites/clinic.csv` has |
| `mask-ours` | the same as `complete` | what the store's `masks/ours.csv` says of the sample |
| `labs-mcar-50` | the same as `complete` | all, but half of the analytes in labs hidden |

No pattern hides everything from a sample. Two words name several patterns: `every` all 2^M - 1
patterns of M modalities, `grid` these with `mcar` and `mnar` at three rates and `site`.
`mechanisms.py` and `masks.py` draw what is random.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from clinical_symile.errors import DefinitionError

PATTERN_FORMS = {
    "observed": "all with the target present; a query has what was recorded",
    "complete": "those with every modality of the task; a query has all of them",
    "without-<modality>": "the same samples; a query has all but this one",
    "only-<modality>": "the same samples; a query has just this one (or several: only-cxr-labs)",
    "mcar-<percent>": "the same samples; each modality hidden so often, by chance; seeded",
    "mar-<column>-<percent>": "the same, more often the higher a column that the cohort keeps",
    "mnar-<percent>": "the same, more often the more severe the measurement itself",
    "mnar-<outcome>-<percent>": "the same, more often with an outcome, or by a kept column",
    "site": "the same samples; a query has what a train sample drawn at random has",
    "site-<name>": "the same, by a kept column's value, or by the table sites/<name>.csv",
    "mask-<name>": "the same samples; a query has what masks/<name>.csv says",
    "<modality>-<mechanism>": "the same samples; parts of it hidden by one of these: labs-mcar-50",
}
PATTERN_GROUPS = {
    "every": "stands for all 2^M - 1 patterns of complete, without and only",
    "grid": "stands for every, mcar and mnar at 10, 30 and 50 %, and site",
}
GRID_RATES = (10, 30, 50)
DRAWN_FORMS = ("mcar", "mar", "mnar", "site", "mask")


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern.

    Attributes:
        name: as written in a task.
        complete: only complete samples are scored, so that patterns differ in nothing else.
        without: modalities that are hidden.
        only: the modalities that are not hidden; empty where the pattern does not say.
        mechanism: one of `DRAWN_FORMS`, where what is hidden differs from sample to sample.
        rate: the share of each modality that the mechanism hides; 0 where it does not say.
        given: the column, outcome or table that the mechanism depends on; empty without.
        within: the modality whose parts are hidden, not the modalities themselves; empty without.
    """

    name: str
    complete: bool = True
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    mechanism: str = ""
    rate: float = 0.0
    given: str = ""
    within: str = ""

    def visible_modalities(self, modalities: Sequence[str]) -> list[str]:
        """Return the modalities that the pattern does not hide in all samples."""
        kept = [m for m in modalities if not self.only or m in self.only]
        return [m for m in kept if m not in self.without]

    def check(self, modalities: Sequence[str]) -> None:
        """Refuse a pattern that does not apply to queries with these modalities.

        Raises:
            DefinitionError: it names a modality that they do not have, hides all of them, is
                random where there is only one, or asks for more than can be hidden while each
                sample keeps one.
        """
        problems: list[str] = []
        for modality in (*self.without, *self.only, *([self.within] if self.within else [])):
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
        if self.mechanism and not self.within:
            problems += self._too_many(modalities)
        if problems:
            raise DefinitionError(*problems, code="CS-F014")

    def _too_many(self, modalities: Sequence[str]) -> list[str]:
        if len(modalities) < 2:
            return [
                f"missingness pattern '{self.name}' never hides the only modality "
                f"{', '.join(modalities)}; expected at least two. Use 'complete'."
            ]
        most = 1 - 1 / len(modalities)
        if self.rate > most:
            return [
                f"missingness pattern '{self.name}' hides {100 * self.rate:.0f} % of each of "
                f"{', '.join(modalities)}; expected at most {100 * most:.0f} %, since every sample "
                "keeps one. Lower the rate."
            ]
        return []


def parse_pattern(name: str) -> Pattern:
    """Parse a pattern's name.

    >>> parse_pattern("mcar-30").rate
    0.3
    >>> parse_pattern("labs-mnar-50").within
    'labs'

    Raises:
        DefinitionError: it is none of the forms above.
    """
    word, *rest = name.split("-")
    if word in ("observed", "complete") and not rest:
        return Pattern(name, complete=word == "complete")
    if word in ("without", "only") and rest and all(rest) and len(set(rest)) == len(rest):
        named = tuple(rest)
        return Pattern(name, without=named) if word == "without" else Pattern(name, only=named)
    if word in DRAWN_FORMS:
        found = _random(name, word, rest)
    elif word and rest and rest[0] in ("mcar", "mar", "mnar"):
        found = _random(name, rest[0], rest[1:])
        found = found and replace(found, within=word)
    else:
        found = None
    if found is not None:
        return found
    words = [form.split("-")[0] for form in PATTERN_FORMS]
    close = get_close_matches(word, words, n=1)
    meant = dict(zip(words, PATTERN_FORMS, strict=True))
    hint = f"did you mean '{meant[close[0]]}'? " if close else ""
    raise DefinitionError(
        f"unknown missingness pattern '{name}'; {hint}Expected one of {', '.join(PATTERN_FORMS)}, "
        "with several modalities as in only-cxr-labs and whole percents from 1 to 99. Correct the "
        "name.",
        code="CS-F013",
    )


def _random(name: str, mechanism: str, rest: Sequence[str]) -> Pattern | None:
    """Parse the words after a mechanism; return None if they do not fit it."""
    if mechanism in ("site", "mask"):
        named = len(rest) == 1 and bool(rest[0])
        return (
            Pattern(name, mechanism=mechanism, given="".join(rest))
            if named or (mechanism == "site" and not rest)
            else None
        )
    *given, percent = rest or [""]
    right = percent.isdecimal() and percent.isascii() and 1 <= int(percent) <= 99
    expected = {"mcar": (0,), "mar": (1,), "mnar": (0, 1)}[mechanism]
    if not right or len(given) not in expected or not all(given):
        return None
    return Pattern(name, mechanism=mechanism, rate=int(percent) / 100, given="".join(given))


def every_pattern(modalities: Sequence[str]) -> list[str]:
    """Return the patterns of all non-empty subsets of the modalities, the largest first.

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

    >>> expand(["observed", "every"], ["ecg", "labs"])
    ('observed', 'complete', 'without-labs', 'without-ecg')
    """
    every = every_pattern(modalities)
    random = [f"{word}-{rate}" for word in ("mcar", "mnar") for rate in GRID_RATES] + ["site"]
    grid = [*every, *(name for name in random if is_applicable(parse_pattern(name), modalities))]
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
