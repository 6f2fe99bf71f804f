"""The words of a pretraining task's `pairs`: which recordings a run trains on together."""

PAIRED, MISMATCHED = "paired", "mismatched"
PATTERN = r"^(matched|shuffled|(paired|mismatched)-(100|[1-9]?[0-9]))$"
EXPECTED = (
    "matched, shuffled, or paired-25 or mismatched-20 with any whole percentage from 0 to 100"
)


def parse_pairs(word: object) -> tuple[str, float]:
    """Return the kind of a pairing and its share, which is 1 for `matched` and `shuffled`.

    Raises:
        ValueError: the word is unknown, or its percentage is not a whole number from 0 to 100.
    """
    if word in ("matched", "shuffled"):
        return str(word), 1.0
    if isinstance(word, str):
        kind, _, percent = word.partition("-")
        if kind in (PAIRED, MISMATCHED) and percent in map(str, range(101)):
            return kind, int(percent) / 100
    raise ValueError(f"pairs is {word!r}; expected {EXPECTED}.")


def is_pairs(word: object) -> bool:
    """Return True for a word that `parse_pairs` knows."""
    try:
        parse_pairs(word)
    except ValueError:
        return False
    return True
