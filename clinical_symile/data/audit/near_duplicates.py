"""Find equal and nearly equal measurements, by exact digests and locality-sensitive hashes.

An image is reduced to 32 by 32 means without its broad shades, a signal to 25 means per second of
each lead. Both are standardized. The hash has one bit for each of 128 random directions: the sign
of the projection. Two measurements with correlation r differ in a share arccos(r) / π of the bits
(Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002,
https://doi.org/10.1145/509907.509965). Pairs that agree in one of eight parts of the hash and
differ in few bits are then compared in full.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from scipy.ndimage import uniform_filter1d

BITS = 128
BANDS = 8  # up to seven different bits leave at least one part equal
FEW_BITS = 16
ALIKE = 0.98  # correlation from which two measurements count as copies
ONES = np.array([number.bit_count() for number in range(256)])
AT_A_TIME = 64
SIDE = 32
PER_SECOND, RATE_HZ = 25, 500

Rows = Int[np.ndarray, " row"]


def row_digests(array: Shaped[np.ndarray, "sample ..."], rows: Rows) -> dict[bytes, list[int]]:
    """Return the rows of each measurement, by its digest."""
    found: dict[bytes, list[int]] = {}
    for row in rows:
        content = np.ascontiguousarray(array[row]).tobytes()
        found.setdefault(hashlib.blake2b(content, digest_size=16).digest(), []).append(int(row))
    return found


def exact_duplicates(array: Shaped[np.ndarray, "sample ..."], rows: Rows) -> list[list[int]]:
    """Return each group of two rows or more with the same measurement."""
    return [same for same in row_digests(array, rows).values() if len(same) > 1]


def supports_near_duplicates(shape: tuple[int, ...]) -> bool:
    """Return whether measurements of a shape are images or signals; only these are compared."""
    return len(shape) in (2, 3)


def near_duplicate_pairs(
    array: Shaped[np.ndarray, "sample ..."], rows: Rows, group: Int[np.ndarray, " row"]
) -> list[tuple[int, int]]:
    """Return pairs of rows of different groups whose measurements are nearly the same.

    Args:
        array: images [1, h, w] or signals [lead, time at 500 Hz].
        rows: the rows to compare.
        group: the group of each row, such as its split.
    """
    if not len(rows):
        return []
    hashes = np.concatenate([_hashes(_features(array[part])) for part in _parts(rows)])
    pairs = sorted(
        {
            pair
            for first in range(0, BITS // 8, BITS // 8 // BANDS)
            for pair in _close(hashes, slice(first, first + BITS // 8 // BANDS), group)
        }
    )
    kept = []
    for part in (pairs[first : first + AT_A_TIME] for first in range(0, len(pairs), AT_A_TIME)):
        left, right = (_features(array[rows[list(side)]]) for side in zip(*part, strict=True))
        likeness = (left * right).mean(axis=1)
        kept += [pair for pair, r in zip(part, likeness, strict=True) if r >= ALIKE]
    return [(int(rows[left]), int(rows[right])) for left, right in kept]


def _parts(rows: Rows) -> Iterator[Rows]:
    yield from (rows[first : first + AT_A_TIME] for first in range(0, len(rows), AT_A_TIME))


def _features(measured: Shaped[np.ndarray, "row ..."]) -> Float[np.ndarray, "row feature"]:
    """Return the compared features, with mean 0 and mean square 1."""
    values = measured.astype(np.float32)
    if values.ndim == 4:
        values = _means(_means(values[:, 0], 1, SIDE), 2, SIDE)
        for axis in (1, 2):
            broad = uniform_filter1d(values, SIDE // 4, axis=axis, mode="nearest")
            values = values - broad
    else:
        values = _means(values, 2, max(1, values.shape[2] * PER_SECOND // RATE_HZ))
        values = _standard(values)  # each lead by itself: a gain does not hide a copy
    return _standard(values.reshape(len(values), -1))


def _means(values: np.ndarray, axis: int, number: int) -> np.ndarray:
    """Average over a number of equal segments along an axis."""
    edges = np.linspace(0, values.shape[axis], number + 1).astype(int)[:-1]
    widths = np.diff(np.append(edges, values.shape[axis]))
    shape = [-1 if place == axis else 1 for place in range(values.ndim)]
    return np.add.reduceat(values, edges, axis=axis) / widths.reshape(shape).astype(np.float32)


def _standard(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=-1, keepdims=True)
    size = np.sqrt((centred**2).mean(axis=-1, keepdims=True))
    return centred / np.where(size > 0, size, 1)


def _hashes(features: Float[np.ndarray, "row feature"]) -> UInt8[np.ndarray, "row byte"]:
    directions = np.random.default_rng(0).standard_normal(
        (features.shape[1], BITS), dtype=np.float32
    )
    return np.packbits(features @ directions > 0, axis=1)


def _close(
    hashes: UInt8[np.ndarray, "row byte"], band: slice, group: Int[np.ndarray, " row"]
) -> Iterable[tuple[int, int]]:
    """Yield pairs of different groups that agree in one part of the hash and differ in few bits."""
    part = hashes[:, band].astype(np.int64) @ (256 ** np.arange(band.stop - band.start))
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if len(np.unique(group[members])) < 2:
            continue
        for place, one in enumerate(members[:-1]):  # row by row: memory is that of one bucket
            others = members[place + 1 :]
            others = others[group[others] != group[one]]
            bits = ONES[hashes[others] ^ hashes[one]].sum(axis=1)
            for other in others[bits <= FEW_BITS]:
                yield min(int(one), int(other)), max(int(one), int(other))
