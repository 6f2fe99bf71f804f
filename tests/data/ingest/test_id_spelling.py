"""Ids that one table writes otherwise than another are reported, and other ids are not."""

from collections.abc import Sequence

import duckdb
import pytest

from clinical_symile.data.ingest.id_spelling import joined_columns, spelling_sentences

QUERY = "SELECT * FROM people LEFT JOIN labs USING (id)"


def sentences(people: Sequence[object], labs: Sequence[object], query: str = QUERY) -> list[str]:
    """The sentences on two tables with these ids."""
    with duckdb.connect() as connection:
        for name, ids in (("people", people), ("labs", labs)):
            kind = "BIGINT" if all(isinstance(one, int) for one in ids) else "VARCHAR"
            connection.execute(f"CREATE TABLE {name} (id {kind})")
            connection.executemany(f"INSERT INTO {name} VALUES (?)", [[one] for one in ids])
        return [*spelling_sentences(connection, query, {"people": None, "labs": None})]


def written(style: str, n: int) -> str:
    return {
        "zeros": f"{n:06d}",
        "plain": f"{n}",
        "fraction": f"{n}.0",
        "blanks": f" {n:06d} ",
        "letter": f"P{n:05d}",
        "lower": f"p{n:05d}",
        "no-break": f"{n:06d}\N{NO-BREAK SPACE}",
        "apostrophe": f"'{n:06d}",
        "letter, no zeros": f"P{n}",
        "other": f"{n + 500_000}",
    }[style]


@pytest.mark.parametrize(
    ("style", "other"),
    [
        ("zeros", "plain"),
        ("plain", "zeros"),
        ("plain", "fraction"),
        ("zeros", "blanks"),
        ("zeros", "no-break"),
        ("zeros", "apostrophe"),
        ("letter", "lower"),
        ("letter", "letter, no zeros"),
    ],
)
@pytest.mark.parametrize("share", [0.03, 0.6, 1.0])
def test_ids_of_which_a_part_is_written_otherwise_are_counted(
    style: str, other: str, share: float
) -> None:
    numbers = range(1, 301)
    people = [written(style, n) for n in numbers]
    lost = int(share * 300)
    labs = [written(other if n <= lost else style, n) for n in numbers]
    # People of other hospitals are no reason for a word.
    (sentence,) = sentences(people, [*labs, *(written("other", n) for n in range(400))])
    count = "<10" if lost < 10 else str(lost)
    assert f"{count} of 700 rows have {count} ids in id that people writes otherwise in id" in (
        sentence
    )


def test_rows_of_other_people_are_no_problem() -> None:
    people = [written("zeros", n) for n in range(1, 60)]
    assert sentences(people, [written("zeros", n) for n in range(40, 900)]) == []
    assert sentences(people, [written("letter", n) for n in range(1, 900)]) == []


def test_ids_that_differ_in_zeros_within_one_table_are_several_ids() -> None:
    assert sentences(["1", "01", "001", "2"], ["0001", "1.0", "2"]) == []


def test_numbers_have_no_spelling_unless_the_query_makes_text_of_them() -> None:
    people: Sequence[object] = [7, 8, 9]
    labs: Sequence[object] = ["007", "008", "x"]
    assert sentences(people, labs) == []
    cast = "SELECT * FROM people AS p JOIN labs AS l ON CAST(p.id AS VARCHAR) = l.id"
    assert len(sentences(people, labs, cast)) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM a JOIN b ON a.person = b.patient",
        "SELECT * FROM a, b WHERE b.patient = a.person",
        "SELECT (SELECT max(v) FROM b WHERE patient = person) FROM a",
        "SELECT * FROM a WHERE person IN (SELECT patient FROM b)",
        "WITH c AS (SELECT patient AS who, v FROM b) SELECT * FROM a LEFT JOIN c ON who = person",
        "WITH c AS (SELECT patient AS person FROM b) SELECT * FROM a JOIN c USING (person)",
        "WITH c AS (SELECT CAST(patient AS VARCHAR) AS x FROM b), d AS (SELECT x AS y FROM c) "
        "SELECT * FROM d JOIN (SELECT person AS z FROM a) ON y = z",
    ],
)
def test_the_columns_that_a_query_joins_by_are_found(query: str) -> None:
    with duckdb.connect() as connection:
        pairs = joined_columns(connection, query, {"a": ["person", "w"], "b": ["patient", "v"]})
    assert [(one.table, one.column, other.table, other.column) for one, other in pairs] == [
        ("a", "person", "b", "patient")
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM a JOIN b ON ltrim(a.person, '0') = ltrim(b.patient, '0')",
        "SELECT * FROM a JOIN b ON a.w > b.v",
        "SELECT * FROM a WHERE person = '7'",
    ],
)
def test_other_comparisons_are_not_followed(query: str) -> None:
    with duckdb.connect() as connection:
        assert not joined_columns(connection, query, {"a": ["person", "w"], "b": ["patient", "v"]})
