"""Draw what a pattern hides within a modality: analytes, leads, a segment in time, a region.

A marker is a small square at the lower edge of an image, on the side that tells an outcome. Noise
hides nothing: see `noise`.

What is hidden takes the value that the adapter stores where nothing was recorded, before the
measurement becomes an encoder's input. The adapter names the axes of a measurement and this value:
see `modalities.base.Modality`.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.splits import SPLITS
from clinical_symile.data.masks import Mask, given_covariate, sample_names
from clinical_symile.data.noise import Noise, NoiseMask
from clinical_symile.data.store import CohortStore
from clinical_symile.data.withheld import WithheldBlocks, WithheldParts
from clinical_symile.errors import CannotScore
from clinical_symile.hashing import digest_of
from clinical_symile.missingness.mechanisms import draw_hidden, normal_scores, uniforms
from clinical_symile.missingness.part_patterns import NOISE, SHIFTED_MARKER, SIGNAL_NOISE
from clinical_symile.missingness.patterns import Pattern

_CHUNK_NUMBERS = 2**24  # read at a time
# What has such a part, and the axes of a measurement that it needs.
_MARKERS = ("marker", SHIFTED_MARKER)
_IMAGE = ("row", "column")
_NEEDS = {"leads": ("lead",), "segment": ("time",), "region": _IMAGE, SIGNAL_NOISE: ("time",)}
_NEEDS |= dict.fromkeys(_MARKERS, _IMAGE)
_EXPECTED = {"leads": "an ECG", "segment": "a signal such as an ECG", "region": "an image"}
_EXPECTED |= {**dict.fromkeys(_MARKERS, "an image"), SIGNAL_NOISE: "a signal such as an ECG"}
_MARKER_EDGE = 1 / 8  # of the image's edges


@dataclass(frozen=True, repr=False)
class BlockMask:
    """The block of each measurement that a pattern hides: a segment, a region or a marker.

    Attributes:
        pattern: the name of the pattern.
        modality: the modality.
        samples: the samples' names; all have the modality.
        rows: the samples, as rows of the store.
        starts: where each block begins, along the last axes of a measurement.
        size: the length of every block along these axes.
        shape: the length of a measurement along these axes.
    """

    pattern: str
    modality: str
    samples: tuple[str, ...]
    rows: Int[np.ndarray, " sample"]
    starts: Int[np.ndarray, "sample axis"]
    size: tuple[int, ...]
    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"BlockMask({self.pattern!r}, {len(self.rows)} samples of {self.modality})"

    def hidden_rate_among(self, rows: Int[np.ndarray, " selected"]) -> dict[str, float]:
        """Return the hidden share of the modality's measurements among some rows; 0 of none."""
        is_any = bool(np.isin(self.rows, rows).any())
        return {self.modality: is_any * prod(self.size) / prod(self.shape)}

    @property
    def digest(self) -> str:
        """A digest that is equal exactly if the same is hidden in the same samples."""
        order = np.argsort(np.array(self.samples, dtype=str), kind="stable")
        return digest_of(
            f"{self.modality} {self.size} of {self.shape}",
            "\n".join(self.samples[row] for row in order),
            self.starts[order].astype("<i8").tobytes(),
        )


def draw_parts(
    pattern: Pattern, store: CohortStore, *, split: str, seed: int
) -> Mask | BlockMask | NoiseMask:
    """Draw what a pattern hides in each sample that has the modality, or adds to it.

    Args:
        pattern: a pattern within a modality, such as `labs-mcar-50` or `ecg-segment-3s`.
        store: a prepared cohort.
        split: the split of the samples.
        seed: seed of what is random.

    Returns:
        For analytes and leads the mask of these parts, for noise the noise, for others the block of
        each sample.

    Raises:
        CannotScore: the modality has no such parts, or the store lacks a column or an outcome that
            the pattern needs.
    """
    split_rows = store.rows(split)
    eligible = np.flatnonzero(store.present[split_rows, store.modalities.index(pattern.within)])
    rows = split_rows[eligible]
    samples = sample_names(store, rows)
    if pattern.part in NOISE:
        return NoiseMask(pattern.name, samples, rows, _draw_noise(pattern, store, seed=seed))
    if pattern.part:
        _require_axes(pattern, store)
    if pattern.part in ("segment", "region"):
        return _draw_blocks(pattern, store, rows, samples, seed=seed)
    if pattern.part in _MARKERS:
        is_tied = pattern.part != SHIFTED_MARKER or split != "held_out"
        tie = pattern.rate if is_tied else 0.0
        return _draw_markers(pattern, store, rows, samples, tie=tie, seed=seed)
    if pattern.part == "leads":
        recorded = _recorded_leads(store, pattern.within)[rows]
        own = None
    else:
        values = _panel(pattern, store)[rows]
        recorded, own = ~np.isnan(values), values
    parts = tuple(store.manifest["modalities"][pattern.within]["parts"])
    covariates = _covariates(pattern, store, split_rows, eligible, len(parts), own)
    # A lead may have the name of an analyte.
    columns = [f"{pattern.within}@{part}" for part in parts] if pattern.part else parts
    hidden = draw_hidden(
        uniforms(seed, samples, columns),
        covariates,
        present=recorded,
        rates=pattern.rates_of(parts),
    )
    return Mask(pattern.name, parts, samples, rows, recorded, recorded & ~hidden, covariates)


def hide_parts(pattern: Pattern, store: CohortStore, *, seed: int) -> CohortStore:
    """Return the store with parts of a modality hidden by a pattern, or its noise, in every split.

    Raises:
        CannotScore: as `draw_parts`.
    """
    if pattern.part in NOISE:
        noise = {**store.noise, pattern.within: _draw_noise(pattern, store, seed=seed)}
        return replace(store, noise=noise)
    withheld: WithheldParts | WithheldBlocks | None = None
    for split in SPLITS:
        mask = draw_parts(pattern, store, split=split, seed=seed)
        assert not isinstance(mask, NoiseMask)
        if isinstance(mask, Mask):
            if not isinstance(withheld, WithheldParts):
                shape = (len(store.samples), len(mask.columns))
                withheld = WithheldParts(np.zeros(shape, dtype=bool))
            withheld.hidden[mask.rows] = ~mask.available
        else:
            if not isinstance(withheld, WithheldBlocks):
                shape = (len(store.samples), len(mask.size))
                withheld = WithheldBlocks(np.zeros(shape, dtype=np.int64), mask.size)
            withheld.starts[mask.rows] = mask.starts
    assert withheld is not None
    return replace(store, withheld={**store.withheld, pattern.within: withheld})


def _require_axes(pattern: Pattern, store: CohortStore) -> None:
    """Refuse a pattern whose parts the modality does not have.

    Raises:
        CannotScore: the modality has other axes, or lasts no longer than the segment.
    """
    axes, needed = store.axes(pattern.within), _NEEDS[pattern.part]
    if not set(needed) <= set(axes):
        found = f"measurements with the axes {', '.join(axes)}" if axes else "no such axes"
        raise CannotScore(
            f"'{pattern.name}' {_words(pattern)}; {pattern.within} has {found}, and expected "
            f"is {_EXPECTED[pattern.part]}. Name another modality, or leave the pattern out.",
            code="CS-S010",
        )
    if pattern.part == "segment":
        duration_s = store.array(pattern.within).shape[-1] / store.sampling_rate_hz(pattern.within)
        if pattern.seconds >= duration_s:
            raise CannotScore(
                f"'{pattern.name}' hides {pattern.seconds:g} s of {pattern.within}, which lasts "
                f"{duration_s:g} s; expected a shorter segment. Name fewer seconds.",
                code="CS-S010",
            )


def _words(pattern: Pattern) -> str:
    """Return what a pattern does in words."""
    if pattern.part == SIGNAL_NOISE:
        return "adds noise in decibels"
    named = {"segment": "a segment in time", "region": "a region of an image"}
    named |= dict.fromkeys(_MARKERS, "a square of an image")
    return f"hides {named.get(pattern.part, pattern.part)}"


def _draw_noise(pattern: Pattern, store: CohortStore, *, seed: int) -> Noise:
    """Return the noise of a pattern, for every sample of the store.

    Raises:
        CannotScore: noise in decibels of what is no signal, or in percent of what has no scale.
    """
    modality, scale = pattern.within, None
    if pattern.part == SIGNAL_NOISE:
        _require_axes(pattern, store)
    else:
        scale = store.noise_scale(modality)
        if scale is None:
            instead = f" Write '{modality}-noise-10db'." if "time" in store.axes(modality) else ""
            raise CannotScore(
                f"'{pattern.name}' adds noise in percent of a scale, which {modality} does not "
                "have; expected an image or a panel of values. Name another modality, or leave the "
                f"pattern out.{instead}",
                code="CS-S010",
            )
    names = sample_names(store, np.arange(len(store.samples)))
    return Noise(modality, names, seed, pattern.rate, scale)


def _draw_blocks(
    pattern: Pattern,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    samples: tuple[str, ...],
    *,
    seed: int,
) -> BlockMask:
    """Draw where the block of each sample lies: every place is equally likely.

    A longer block contains a shorter one, since both start at the same share of the free places:
    with u in (0, 1), the start ⌊u (n + 1 - size)⌋ falls, and start + size rises, as size grows.
    """
    axes = _NEEDS[pattern.part]
    shape = store.array(pattern.within).shape[-len(axes) :]
    if pattern.part == "segment":
        size = (max(1, round(pattern.seconds * store.sampling_rate_hz(pattern.within))),)
    else:
        size = tuple(max(1, round(length * pattern.rate**0.5)) for length in shape)
    draws = uniforms(seed, samples, [f"{pattern.within}@{axis}" for axis in axes])
    starts = np.floor(draws * (np.array(shape) + 1 - np.array(size))).astype(np.int64)
    return BlockMask(pattern.name, pattern.within, samples, rows, starts, size, shape)


def _draw_markers(
    pattern: Pattern,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    samples: tuple[str, ...],
    *,
    tie: float,
    seed: int,
) -> BlockMask:
    """Draw the side of each sample's marker: the outcome's with probability (1 + tie) / 2.

    The right side stands for a positive outcome. Without a tie, and where the outcome is unknown,
    both sides are equally likely. A larger tie keeps every marker that was on the outcome's side.

    Raises:
        CannotScore: the store does not have the outcome.
    """
    if pattern.given not in store.outcomes:
        raise CannotScore(
            f"'{pattern.name}' depends on '{pattern.given}', which is no outcome of cohort "
            f"'{store.cohort}'; it has {', '.join(store.outcomes) or 'none'}. Name one of these, "
            "or leave the pattern out.",
            code="CS-S013",
        )
    label = store.outcome(pattern.given)[rows]
    draws = uniforms(seed, samples, [f"{pattern.within}@marker"])[:, 0]
    follows = draws < np.where(np.isnan(label), 0.5, (1 + tie) / 2)
    is_right = follows == (np.isnan(label) | (label == 1))
    height, width = store.array(pattern.within).shape[-2:]
    size = tuple(max(1, round(length * _MARKER_EDGE)) for length in (height, width))
    sides = [round(width * place - size[1] / 2) for place in (0.25, 0.75)]
    starts = np.stack([np.full(len(rows), height - size[0]), np.take(sides, is_right * 1)], axis=1)
    return BlockMask(
        pattern.name,
        pattern.within,
        samples,
        rows,
        starts.astype(np.int64).clip(min=0),
        size,
        (height, width),
    )


def _panel(pattern: Pattern, store: CohortStore) -> Float[np.ndarray, "sample analyte"]:
    """Return the values of a panel.

    Raises:
        CannotScore: the modality is not a panel of named values.
    """
    name = pattern.within
    parts = store.manifest["modalities"][name].get("parts") or ()
    values = store.array(name)
    if not parts or values.shape[1:] != (len(parts),) or store.unmeasured(name) is None:
        instead = f" For leads, write '{name}-leads-…'." if "lead" in store.axes(name) else ""
        raise CannotScore(
            f"{name} is not a panel of named values, so no part of it can be hidden; expected a "
            f"modality such as labs. Leave '{pattern.name}' out.{instead}",
            code="CS-S010",
        )
    return np.asarray(values, dtype=np.float64)


@lru_cache(maxsize=8)
def _recorded_leads(store: CohortStore, modality: str) -> Bool[np.ndarray, "sample lead"]:
    """Return which leads were recorded: those with a number other than the unrecorded one."""
    values, unrecorded = store.array(modality), store.unrecorded(modality)
    step = max(1, _CHUNK_NUMBERS // max(1, prod(values.shape[1:])))
    found = np.zeros((len(values), values.shape[1]), dtype=bool)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        missing = np.isnan(part) if np.isnan(unrecorded) else part == unrecorded
        found[start : start + step] = ~missing.all(axis=2)
    return found


def _covariates(
    pattern: Pattern,
    store: CohortStore,
    split_rows: Int[np.ndarray, " row"],
    eligible: Int[np.ndarray, " sample"],
    count: int,
    own: Float[np.ndarray, "sample part"] | None,
) -> Float[np.ndarray, "sample part"]:
    """Return the covariate x of `mechanisms` for each part.

    Raises:
        CannotScore: the parts have no single value that their own loss could depend on.
    """
    if pattern.given:
        one = given_covariate(pattern, store, split_rows)[eligible]
        return np.repeat(one[:, None], count, axis=1)
    if pattern.mechanism != "mnar":
        return np.zeros((len(eligible), count))
    if own is None:
        raise CannotScore(
            f"'{pattern.name}' hides a lead by its own value, and a lead has many; expected mcar, "
            f"mar with a column, or mnar with an outcome, such as {pattern.within}-leads-mcar-30.",
            code="CS-S010",
        )
    return np.stack([normal_scores(column) for column in own.T], axis=1)
