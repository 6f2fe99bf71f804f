"""Values and names reach a query unchanged, whatever they hold."""

import duckdb
import pytest

from clinical_symile.data.ingest.sql import sql_identifier, sql_literal

WORDS = ["plain", "O'Brien", 'say "x"', "'; drop table a; --", "", "über é", "a\nb", "100 %"]


@pytest.mark.parametrize("word", WORDS)
def test_a_literal_is_the_text_itself(word: str):
    with duckdb.connect() as connection:
        assert connection.execute(f"select {sql_literal(word)}").fetchall() == [(word,)]


@pytest.mark.parametrize("word", [word for word in WORDS if word])
def test_an_identifier_names_a_column_of_that_name(word: str):
    with duckdb.connect() as connection:
        made = connection.execute(f"select 1 as {sql_identifier(word)}")
        assert made.description is not None
        assert made.description[0][0] == word
