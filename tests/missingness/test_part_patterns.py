"""The words of a segment, a region, a marker and noise are parsed, and others refused."""

import pytest

from clinical_symile.missingness.part_patterns import PartWords, is_percent, parse_part


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("segment-2.5s", PartWords("segment", seconds=2.5)),
        ("region-25", PartWords("region", rate=0.25)),
        ("noise-25", PartWords("noise", rate=0.25)),
        ("noise-999", PartWords("noise", rate=9.99)),
        ("noise-0db", PartWords("noise-db", rate=1.0)),
        ("noise-40db", PartWords("noise-db", rate=0.01)),
        ("marker-died-0", PartWords("marker", "mnar", given="died")),
        ("marker-shift-died-90", PartWords("marker-shift", "mnar", rate=0.9, given="died")),
    ],
)
def test_words_after_the_modality_are_parsed(words: str, expected: PartWords) -> None:
    assert parse_part(words.split("-")) == expected


def test_ten_decibels_are_a_tenth_of_the_signals_power() -> None:
    found = parse_part(["noise", "10db"])
    assert found is not None
    assert found.rate**2 == pytest.approx(0.1)


@pytest.mark.parametrize(
    "words",
    [
        *("noise", "noise-0", "noise-1000", "noise-3.5", "noise-100db", "noise-2.55db", "noise-db"),
        *("noise-10DB", "noise-10-20", "noise-mcar-10", "segment-0s", "region-100", "leads-30"),
    ],
)
def test_words_that_do_not_fit_are_nothing(words: str) -> None:
    assert parse_part(words.split("-")) is None


def test_a_percentage_is_whole_and_within_its_ends() -> None:
    assert [word for word in ("0", "1", "99", "100", "1.5", "٣") if is_percent(word, least=1)] == [
        *("1", "99"),
    ]
    assert is_percent("100", least=0, most=100)
