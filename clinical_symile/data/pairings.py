"""Pairings: which rows of a store the modalities of each train sample are read from.

| `pairs` | what a run trains on |
|---|---|
| `matched` | every sample with its own recordings |
| `shuffled` | each modality permuted: a control in which nothing belongs together |
| `paired-25` | 25 % of the samples as they are; the others taken apart, a row for each recording |
| `mismatched-20` | in 20 % of the samples one modality is that of another such sample |

The share is of the samples with two modalities or more; it is rounded. Draws depend on the seed of
the run alone, and a larger share contains a smaller one. Only rows to train on are ever paired.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from clinical_symile.config.tasks.pairs import MISMATCHED, PAIRED, parse_pairs


@dataclass(frozen=True, repr=False)
class Paired:
    """The rows to train on, after their pairing was changed.

    Attributes:
        rows: the samples, as rows of the store, ascending; a sample that was taken apart has a row
            for each of its modalities.
        partners: the row that each modality is read from.
        available: True where the modality may be used.
        is_apart: True for a row of a sample that was taken apart.
        counts: what was done, for the run's record; empty where nothing was.
    """

    rows: Int[np.ndarray, " sample"]
    partners: Int[np.ndarray, "sample modality"]
    available: Bool[np.ndarray, "sample modality"]
    is_apart: Bool[np.ndarray, " sample"]
    counts: dict[str, int]


def pair_rows(
    word: str,
    rows: Int[np.ndarray, " sample"],
    *,
    present: Bool[np.ndarray, "row modality"],
    hidden: Bool[np.ndarray, "sample modality"],
    seed: int,
) -> Paired:
    """Pair the recordings of the samples to train on.

    Args:
        word: as in the task's `pairs`.
        rows: the samples, as rows of the store, ascending.
        present: for each row of the store the modalities of the task that are recorded.
        hidden: the modalities of each sample that the task's pattern hides.
        seed: seed of the run.

    Raises:
        ValueError: see `parse_pairs`.
    """
    kind, share = parse_pairs(word)
    partners = np.repeat(rows[:, None], present.shape[1], axis=1)
    if kind == "shuffled":
        rng = np.random.default_rng(seed)
        partners = np.stack([rng.permutation(rows) for _ in range(present.shape[1])], axis=1)
    available = present[partners, np.arange(present.shape[1])] & ~hidden
    whole = np.zeros(len(rows), dtype=bool)
    if kind == PAIRED:
        return _taken_apart(rows, available, share, seed)
    if kind == MISMATCHED:
        return _mismatched(rows, available, share, seed)
    return Paired(rows, partners, available, whole, {})


def _chosen(
    available: Bool[np.ndarray, "sample modality"], share: float, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, " sample"], Bool[np.ndarray, " sample"]]:
    """Return which samples have two modalities, and a drawn share of them.

    The share is drawn among complete and among incomplete samples, each by itself.
    """
    counts = available.sum(axis=1)
    chosen = np.zeros(len(available), dtype=bool)
    for group in (counts == available.shape[1], (counts >= 2) & (counts < available.shape[1])):
        order = rng.permutation(np.flatnonzero(group))
        chosen[order[: round(share * len(order))]] = True
    return counts >= 2, chosen


def _taken_apart(
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
    share: float,
    seed: int,
) -> Paired:
    """Keep a share of the samples, and make a row for each recording of the others."""
    several, kept = _chosen(available, share, np.random.default_rng([seed, 1]))
    apart = several & ~kept
    pieces = np.where(apart, available.sum(axis=1), 1)
    source = np.repeat(np.arange(len(rows)), pieces)
    split = available[source]
    # The k-th row of a sample that is taken apart has its k-th available modality alone.
    place = np.arange(len(source)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    only = split & (split.cumsum(axis=1) == place[:, None] + 1)
    is_apart = apart[source]
    counts = {
        "samples_paired": int(kept.sum()),
        "samples_taken_apart": int(apart.sum()),
        "rows": len(source),
    }
    partners = np.repeat(rows[source][:, None], available.shape[1], axis=1)
    usable = np.where(is_apart[:, None], only, split)
    return Paired(rows[source], partners, usable, is_apart, counts)


def _mismatched(
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
    share: float,
    seed: int,
) -> Paired:
    """Exchange one modality of each of a share of the samples among those that drew the same.

    A modality that a single sample drew has no partner: the sample keeps it and is counted.
    """
    rng = np.random.default_rng([seed, 2])
    several, chosen = _chosen(available, share, rng)
    # One of a sample's modalities each, with equal chances; drawn for all, so that shares nest.
    draws = np.where(available, rng.random(available.shape), -1.0).argmax(axis=1)
    order = rng.permutation(len(rows))
    partners, exchanged = np.repeat(rows[:, None], available.shape[1], axis=1), 0
    for column in range(available.shape[1]):
        among = order[(chosen & (draws == column))[order]]
        if len(among) > 1:
            partners[among, column] = rows[np.roll(among, 1)]
            exchanged += len(among)
    counts = {
        "samples_mismatched": exchanged,
        "samples_without_partner": int(chosen.sum()) - exchanged,
        "samples_paired": int(several.sum()) - exchanged,
    }
    return Paired(rows, partners, available, np.zeros(len(rows), dtype=bool), counts)
