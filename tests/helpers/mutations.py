"""Damage files as disks, transfers, editors and attackers do: seeded, by named kinds.

mutate(data, rng, "flip_bits")          # bytes -> bytes, never equal to data
for kind in KINDS: ...                  # every kind fits every file, text or binary
"""

import re
from collections.abc import Callable, Mapping

import numpy as np

_HEAD = 512  # bytes in which most formats state sizes and counts
_HUGE_TEXT = (
    *(b"99999999999", b"-1", b"0", b"nan", b"1e999", b"16x100000", b"4294967295", b"-99999999"),
    *(b"9" * 400, b"", b"1" * 30 + b".5", b"0x7fffffff"),
)
# Values of another type than the one that they replace, and letters that no UTF-8 file can hold.
_OTHER_TYPES = (
    *(b"null", b"[]", b"{}", b"1", b"-0.5", b"true", b'"a"', b'""', b'[{"a": 1}]'),
    *(b'"\\ud800"', b'"\\u0000"', b'"../a"', b"NaN"),
)
_HUGE_INTEGERS = (b"\xff", b"\x7f", b"\x80", b"\x00")


def mutate(data: bytes, rng: np.random.Generator, kind: str) -> bytes:
    """Return damaged bytes that differ from `data`.

    Args:
        data: the content of a file; not empty.
        rng: decides where and how much.
        kind: one of `KINDS`.
    """
    for _ in range(20):
        damaged = _MUTATORS[kind](data, rng)
        if damaged != data:
            return damaged
    return data + b"\0"  # such as zeros over a part that is zero everywhere


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _flip_head(data: bytes, rng: np.random.Generator) -> bytes:
    return _flip_bits(data[:_HEAD], rng) + data[_HEAD:]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _empty(data: bytes, rng: np.random.Generator) -> bytes:
    return b""


def _zero_part(data: bytes, rng: np.random.Generator) -> bytes:
    first, end = _part(data, rng)
    return data[:first] + bytes(end - first) + data[end:]


def _zero_tail(data: bytes, rng: np.random.Generator) -> bytes:
    first = int(rng.integers(len(data)))
    return data[:first] + bytes(len(data) - first)


def _random_part(data: bytes, rng: np.random.Generator) -> bytes:
    first, end = _part(data, rng)
    return data[:first] + rng.bytes(end - first) + data[end:]


def _lose_part(data: bytes, rng: np.random.Generator) -> bytes:
    first, end = _part(data, rng)
    return data[:first] + data[end:]


def _repeat_part(data: bytes, rng: np.random.Generator) -> bytes:
    first, end = _part(data, rng)
    return data[:end] + data[first:]


def _append(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 500)))


def _huge_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace one number of a text, or of the text inside a binary file."""
    numbers = list(re.finditer(rb"-?\d[\d.]*", data[:1_000_000]))
    if not numbers:
        return _huge_integer(data, rng)
    one = numbers[int(rng.integers(len(numbers)))]
    return data[: one.start()] + _choice(_HUGE_TEXT, rng) + data[one.end() :]


def _huge_integer(data: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite 2, 4 or 8 bytes near the beginning: a count or a size of a binary header."""
    size = int(rng.choice([2, 4, 8]))
    first = int(rng.integers(min(len(data), _HEAD)))
    filled = _choice(_HUGE_INTEGERS, rng) * size
    return data[:first] + filled[: len(data) - first] + data[first + size :]


def _duplicate_line(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.splitlines(keepends=True)
    place = int(rng.integers(len(lines)))
    return b"".join(lines[: place + 1] + lines[place:])


def _remove_line(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.splitlines(keepends=True)
    place = int(rng.integers(len(lines)))
    return b"".join(lines[:place] + lines[place + 1 :])


def _swap_lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.splitlines(keepends=True)
    one, other = (int(place) for place in rng.integers(len(lines), size=2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def _latin_1(data: bytes, rng: np.random.Generator) -> bytes:
    """Insert a letter that is not UTF-8."""
    place = int(rng.integers(len(data)))
    return data[:place] + b"\xe9" + data[place:]


def _utf_16(data: bytes, rng: np.random.Generator) -> bytes:
    return data.decode("latin-1").encode(str(rng.choice(["utf-16", "utf-16-le", "utf-16-be"])))


def _nested(data: bytes, rng: np.random.Generator) -> bytes:
    """Insert thousands of opening brackets, which recursive parsers cannot follow."""
    place = int(rng.integers(len(data)))
    return data[:place] + _choice((b"[", b"{", b"(", b"<a>"), rng) * 5000 + data[place:]


def _other_type(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace one number or quoted text by a value of another type."""
    values = list(re.finditer(rb'"[^"\n]*"|-?\d[\d.]*|\bnull\b', data[:1_000_000]))
    if not values:
        return _huge_text(data, rng)
    one = values[int(rng.integers(len(values)))]
    return data[: one.start()] + _choice(_OTHER_TYPES, rng) + data[one.end() :]


def _part(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    first = int(rng.integers(len(data)))
    return first, min(len(data), first + int(rng.integers(1, max(2, min(5000, len(data) // 2)))))


def _choice(choices: tuple[bytes, ...], rng: np.random.Generator) -> bytes:
    return choices[int(rng.integers(len(choices)))]


_MUTATORS: Mapping[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flip_bits": _flip_bits,
    "flip_head": _flip_head,
    "cut": _cut,
    "empty": _empty,
    "zero_part": _zero_part,
    "zero_tail": _zero_tail,
    "random_part": _random_part,
    "lose_part": _lose_part,
    "repeat_part": _repeat_part,
    "append": _append,
    "huge_text": _huge_text,
    "huge_integer": _huge_integer,
    "duplicate_line": _duplicate_line,
    "remove_line": _remove_line,
    "swap_lines": _swap_lines,
    "latin_1": _latin_1,
    "utf_16": _utf_16,
    "nested": _nested,
    "other_type": _other_type,
}
KINDS = tuple(_MUTATORS)
