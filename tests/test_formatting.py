from collections.abc import Sequence
from itertools import product

import pytest

from clinical_symile.formatting import (
    DASH,
    format_at_least,
    format_count,
    format_difference,
    format_duration,
    format_interval,
    format_nested_counts,
    format_p_value,
    format_part,
    format_parts,
    format_total,
    format_value,
    html_table,
    join_words,
    mask_small_counts,
    mask_subject_counts,
)

NBSP, MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"


def test_a_proportion_is_written_in_per_cent_and_any_other_value_with_decimals():
    assert format_value(0.714, "recall_at_1") == f"71{NBSP}%"
    assert format_value(0.714, "recall_at_1", exact=True) == f"71.4{NBSP}%"
    assert format_value(0.012, "recall_at_1") == f"1.2{NBSP}%"
    assert format_value(0.714, "auroc") == "0.71"
    assert format_value(None, "auroc") == format_value(float("nan"), "auroc") == DASH


def test_the_unit_of_an_interval_is_written_once():
    assert format_interval(0.68, 0.74, "recall_at_1") == f"68 to 74{NBSP}%"
    assert format_interval(0.02, 0.2, "recall_at_1") == f"2.0 to 20.0{NBSP}%"


def test_a_difference_of_proportions_is_in_points():
    assert format_difference(-0.05, "recall_at_1") == f"{MINUS}5.0"
    assert format_difference(0.05, "auroc", signed=False) == "0.050"


def test_a_count_of_one_to_nine_is_withheld():
    assert [format_count(n) for n in (0, 1, 9, 10)] == ["0", "<10", "<10", "10"]


def test_a_small_count_in_a_sentence_is_withheld():
    assert mask_small_counts("3 of 12, 0.5 and mcar-5.") == "<10 of 12, 0.5 and mcar-5."


def test_a_small_count_does_not_follow_by_subtraction():
    assert format_parts({"a": 700, "b": 40, "c": 3}) == {"a": "700", "b": "≥10", "c": "<10"}
    assert format_parts({"a": 700, "b": 4, "c": 3}) == {"a": "700", "b": "<10", "c": "<10"}
    assert format_parts({"a": 700, "b": 0}) == {"a": "700", "b": "0"}
    assert format_part(95, 100) == ">90"
    assert format_part(100, 100) == "100"
    assert format_part(60, 100) == "60"
    assert format_part(5, 100) == "<10"
    assert format_part(13, 18) == "≥10"


def numbers_that_fit(words: Sequence[str], total: str) -> list[set[int]]:
    """Return the possible values of each part that its word and the word of the total allow."""
    ranges = {"<10": range(1, 10), "≥10": range(10, 60)}
    parts = [ranges.get(word, [int(word)] if word.isdigit() else []) for word in words]
    fitting = [
        one
        for one in product(*parts)
        if total in (str(sum(one)), f"at least {sum(one) // 10 * 10}", "<10" * (sum(one) < 10))
    ]
    return [set(place) for place in zip(*fitting, strict=True)]


def test_of_parts_and_their_total_no_small_part_follows() -> None:
    for parts in product((1, 2, 9, 10, 11, 30), repeat=3):
        words = format_parts({str(place): n for place, n in enumerate(parts)})
        total = format_total(sum(parts), parts)
        for n, possible in zip(parts, numbers_that_fit([*words.values()], total), strict=True):
            assert n in possible
            assert n >= 10 or len(possible) > 1, parts


def test_a_total_is_exact_unless_a_small_part_follows_from_it():
    assert format_total(125, [100, 25]) == "125"
    assert format_total(125, [100, 22, 3]) == "125"
    assert format_total(9, [4, 5]) == "<10"
    assert format_total(12, [4, 5, 3]) == "12"
    assert format_total(11, [10, 1]) == "at least 10"
    assert format_at_least(427) == "at least 420"


def test_of_nested_counts_no_small_difference_follows():
    assert format_nested_counts([100, 100, 60]) == {60: "60", 100: "100"}
    for n in range(91, 100):
        assert format_nested_counts([100, n])[n] == ">90"
    assert format_nested_counts([15, 12, 4]) == {4: "<10", 12: "≥10", 15: "15"}


@pytest.mark.parametrize(
    ("sentence", "masked"),
    [
        ("3 samples have no line", "<10 samples have no line"),
        ("it has 1 subject", "it has <10 subjects"),
        ("2 labelled rows of 12 people", "<10 labelled rows of 12 people"),
        ("3 of 90 values are in mV", "<10 of 90 values are in mV"),
        ("88 of 90 values are in mV", ">80 of 90 values are in mV"),
        ("5 of its 7 rows", "<10 of its <10 rows"),
        ("90 of 90 rows, 0 of 4 samples", "90 of 90 rows, 0 of <10 samples"),
        ("1234 samples", "1234 samples"),
    ],
)
def test_counts_of_people_in_a_sentence_are_withheld(sentence, masked):
    assert mask_subject_counts(sentence) == masked


@pytest.mark.parametrize(
    "sentence",
    [
        "expected at least 2 samples",
        "fewer than 10 subjects",
        "line 7: 3 cells; expected 4",
        "mcar-5 rows",
        "LOINC 2160-0 values",
        "the first 2 rows",
        "[CS-D012]",
        "2 of its 3 Parquet files",
    ],
)
def test_numbers_that_count_nobody_stay(sentence):
    assert mask_subject_counts(sentence) == sentence


def test_p_values_durations_and_lists_are_short():
    assert [format_p_value(p) for p in (None, 0.0004, 0.0312)] == [DASH, "<0.001", "0.031"]
    assert format_duration(95.0) == "1 min 35 s"
    assert format_duration(3700.0) == "1 h 1 min"
    assert join_words(["a"]) == "a"


def test_every_text_of_a_table_for_notebooks_is_escaped():
    shown = html_table("<t>", ["<h>"], [["<c>"], [3]])
    assert "<t>" not in shown
    assert "<h>" not in shown
    assert "&lt;c&gt;" in shown
    assert "<td>3</td>" in shown
