"""The words of `pairs`: parsed, matched by the schema's pattern, or refused."""

import re

import pytest

from clinical_symile.config.tasks.pairs import PATTERN, is_pairs, parse_pairs


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("matched", ("matched", 1.0)),
        ("shuffled", ("shuffled", 1.0)),
        ("paired-0", ("paired", 0.0)),
        ("paired-25", ("paired", 0.25)),
        ("mismatched-100", ("mismatched", 1.0)),
    ],
)
def test_a_word_is_a_kind_and_a_share(word: str, expected: tuple[str, float]) -> None:
    assert parse_pairs(word) == expected
    assert is_pairs(word)
    assert re.search(PATTERN, word)


@pytest.mark.parametrize(
    "word", ["paired", "paired-", "paired-101", "paired--5", "paired-05", "paired-²", "odd-5", ""]
)
def test_any_other_word_is_refused_by_the_parser_and_by_the_schema(word: str) -> None:
    assert not is_pairs(word)
    assert not re.search(PATTERN, word)
    with pytest.raises(ValueError, match=r"expected matched, shuffled, or paired-25"):
        parse_pairs(word)


def test_what_is_no_text_is_refused() -> None:
    assert not is_pairs(25)
