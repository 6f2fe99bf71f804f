"""Find the parts of an ECG in which no lead changes: padding, and lost blocks."""

import math

import numpy as np
from jaxtyping import Float

# Leads of a heart change together at nearly every time point. 40 real records rest for at most 13
# time points inside, and for 56 at their ends, where some carts hold the last value.
_FEWEST_POINTS = 20
_LONGEST_REST_S = 0.2
_FEWEST_LEADS = 4  # leads that must change somewhere, to judge a common rest


def dead_stretches(signal: Float[np.ndarray, "lead t"]) -> list[tuple[int, int]]:
    """Return the stretches of at least 20 time points in which no lead changes, as first and end.

    Leads that never change, or that have gaps, are left aside.
    """
    changing, same = 0, np.ones(max(signal.shape[1] - 1, 0), dtype=bool)
    for lead in signal:
        if np.isfinite(lead).all() and (lead != lead[:1]).any():
            changing += 1
            same &= lead[1:] == lead[:-1]
    if changing < _FEWEST_LEADS:
        return []
    rests = np.concatenate([[False], same, [False]])
    edges = np.flatnonzero(rests[1:] != rests[:-1]).reshape(-1, 2)
    return [(first, end + 1) for first, end in edges.tolist() if end + 1 - first >= _FEWEST_POINTS]


def recorded_range(signal: Float[np.ndarray, "lead t"], rate: float) -> tuple[int, int]:
    """Return the first time point and the end of what was recorded, without padding at the ends.

    Padding is a stretch of 0.2 s or more at an end in which no lead changes.
    """
    first, end = 0, signal.shape[1]
    for begin, finish in dead_stretches(signal):
        if finish - begin < _LONGEST_REST_S * rate:
            continue
        if begin == 0:
            first = finish - _own_points(signal, begin, finish)
        elif finish == signal.shape[1]:
            end = begin + _own_points(signal, begin, finish)
    return first, end


def lost_stretches(
    signal: Float[np.ndarray, "lead t"], rate: float
) -> tuple[list[tuple[int, int]], bool]:
    """Return the stretches inside a recording that were lost, and True if others may have been.

    A stretch of 0.2 s or more counts as lost. A shorter one may be lost, unless it is at an end
    and holds another value than zero.
    """
    lost, doubtful = [], False
    for first, end in dead_stretches(signal):
        inside = first > 0 and end < signal.shape[1]
        if inside and end - first >= _LONGEST_REST_S * rate:
            lost.append((first, end))
        elif inside or not _own_points(signal, first, end):
            doubtful = True
    return lost, doubtful


def has_zeros_in_a_lead(signal: Float[np.ndarray, "lead t"], rate: float) -> bool:
    """Return True if one lead of several is zero for a while, and changes elsewhere.

    Files that hold one lead after another lose a part of one lead with a lost block. It counts from
    0.2 s on inside, and from 0.4 s on at an end. Between two beats, leads of 71 real records are
    exactly zero for at most 0.104 s; one begins with zeros for 0.272 s.
    """
    points = math.ceil(_LONGEST_REST_S * rate)
    for lead in signal:
        zeros = lead == 0
        if np.count_nonzero(zeros) < points:
            continue
        zero = np.concatenate([[False], zeros, [False]])
        edges = np.flatnonzero(zero[1:] != zero[:-1]).reshape(-1, 2)
        at_end = (edges[:, 0] == 0) | (edges[:, 1] == len(lead))
        if lead.any() and (edges[:, 1] - edges[:, 0] >= np.where(at_end, 2, 1) * points).any():
            return True
    return False


def _own_points(signal: Float[np.ndarray, "lead t"], first: int, end: int) -> int:
    """Return 1 if a stretch repeats a recorded value, which is the signal's own; 0 for zeros."""
    return int(np.nan_to_num(signal[:, first:end]).any())
