from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.external.pair_scores import read_pair_scores
from clinical_symile.errors import DataError

PAIRS = {"query": [7, 7, 8], "candidate": [7, 9, 8], "score": [0.5, -2.0, 1.0]}


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_row_is_the_score_of_a_query_and_a_candidate(name: str, write: Callable) -> None:
    read = read_pair_scores(write(PAIRS, name))
    assert read.file == name
    assert read.table["score"].tolist() == PAIRS["score"]
    assert read.table["missingness"].tolist() == ["", "", ""]
    assert read.notes == ()


def test_ids_are_the_same_whether_numbers_or_text(write: Callable) -> None:
    numbers = read_pair_scores(write(PAIRS, "numbers.parquet")).table
    text = {**PAIRS, "query": ["7", "7", "8"], "candidate": ["7", "9", "8"]}
    assert read_pair_scores(write(text, "text.parquet")).table.equals(numbers)


def test_a_pair_may_have_one_score_under_each_pattern(write: Callable) -> None:
    twice = {name: [*values, *values] for name, values in PAIRS.items()}
    read = read_pair_scores(write(twice | {"missingness": ["complete"] * 3 + [None] * 3}))
    assert read.table["missingness"].tolist() == ["complete"] * 3 + [""] * 3


def test_columns_that_are_not_used_are_named(write: Callable) -> None:
    (note,) = read_pair_scores(write(PAIRS | {"fold": [1, 1, 1]})).notes
    assert "fold" in note


def test_the_digest_is_of_the_content(write: Callable) -> None:
    first, same = (read_pair_scores(write(PAIRS, name)) for name in ("a.csv", "b.csv"))
    other = read_pair_scores(write(PAIRS | {"score": [0.5, -2.0, 1.5]}, "c.csv"))
    assert first.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize("column", PAIRS)
def test_a_column_that_is_missing_is_named(column: str, write: Callable) -> None:
    with pytest.raises(DataError, match=f"has no column {column}; expected query, candidate"):
        read_pair_scores(write({name: PAIRS[name] for name in PAIRS if name != column}))


def test_all_that_is_wrong_with_scores_and_ids_is_told_at_once_with_counts(
    write: Callable,
) -> None:
    table = {
        "query": [7, 7, 8, None, 9, 9],
        "candidate": [7, 7, 8, 9, 9, 7],
        "score": [1.0, 2.0, np.nan, 1.0, np.inf, 3.0],
    }
    with pytest.raises(DataError) as caught:
        read_pair_scores(write(pd.DataFrame(table).astype({"query": "Int64"}).to_dict("list")))
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for words in (
        "1 of 6 scores are NaN",
        "1 of 6 scores are infinite",
        "1 of 6 scores have no id of query or candidate",
        "1 of 6 scores repeat a pair",
    ):
        assert words in told
