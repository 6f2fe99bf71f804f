"""Draw masks: the modalities, or the parts of one, that a pattern makes available in each sample.

A mask depends on the pattern, the store and a seed alone, so that all models evaluated on a store
have the same masks. The digest of a mask shows this. It depends on the samples' names and on what
is available in each, not on the order of the samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from clinical_symile.data.mask_files import pattern_file, read_mask, read_site_table
from clinical_symile.data.severity import severity
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import CannotScore
from clinical_symile.files import write_file
from clinical_symile.hashing import digest_of
from clinical_symile.missingness.at_least_one import UnreachableError
from clinical_symile.missingness.draw import draw_pattern
from clinical_symile.missingness.mask_statistics import MaskStatistics, mask_statistics
from clinical_symile.missingness.mechanisms import normal_scores, uniforms
from clinical_symile.missingness.patterns import (
    Pattern,
    apply_pattern,
    eligible_samples,
    parse_pattern,
)


@dataclass(frozen=True, repr=False)
class Mask:
    """The columns that a pattern makes available in some samples.

    Attributes:
        pattern: the name of the pattern.
        columns: modalities, or the parts of one.
        samples: the samples' names.
        rows: the samples, as rows of the store.
        present: True where the store has a usable measurement.
        available: True where it is also visible under the pattern.
        covariates: x of `mechanisms`; zero where the pattern depends on nothing.
    """

    pattern: str
    columns: tuple[str, ...]
    samples: tuple[str, ...]
    rows: Int[np.ndarray, " sample"]
    present: Bool[np.ndarray, "sample column"]
    available: Bool[np.ndarray, "sample column"]
    covariates: Float[np.ndarray, "sample column"]

    def __repr__(self) -> str:
        return f"Mask({self.pattern!r}, {len(self.rows)} samples, {', '.join(self.columns)})"

    @property
    def statistics(self) -> MaskStatistics:
        """The shares, correlations and slopes of what is hidden."""
        return self.statistics_among(self.rows)

    def statistics_among(self, rows: Int[np.ndarray, " selected"]) -> MaskStatistics:
        """Return the shares, correlations and slopes of what is hidden among some rows."""
        selected = np.isin(self.rows, rows)
        return mask_statistics(
            self.columns,
            self.present[selected],
            self.available[selected],
            self.covariates[selected],
        )

    @property
    def hidden_rate(self) -> dict[str, float]:
        """The share of each column's present entries that is hidden."""
        return self.hidden_rate_among(self.rows)

    def hidden_rate_among(self, rows: Int[np.ndarray, " selected"]) -> dict[str, float]:
        """Return the share of each column's present entries that is hidden, among some rows."""
        selected = np.isin(self.rows, rows)
        present = self.present[selected].sum(axis=0)
        hidden = (self.present & ~self.available)[selected].sum(axis=0)
        rates = np.divide(hidden, present, out=np.zeros(len(present)), where=present > 0)
        return dict(zip(self.columns, rates.tolist(), strict=True))

    @property
    def digest(self) -> str:
        """A digest that is equal exactly if the same is available in the same samples."""
        order = np.argsort(np.array(self.samples, dtype=str), kind="stable")
        return digest_of(
            "\n".join(self.columns),
            "\n".join(self.samples[row] for row in order),
            np.packbits(self.available[order]).tobytes(),
        )

    def write(self, path: Path) -> None:
        """Write the mask as CSV: `sample`, and for each column 1 where it is available."""
        table = pd.DataFrame(self.available.astype(int), columns=list(self.columns))
        table.insert(0, "sample", self.samples)
        write_file(path, lambda file: table.to_csv(file, index=False, lineterminator="\n"))


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
        seed: seed of what is random.

    Returns:
        The mask of the samples that the pattern is evaluated on.

    Raises:
        CannotScore: the store lacks a column, an outcome or a file that the pattern needs.
        DefinitionError: there is no such pattern, or it does not fit these modalities.

    Examples:
        >>> mask = cs.draw_mask("mcar-30", "store", split="train")
        >>> mask.available.shape == (len(mask.rows), 3)
        True
    """
    pattern = parse_pattern(missingness) if isinstance(missingness, str) else missingness
    store = open_store(store)
    columns = store.modalities if modalities is None else tuple(modalities)
    path = pattern_file(pattern, store)
    content = path.read_bytes() if path is not None and path.is_file() else b""
    return _mask(pattern, store, split, columns, seed, digest_of(content))


@lru_cache(maxsize=128)
def _mask(
    pattern: Pattern,
    store: CohortStore,
    split: str,
    modalities: tuple[str, ...],
    seed: int,
    file_digest: str,
) -> Mask:
    """Draw a mask; the digest of the pattern's table keeps an edited table out of the cache."""
    del file_digest
    rows = store.rows(split)
    columns = [store.modalities.index(name) for name in modalities]
    eligible = np.flatnonzero(eligible_samples(pattern, store.present[rows][:, columns]))
    rows = rows[eligible]
    present = store.present[rows][:, columns]
    available = apply_pattern(pattern, modalities=modalities, present=present)
    samples = sample_names(store, rows)
    covariates = np.zeros(present.shape)
    path = pattern_file(pattern, store)
    if pattern.mechanism == "site":
        available = available & _draw_site(pattern, store, rows, modalities, seed=seed)
    elif pattern.mechanism == "mask":
        assert path is not None
        visible = read_mask(pattern, path, samples=samples, modalities=modalities)
        available = available & visible
    elif pattern.mechanism and not pattern.within and len(rows):
        covariates = _covariates(pattern, store, split, eligible, modalities)
        hidden = _draw_mechanism(pattern, samples, modalities, covariates, present, seed=seed)
        available = available & ~hidden
    for array in (rows, present, available, covariates):
        array.flags.writeable = False
    return Mask(pattern.name, modalities, samples, rows, present, available, covariates)


def _draw_mechanism(
    pattern: Pattern,
    samples: tuple[str, ...],
    modalities: tuple[str, ...],
    covariates: Float[np.ndarray, "sample modality"],
    present: Bool[np.ndarray, "sample modality"],
    *,
    seed: int,
) -> Bool[np.ndarray, "sample modality"]:
    """Draw the modalities that a mechanism hides.

    Raises:
        CannotScore: the rule of the pattern does not allow the rates on these samples.
    """
    try:
        return draw_pattern(pattern, samples, modalities, covariates, present, seed=seed)
    except UnreachableError as error:
        raise CannotScore(
            f"'{pattern.name}': {error}. Lower the rate, or leave the rule out.", code="CS-S013"
        ) from error


def sample_names(store: CohortStore, rows: Int[np.ndarray, " sample"]) -> tuple[str, ...]:
    """Return the names of some rows' samples."""
    return tuple(store.samples["sample"].iloc[rows].astype(str))


def _covariates(
    pattern: Pattern,
    store: CohortStore,
    split: str,
    eligible: Int[np.ndarray, " sample"],
    modalities: tuple[str, ...],
) -> Float[np.ndarray, "sample modality"]:
    """Return the covariate x of `mechanisms` for the eligible samples of a split."""
    if pattern.given:
        one = given_covariate(pattern, store, store.rows(split))[eligible]
        return np.repeat(one[:, None], len(modalities), axis=1)
    if pattern.mechanism == "mnar":
        return np.stack([severity(store, name, split)[eligible] for name in modalities], axis=1)
    return np.zeros((len(eligible), len(modalities)))


def given_covariate(
    pattern: Pattern, store: CohortStore, rows: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """Return the column or outcome that a mechanism depends on, as normal scores.

    Words are ordered alphabetically; an unknown value is average.

    Raises:
        CannotScore: the store does not have it.
    """
    kept = f"kept_{pattern.given}"
    if pattern.mechanism == "mnar" and pattern.given in store.outcomes:
        values = store.outcome(pattern.given)[rows]
    elif kept in store.samples:
        values = _as_numbers(store.samples[kept].iloc[rows])
    else:
        columns = [name for name in store.samples.columns if name.startswith("kept_")]
        known = [name.removeprefix("kept_") for name in columns]
        known += store.outcomes if pattern.mechanism == "mnar" else ()
        raise CannotScore(
            f"'{pattern.name}' depends on '{pattern.given}', which cohort '{store.cohort}' does "
            f"not keep; it has {', '.join(known) or 'nothing'}. Name it in the cohort's keep, or "
            "leave the pattern out.",
            code="CS-S013",
        )
    return normal_scores(values)


def _as_numbers(column: pd.Series) -> Float[np.ndarray, " sample"]:
    """Return numbers unchanged and words by alphabetical position; NaN where unknown."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    words = column.astype("string")
    position = {word: float(number) for number, word in enumerate(sorted(words.dropna().unique()))}
    return words.map(position).to_numpy(dtype=np.float64, na_value=np.nan)


def _draw_site(
    pattern: Pattern,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    modalities: tuple[str, ...],
    *,
    seed: int,
) -> Bool[np.ndarray, "sample modality"]:
    """Draw the availability of each sample from a site's samples with some modality."""
    draws = uniforms(seed, sample_names(store, rows), ["site"])[:, 0]
    kept, path = f"kept_{pattern.given}", pattern_file(pattern, store)
    if path is not None:
        table, counts = read_site_table(pattern, path, cohort=store.cohort, modalities=modalities)
        return _draw_lines(table, counts, draws)
    train = store.rows("train")
    present = store.present[train][:, [store.modalities.index(name) for name in modalities]]
    present, train = present[present.any(axis=1)], train[present.any(axis=1)]
    if not len(present):
        raise CannotScore(
            f"'{pattern.name}': no train sample has any of {', '.join(modalities)}, so that the "
            "site's availability is unknown. Leave the pattern out.",
            code="CS-S013",
        )
    if not pattern.given:
        return _draw_lines(present, np.ones(len(present)), draws)
    site = store.samples[kept].astype("string").fillna("")
    available = np.zeros((len(rows), len(modalities)), dtype=bool)
    for name in site.iloc[rows].unique():
        of_site = (site.iloc[rows] == name).to_numpy()
        in_train = (site.iloc[train] == name).to_numpy()
        if not in_train.any():
            raise CannotScore(
                f"'{pattern.name}': some samples have a value of {pattern.given} that no train "
                "sample has, so that its availability is unknown. Leave the pattern out.",
                code="CS-S013",
            )
        available[of_site] = _draw_lines(present[in_train], np.ones(in_train.sum()), draws[of_site])
    return available


def _draw_lines(
    table: Bool[np.ndarray, "line modality"],
    counts: Float[np.ndarray, " line"],
    draws: Float[np.ndarray, " sample"],
) -> Bool[np.ndarray, "sample modality"]:
    """Draw a line of a table for each sample in proportion to the counts; equal lines are one."""
    lines, number = np.unique(table, axis=0, return_inverse=True)
    share = np.cumsum(np.bincount(number.reshape(-1), counts, len(lines)))
    return lines[np.searchsorted(share / share[-1], draws, side="right")]
