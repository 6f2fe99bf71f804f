"""Missingness patterns: a word that says which modalities a query may use.

| pattern | samples | query sees |
|---|---|---|
| `observed` | those with anything present | what was recorded |
| `complete` | those with every modality | all of them |
| `without-ecg` | the same as `complete` | all but the ECG |
| `only-labs`, `only-cxr-labs` | the same as `complete` | just these |
| `mcar-30` | the same as `complete` | each dropped with probability 0.30, never all; seeded |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from jaxtyping import Bool, Int

from clinical_symile.errors import DefinitionError

FORMS = ("observed", "complete", "without-<modality>", "only-<modality>", "mcar-<percent>")


@dataclass(frozen=True)
class Pattern:
    """What a pattern's name says.

    Attributes:
        name: as written in a task.
        complete: only complete samples are scored, so that patterns differ in nothing else.
        without: modalities that are hidden.
        only: the modalities that are not hidden; empty where the pattern does not say.
        drop: probability that a modality is hidden at random.
    """

    name: str
    complete: bool = True
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    drop: float = 0.0

    def shown(self, modalities: Sequence[str]) -> list[str]:
        """The modalities that the pattern does not hide from everyone."""
        kept = [m for m in modalities if not self.only or m in self.only]
        return [m for m in kept if m not in self.without]

    def check(self, modalities: Sequence[str]) -> None:
        """Refuse a pattern that means nothing for queries with these modalities.

        Raises:
            DefinitionError: it names a modality that they do not have, hides all of them, or is
                random where there is only one.
        """
        problems = []
        for modality in (*self.without, *self.only):
            if modality not in modalities:
                close = get_close_matches(modality, modalities, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else "."
                problems.append(
                    f"missingness pattern '{self.name}': '{modality}' is not among the modalities "
                    f"{', '.join(modalities)}{hint} Name one of these, or leave the pattern out."
                )
        if not problems and not self.shown(modalities):
            problems.append(
                f"missingness pattern '{self.name}' hides all of {', '.join(modalities)}; "
                "expected at least one to be left. Leave the pattern out."
            )
        if self.drop and len(modalities) < 2:
            problems.append(
                f"missingness pattern '{self.name}' never hides the only modality "
                f"{', '.join(modalities)}; expected at least two. Use 'complete'."
            )
        if problems:
            raise DefinitionError(*problems)


def parse_pattern(name: str) -> Pattern:
    """Read a pattern's name.

    >>> parse_pattern("mcar-30").drop
    0.3

    Raises:
        DefinitionError: it is none of the forms above.
    """
    word, *rest = name.split("-")
    if word in ("observed", "complete") and not rest:
        return Pattern(name, complete=word == "complete")
    if word in ("without", "only") and rest and all(rest) and len(set(rest)) == len(rest):
        named = tuple(rest)
        return Pattern(name, without=named) if word == "without" else Pattern(name, only=named)
    if word == "mcar" and len(rest) == 1 and rest[0].isdecimal() and 1 <= int(rest[0]) <= 99:
        return Pattern(name, drop=int(rest[0]) / 100)
    words = [form.split("-")[0] for form in FORMS]
    close = get_close_matches(word, words, n=1)
    meant = dict(zip(words, FORMS, strict=True))
    hint = f"did you mean '{meant[close[0]]}'? " if close else ""
    raise DefinitionError(
        f"unknown missingness pattern '{name}'; {hint}Expected one of {', '.join(FORMS)}, with "
        "several modalities as in only-cxr-labs and whole percents from 1 to 99. Correct the name."
    )


def applicable(pattern: Pattern, modalities: Sequence[str]) -> bool:
    """Whether the pattern means something for queries with these modalities."""
    try:
        pattern.check(modalities)
    except DefinitionError:
        return False
    return True


def scored(
    pattern: Pattern, present: Bool[np.ndarray, "sample modality"]
) -> Bool[np.ndarray, " sample"]:
    """Which samples the pattern is scored on, of those whose query modalities are `present`.

    The target's own presence is the caller's to require.
    """
    if pattern.complete:
        return np.all(present, axis=1)
    return np.any(present, axis=1)


def visible(
    pattern: Pattern,
    *,
    modalities: Sequence[str],
    present: Bool[np.ndarray, "sample modality"],
    seed: int,
    rows: Int[np.ndarray, " sample"],
) -> Bool[np.ndarray, "sample modality"]:
    """What each query may use: present, and not hidden by the pattern.

    A random pattern drops each modality independently, but the present one with the largest draw is
    always kept. The draws are those of a table with one line per row of the store, so that what is
    dropped depends on the seed and the row, and not on which other rows are asked for.

    Args:
        pattern: see the module.
        modalities: of the query; the columns of `present`.
        present: what was measured.
        seed: of a random pattern.
        rows: rows of the store, from 0.

    Raises:
        DefinitionError: the pattern means nothing for these modalities.
        ValueError: `present` has other columns than `modalities`, or a row is negative.
    """
    pattern.check(modalities)
    if present.shape != (len(rows), len(modalities)):
        raise ValueError(
            f"present has shape {list(present.shape)}; expected {[len(rows), len(modalities)]}, "
            "one for each row and modality."
        )
    shown = pattern.shown(modalities)
    seen = present & np.array([m in shown for m in modalities])
    if not pattern.drop or not len(rows):
        return seen
    if rows.min() < 0:
        raise ValueError(f"row {rows.min()} is negative; expected rows of a store, from 0.")
    table = np.random.default_rng(seed).random((int(rows.max()) + 1, len(modalities)))
    drawn = np.where(seen, table[rows], -1.0)
    largest = drawn == drawn.max(axis=1, keepdims=True)
    return seen & ((drawn >= pattern.drop) | largest)
