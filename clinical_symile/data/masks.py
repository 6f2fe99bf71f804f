"""Masks: which modalities, or which parts of one, each sample of a split may be asked with.

A mask is drawn from a pattern, a store and a seed alone. Every model that is scored on a store
therefore meets the same masks, and the digest of a mask says so: it is of the samples' names and of
what is seen of each, in whatever order they stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from clinical_symile.config.splits import SPLITS
from clinical_symile.data.severity import severity
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.hashing import digest_of
from clinical_symile.missingness.mechanisms import draw_hidden, normal_scores, uniforms
from clinical_symile.missingness.patterns import (
    Pattern,
    apply_pattern,
    eligible_samples,
    parse_pattern,
)


@dataclass(frozen=True)
class Mask:
    """What may be seen of some samples.

    Attributes:
        pattern: the name of the pattern it was drawn from.
        columns: modalities, or the parts of one.
        samples: the samples' names.
        rows: the same as rows of the store.
        present: what there was to be hidden.
        available: what may be used.
    """

    pattern: str
    columns: tuple[str, ...]
    samples: tuple[str, ...]
    rows: Int[np.ndarray, " sample"]
    present: Bool[np.ndarray, "sample column"]
    available: Bool[np.ndarray, "sample column"]

    @property
    def hidden_rate(self) -> dict[str, float]:
        """The share of each column's measured entries that is hidden."""
        return self.hidden_rate_among(self.rows)

    def hidden_rate_among(self, rows: Int[np.ndarray, " asked"]) -> dict[str, float]:
        """The same among some rows of the store."""
        asked = np.isin(self.rows, rows)
        there = self.present[asked].sum(axis=0)
        gone = (self.present & ~self.available)[asked].sum(axis=0)
        shares = np.divide(gone, there, out=np.zeros(len(there)), where=there > 0)
        return dict(zip(self.columns, shares.tolist(), strict=True))

    @property
    def digest(self) -> str:
        """Equal exactly if the same is seen of the same samples."""
        order = np.argsort(np.array(self.samples, dtype=str), kind="stable")
        return digest_of(
            "\n".join(self.columns),
            "\n".join(self.samples[row] for row in order),
            np.packbits(self.available[order]).tobytes(),
        )

    def write(self, path: Path) -> None:
        """Keep the mask as CSV: `sample`, and for each column 1 where it may be used."""
        table = pd.DataFrame(self.available.astype(int), columns=list(self.columns))
        table.insert(0, "sample", self.samples)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        table.to_csv(partial, index=False, lineterminator="\n")
        partial.replace(path)


def pattern_file(pattern: Pattern, store: CohortStore) -> Path | None:
    """The table beside the store that a pattern reads, be it there or not; most read none."""
    if pattern.mechanism == "mask":
        return store.path / "masks" / f"{pattern.given}.csv"
    if (
        pattern.mechanism == "site"
        and pattern.given
        and f"kept_{pattern.given}" not in store.samples
    ):
        return store.path / "sites" / f"{pattern.given}.csv"
    return None


def draw_mask(
    missingness: str | Pattern,
    store: str | Path | CohortStore,
    *,
    split: str,
    modalities: Sequence[str] | None = None,
    seed: int = 0,
) -> Mask:
    """Draw which modalities of which samples a missingness pattern leaves available.

    The same pattern, store, split and seed give the same mask for every model. Its arrays are
    shared and cannot be written to.

    Args:
        missingness: a pattern such as `mcar-30`, `mnar-30` or `without-ecg`.
        store: a prepared cohort.
        split: `train`, `tuning` or `held_out`.
        modalities: the mask's columns; None for all of the store.
        seed: of what is drawn.

    Returns:
        The mask of the samples that the pattern is scored on.

    Raises:
        CannotScore: the store lacks a column, an outcome or a file that the pattern needs.
        DefinitionError: there is no such pattern, or it does not fit these modalities.

    >>> mask = cs.draw_mask("mcar-30", "store", split="train")
    >>> mask.available.shape == (len(mask.rows), 3)
    True
    """
    pattern = parse_pattern(missingness) if isinstance(missingness, str) else missingness
    store = open_store(store)
    columns = store.modalities if modalities is None else tuple(modalities)
    path = pattern_file(pattern, store)
    written = path.read_bytes() if path is not None and path.is_file() else b""
    return _mask(pattern, store, split, columns, seed, digest_of(written))


@lru_cache(maxsize=128)
def _mask(
    pattern: Pattern,
    store: CohortStore,
    split: str,
    modalities: tuple[str, ...],
    seed: int,
    written: str,
) -> Mask:
    """Of what is in the pattern's table as well, so that none is remembered from before an edit."""
    del written
    rows = store.rows(split)
    columns = [store.modalities.index(name) for name in modalities]
    place = np.flatnonzero(eligible_samples(pattern, store.present[rows][:, columns]))
    rows = rows[place]
    present = store.present[rows][:, columns]
    available = apply_pattern(pattern, modalities=modalities, present=present)
    samples = _names(store, rows)
    if pattern.mechanism == "site":
        available = available & _by_site(pattern, store, rows, modalities, seed=seed)
    elif pattern.mechanism == "mask":
        available = available & _from_file(pattern, store, samples, modalities)
    elif pattern.mechanism and not pattern.within and len(rows):
        pulls = _pulls(pattern, store, split, place, modalities)
        draws = uniforms(seed, samples, modalities)
        available = available & ~draw_hidden(draws, pulls, present=present, rate=pattern.rate)
    for array in (rows, present, available):
        array.flags.writeable = False
    return Mask(pattern.name, modalities, samples, rows, present, available)


def draw_parts(pattern: Pattern, store: CohortStore, *, split: str, seed: int) -> Mask:
    """Which parts of the modality that the pattern is within may be seen, of all samples with it.

    Args:
        pattern: such as `labs-mcar-50`.
        store: a prepared cohort.
        split: whose samples.
        seed: of what is random.

    Raises:
        CannotScore: the modality has no parts, or the pattern asks for a column or an outcome that
            there is not.
    """
    about = store.manifest["modalities"][pattern.within]
    everyone = store.rows(split)
    place = np.flatnonzero(store.present[everyone, store.modalities.index(pattern.within)])
    rows = everyone[place]
    parts = tuple(about.get("parts") or ())
    values = np.asarray(store.array(pattern.within)[rows], dtype=np.float64)
    if not parts or values.shape[1:] != (len(parts),):
        raise CannotScore(
            f"{pattern.within} is not a panel of named values, so no part of it can go missing; "
            f"expected a modality such as labs. Leave '{pattern.name}' out."
        )
    observed = ~np.isnan(values)
    samples = _names(store, rows)
    if pattern.mechanism == "mnar" and not pattern.given:
        pulls = np.stack([normal_scores(column) for column in values.T], axis=1)
    elif pattern.given:
        pulls = np.repeat(_given(pattern, store, everyone)[place][:, None], len(parts), axis=1)
    else:
        pulls = np.zeros(values.shape)
    draws = uniforms(seed, samples, parts)
    gone = draw_hidden(draws, pulls, present=observed, rate=pattern.rate)
    return Mask(pattern.name, parts, samples, rows, observed, observed & ~gone)


def hide_parts(pattern: Pattern, store: CohortStore, *, seed: int) -> CohortStore:
    """The store as it is read when the pattern hides parts of a modality, in every split.

    Raises:
        CannotScore: as `draw_parts`.
    """
    masks = [draw_parts(pattern, store, split=split, seed=seed) for split in SPLITS]
    withheld = np.zeros((len(store.samples), len(masks[0].columns)), dtype=bool)
    for mask in masks:
        withheld[mask.rows] = ~mask.available
    return replace(store, withheld={**store.withheld, pattern.within: withheld})


def _names(store: CohortStore, rows: Int[np.ndarray, " sample"]) -> tuple[str, ...]:
    return tuple(store.samples["sample"].iloc[rows].astype(str))


def _pulls(
    pattern: Pattern,
    store: CohortStore,
    split: str,
    place: Int[np.ndarray, " sample"],
    modalities: tuple[str, ...],
) -> Float[np.ndarray, "sample modality"]:
    """X of `mechanisms.py` for the samples at some places of a split."""
    if pattern.given:
        one = _given(pattern, store, store.rows(split))[place]
        return np.repeat(one[:, None], len(modalities), axis=1)
    if pattern.mechanism == "mnar":
        return np.stack([severity(store, name, split)[place] for name in modalities], axis=1)
    return np.zeros((len(place), len(modalities)))


def _given(
    pattern: Pattern, store: CohortStore, rows: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """The covariate or outcome that a mechanism depends on, as normal scores.

    Words count in alphabetical order; what is unknown counts as average.
    """
    kept = f"kept_{pattern.given}"
    if pattern.mechanism == "mnar" and pattern.given in store.outcomes:
        values = store.outcome(pattern.given)[rows]
    elif kept in store.samples:
        values = _ordered(store.samples[kept].iloc[rows])
    else:
        columns = [name for name in store.samples.columns if name.startswith("kept_")]
        known = [name.removeprefix("kept_") for name in columns]
        known += store.outcomes if pattern.mechanism == "mnar" else ()
        raise CannotScore(
            f"'{pattern.name}' depends on '{pattern.given}', which cohort '{store.cohort}' does "
            f"not keep; it has {', '.join(known) or 'nothing'}. Name it in the cohort's keep, or "
            "leave the pattern out."
        )
    return normal_scores(values)


def _ordered(column: pd.Series) -> Float[np.ndarray, " sample"]:
    """Numbers as they are, words by their place in the alphabet, NaN where unknown."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    words = column.astype("string")
    place = {word: float(at) for at, word in enumerate(sorted(words.dropna().unique()))}
    return words.map(place).to_numpy(dtype=np.float64, na_value=np.nan)


def _by_site(
    pattern: Pattern,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    modalities: tuple[str, ...],
    *,
    seed: int,
) -> Bool[np.ndarray, "sample modality"]:
    """For each sample what one drawn from a table of availabilities has, some modality at least."""
    draws = uniforms(seed, _names(store, rows), ["site"])[:, 0]
    kept, path = f"kept_{pattern.given}", pattern_file(pattern, store)
    if path is not None:
        table, counts = _site_file(pattern, path, store.cohort, modalities)
        return _drawn(table, counts, draws)
    train = store.rows("train")
    observed = store.present[train][:, [store.modalities.index(name) for name in modalities]]
    observed, train = observed[observed.any(axis=1)], train[observed.any(axis=1)]
    if not len(observed):
        raise CannotScore(
            "no train sample has any of these modalities to draw a site's pattern from."
        )
    if not pattern.given:
        return _drawn(observed, np.ones(len(observed)), draws)
    site = store.samples[kept].astype("string").fillna("")
    available = np.zeros((len(rows), len(modalities)), dtype=bool)
    for name in site.iloc[rows].unique():
        there = (site.iloc[rows] == name).to_numpy()
        ours = (site.iloc[train] == name).to_numpy()
        if not ours.any():
            raise CannotScore(
                f"'{pattern.name}': some samples have a value of {pattern.given} that no train "
                "sample has, so nothing is known of what is measured there. Leave the pattern out."
            )
        available[there] = _drawn(observed[ours], np.ones(ours.sum()), draws[there])
    return available


def _drawn(
    table: Bool[np.ndarray, "line modality"],
    counts: Float[np.ndarray, " line"],
    draws: Float[np.ndarray, " sample"],
) -> Bool[np.ndarray, "sample modality"]:
    """A line of a table for each draw, in proportion to the counts; equal lines are one."""
    lines, place = np.unique(table, axis=0, return_inverse=True)
    share = np.cumsum(np.bincount(place.reshape(-1), counts, len(lines)))
    return lines[np.searchsorted(share / share[-1], draws, side="right")]


def _site_file(
    pattern: Pattern, path: Path, cohort: str, modalities: tuple[str, ...]
) -> tuple[Bool[np.ndarray, "line modality"], Float[np.ndarray, " line"]]:
    if not path.is_file():
        raise CannotScore(
            f"'{pattern.name}': cohort '{cohort}' keeps no column '{pattern.given}', and the "
            f"store has no sites/{pattern.given}.csv with the columns {', '.join(modalities)} and "
            "count. Add one, or leave the pattern out."
        )
    table = _read(path, pattern, ["count"], modalities)
    available = _zero_or_one(table, modalities, path)
    counts = table["count"].to_numpy(dtype=np.float64)
    useful = available.any(axis=1) & (counts > 0)
    if (counts < 0).any() or not useful.any():
        raise DataError(f"{path}: no line with a modality and a count above 0. Correct the table.")
    return available[useful], counts[useful]


def _from_file(
    pattern: Pattern, store: CohortStore, samples: tuple[str, ...], modalities: tuple[str, ...]
) -> Bool[np.ndarray, "sample modality"]:
    path = pattern_file(pattern, store)
    assert path is not None
    if not path.is_file():
        raise CannotScore(
            f"'{pattern.name}': the store has no masks/{pattern.given}.csv with the columns sample "
            f"and {', '.join(modalities)}. Add one, or leave the pattern out."
        )
    table = _read(path, pattern, ["sample"], modalities).astype({"sample": str})
    available = pd.DataFrame(_zero_or_one(table, modalities, path), index=pd.Index(table["sample"]))
    missing = sum(sample not in available.index for sample in samples)
    if missing or not available.index.is_unique:
        raise DataError(
            f"{path}: {missing} of {len(samples)} samples have no line; expected one line for each "
            "sample. Complete the file, with no sample twice."
        )
    found = available.loc[list(samples)].to_numpy(dtype=bool)
    nothing = int((~found.any(axis=1)).sum())
    if nothing:
        raise CannotScore(
            f"'{pattern.name}': masks/{pattern.given}.csv leaves {nothing} of {len(samples)} "
            f"samples none of {', '.join(modalities)}; expected at least one modality each. Show "
            "them one, or leave the pattern out of this task."
        )
    return found


def _read(
    path: Path, pattern: Pattern, columns: list[str], modalities: tuple[str, ...]
) -> pd.DataFrame:
    """The table that a pattern reads.

    Raises:
        CannotScore: it says nothing of a modality that is asked with, as a table for other tasks.
        DataError: it has no such columns.
    """
    table = pd.read_csv(path, dtype={"sample": str})
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}. Add it.")
    unknown = [name for name in modalities if name not in table]
    if unknown:
        raise CannotScore(
            f"'{pattern.name}': {path.parent.name}/{path.name} has no column {', '.join(unknown)}, "
            "which is asked with here. Add it, or leave the pattern out of this task."
        )
    return table


def _zero_or_one(
    table: pd.DataFrame, modalities: tuple[str, ...], path: Path
) -> Bool[np.ndarray, "line modality"]:
    values = table[list(modalities)]
    if not values.isin([0, 1]).to_numpy().all():
        raise DataError(f"{path}: a modality's column holds something else than 0 and 1.")
    return values.to_numpy(dtype=bool)
