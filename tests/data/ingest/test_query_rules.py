"""A query reads its tables alone and returns the same rows each time."""

from functools import cache
from pathlib import Path

import duckdb
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.query import syntax_problems
from clinical_symile.data.ingest.query_rules import _listed_functions, query_rule_problems
from clinical_symile.data.ingest.source_tables import query_tables
from clinical_symile.data.ingest.tables import connect, restrict_files
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.errors import DataError, DefinitionError
from tests.helpers.hospital import Hospital, refusal, run
from tests.helpers.synthetic import quiet

SECRET = "secret of another folder"

OTHER_FILES = [
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_scan('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_ndjson_objects('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "SELECT a.*, (SELECT max(content) FROM read_text('{file}')) AS x FROM admissions a",
    "WITH x AS MATERIALIZED (FROM read_text('{file}')) SELECT * FROM admissions, x",
    "SELECT * FROM admissions WHERE ward IN (SELECT content FROM read_text('{file}'))",
    "SELECT * FROM admissions UNION ALL BY NAME SELECT content AS ward FROM read_text('{file}')",
    "SELECT * FROM admissions, LATERAL (FROM read_text('{file}')) x",
    "SELECT * FROM query('FROM read_text(''{file}'')')",
    "SELECT * FROM query_table('{file}')",
    "SELECT * FROM (SUMMARIZE admissions)",
    "SELECT * FROM (SHOW TABLES)",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM system.main.duckdb_tables",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM (PIVOT (FROM read_text('{file}')) ON size IN (1) USING count(*))",
    "PIVOT admissions ON ward",
]
NO_QUERIES = [
    "COPY (SELECT 1) TO '{file}.csv'",
    "COPY admissions FROM '{file}'",
    "ATTACH '{file}' AS other",
    "INSTALL httpfs",
    "LOAD '{file}'",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "INSERT INTO admissions VALUES (1)",
    "CREATE MACRO f() AS random()",
    "EXPORT DATABASE '{folder}'",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
]
OTHER_EACH_TIME = [
    "random()",
    "RANDOM ( )",
    "main.random()",
    "uuid()",
    "gen_random_uuid()",
    "uuidv7()",
    "now()",
    "today()",
    "current_date",
    "CURRENT_TIMESTAMP",
    "localtimestamp",
    "get_current_timestamp()",
    "transaction_timestamp()",
    "age(TIMESTAMP '2000-01-01')",
    "ago(INTERVAL 1 DAY)",
    "pg_postmaster_start_time()",
    "txid_current()",
    "current_setting('threads')",
    "current_query()",
    "nextval('x')",
    "setseed(0.5)",
    "(SELECT max(x) FROM range(3) t(x) WHERE random() < 0.5)",
    "list_transform([1], lambda x: x + random())",
    "CASE WHEN true THEN 1 ELSE random() END",
    "sum(1) OVER (ORDER BY random())",
    "reservoir_quantile(1, 0.5)",
]
REPRODUCIBLE = [
    "SELECT * FROM admissions",
    "FROM admissions",
    "WITH x AS (FROM admissions) SELECT x.* FROM x JOIN admissions USING (admission)",
    "SELECT *, hash(person) % 10 AS part FROM admissions",
    "SELECT *, age(TIMESTAMP '2001-01-01', TIMESTAMP '2000-01-01') AS x FROM admissions",
    "SELECT a.*, x.n FROM admissions a, unnest([1]) AS x(n), range(1) AS y",
    "SELECT *, row_number() OVER (PARTITION BY person ORDER BY admission) AS n FROM admissions",
    "SELECT *, date_part('year', DATE '2001-01-01') AS y, strftime(DATE '2001-01-01', '%Y') z "
    "FROM admissions",
    "SELECT *, split_part(ecg, '/', 1) AS p, list_sum([1, 2]) AS s FROM main.admissions",
    "SELECT * FROM (VALUES (1)) v(x), admissions",
    "SELECT a.*, a.current_date FROM (SELECT *, 1 AS current_date FROM admissions) a",
    "SELECT *, CASE WHEN person IS NULL THEN error('no person') END AS e FROM admissions",
    "SELECT * FROM admissions QUALIFY row_number() OVER (PARTITION BY admission ORDER BY 1) = 1",
]


@cache
def parser() -> duckdb.DuckDBPyConnection:
    """A connection that only parses queries, for all tests: each new one takes a moment."""
    return connect()


def problems(query: str) -> list[str]:
    return query_rule_problems(parser(), query, tables=["admissions"], where="samples.sql")


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("elsewhere") / "other.csv"
    file.write_text(f"x,y\n{SECRET},1\n")
    return file


@pytest.mark.parametrize("query", OTHER_FILES)
def test_a_query_reads_no_file_but_its_tables(query: str, file: Path) -> None:
    (first, *_) = problems(query.format(file=file, folder=file.parent))
    assert first.startswith("samples.sql: ")
    assert "expected" in first or "[tables]" in first


@pytest.mark.parametrize("query", [*OTHER_FILES[:19], *NO_QUERIES])
def test_prepare_refuses_such_a_query_and_writes_nothing(
    query: str, file: Path, hospital: Hospital
) -> None:
    (hospital.definition.parent / "samples.sql").write_text(
        query.format(file=file, folder=file.parent)
    )
    before = sorted(file.parent.iterdir())
    message = refusal(hospital)
    assert "samples.sql" in message
    assert SECRET not in message
    assert sorted(file.parent.iterdir()) == before


@pytest.mark.parametrize("expression", OTHER_EACH_TIME)
def test_a_query_whose_rows_differ_from_run_to_run_is_refused(expression: str) -> None:
    (problem,) = problems(f"SELECT *, {expression} AS x FROM admissions")
    assert "differs from run to run; expected the same rows in every run" in problem


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM admissions USING SAMPLE 10",
        "SELECT * FROM admissions TABLESAMPLE reservoir(3 ROWS)",
        "SELECT * FROM (SELECT * FROM admissions USING SAMPLE 10%) x",
    ],
)
def test_a_query_that_draws_rows_is_refused(query: str) -> None:
    (problem,) = problems(query)
    assert "draws rows at random" in problem


@pytest.mark.parametrize("query", REPRODUCIBLE)
def test_a_query_of_the_tables_alone_is_accepted(query: str, hospital: Hospital) -> None:
    assert problems(query) == []
    (hospital.definition.parent / "samples.sql").write_text(query)
    assert syntax_problems(read_cohort(hospital.definition, name="small")) == []


def test_all_problems_of_a_query_are_told_by_check(hospital: Hospital) -> None:
    query = "SELECT *, random() FROM admissions, read_text('/etc/passwd') WHERE now() > x"
    (hospital.definition.parent / "samples.sql").write_text(query)
    found = syntax_problems(read_cohort(hospital.definition, name="small"))
    assert len(found) == 3
    assert {getattr(problem, "code", None) for problem in found} == {"CS-D032"}


def test_duckdb_itself_reads_no_other_file_and_keeps_its_settings(
    hospital: Hospital, file: Path
) -> None:
    cohort = read_cohort(hospital.definition, name="small")
    tables = query_tables(cohort, hospital.source)
    with connect() as connection:
        restrict_files(connection, tables.values())
        assert connection.execute(
            f"SELECT count(*) FROM read_csv('{tables['admissions'].file}')"
        ).fetchall() == [(9,)]
        for statement in (
            f"FROM read_csv('{file}')",
            f"FROM '{file}'",
            f"FROM glob('{file.parent}/*')",
            f"COPY (SELECT 1) TO '{file}'",
            f"ATTACH '{file}' AS x",
            "SET enable_external_access = true",
            "SET allowed_paths = ['/etc/passwd']",
            "INSTALL httpfs",
        ):
            with pytest.raises(Exception, match=r"Permission|Cannot|disabled|locked|Invalid"):
                connection.execute(statement).fetchall()
    assert SECRET in file.read_text()


def test_a_python_variable_is_no_table() -> None:
    import pandas as pd

    local = pd.DataFrame({"x": [1]})
    with connect() as connection, pytest.raises(Exception, match="does not exist"):
        connection.execute("SELECT * FROM local")
    assert len(local) == 1


@pytest.mark.parametrize("path", ["../admissions.csv", "/etc/passwd", "a/../../x.csv", "C:\\x.csv"])
@pytest.mark.parametrize("key", ["admissions = ", "sql = "])
def test_a_definition_names_files_below_its_folders_only(
    key: str, path: str, hospital: Hospital
) -> None:
    old = {"admissions = ": '"admissions.csv"', "sql = ": '"samples.sql"'}[key]
    hospital.edit(key + old, f"{key}'{path}'")
    with pytest.raises(DefinitionError, match="expected the path of a file below the folder"):
        read_cohort(hospital.definition, name="small")


def test_a_panel_of_another_folder_is_refused(hospital: Hospital) -> None:
    hospital.edit('panel = "labs.csv"', 'panel = "../labs.csv"')
    with pytest.raises(DefinitionError, match=r"panel is '\.\./labs\.csv'; expected a file in"):
        run(hospital)


def linked(hospital: Hospital, name: str, elsewhere: Path) -> Path:
    """Move a file of the source elsewhere, and leave a link."""
    inside, outside = hospital.source / name, elsewhere / Path(name).name
    inside.replace(outside)
    inside.symlink_to(outside)
    return inside


def test_a_table_that_a_link_leads_out_of_the_source_needs_a_flag(
    hospital: Hospital, file: Path
) -> None:
    expected = run(hospital).digest
    hospital.out = hospital.out.with_name("again")
    link = linked(hospital, "admissions.csv", file.parent)
    message = refusal(hospital)
    assert f"{link}: tables.admissions of cohort 'small' is a symbolic link" in message
    assert "--allow-links" in message
    from clinical_symile.config.catalog import open_catalog

    catalog = open_catalog([hospital.definition.parents[2]])
    store = prepare_cohort(
        catalog, "small", source=hospital.source, out=hospital.out, allow_links=True, bar=quiet
    )
    assert store.digest == expected


@pytest.mark.parametrize("name", ["xray/106.jpg", "ecg/101.dat", "ecg/101.hea"])
def test_a_recording_that_a_link_leads_out_of_the_source_is_rejected(
    name: str, hospital: Hospital, file: Path
) -> None:
    if not (hospital.source / name).exists():
        name = next(
            str(p.relative_to(hospital.source))
            for p in sorted(hospital.source.rglob(f"*{Path(name).suffix}"))
        )
    linked(hospital, name, file.parent)
    rejected = run(hospital).manifest["rejected"]
    assert rejected[{"xray": "cxr", "ecg": "ecg"}[name.split("/")[0]]].get("outside-source") == 1


def test_a_link_inside_the_source_is_followed(hospital: Hospital) -> None:
    (hospital.source / "annex").mkdir()
    linked(hospital, "admissions.csv", hospital.source / "annex")
    linked(hospital, "xray/106.jpg", hospital.source / "annex")
    assert "outside-source" not in run(hospital).manifest["rejected"]["cxr"]


def test_the_tables_of_a_folder_with_signs_of_patterns_are_its_own(
    hospital: Hospital, tmp_path: Path
) -> None:
    expected = run(hospital).digest
    odd, decoy = tmp_path / "a [b]*?'c é", tmp_path / "a bXY'c é"
    hospital.source.replace(odd)
    decoy.mkdir()
    (decoy / "admissions.csv").write_text("admission\n1\n")
    hospital.source, hospital.out = odd, tmp_path / "st[o]re*"
    assert run(hospital).digest == expected


def test_a_star_in_the_name_of_a_table_is_the_only_pattern(hospital: Hospital) -> None:
    table = (hospital.source / "admissions.csv").read_text().splitlines(keepends=True)
    (hospital.source / "admissions.csv").unlink()
    for number, lines in enumerate((table[1:5], table[5:])):
        (hospital.source / f"part[{number}]?.csv").write_text("".join([table[0], *lines]))
    (hospital.source / "part0x.csv").write_text("other\n1\n")
    hospital.edit('"admissions.csv"', '"part[*]?.csv"')
    assert run(hospital).manifest["rows"] == len(table) - 1


def test_the_name_of_a_folder_is_no_column(hospital: Hospital, tmp_path: Path) -> None:
    folder = tmp_path / "ward=other"
    hospital.source.replace(folder)
    hospital.source = folder
    assert "other" not in set(run(hospital).samples["kept_ward"])


def test_a_table_error_says_the_code(hospital: Hospital) -> None:
    (hospital.definition.parent / "samples.sql").write_text("SELECT random() FROM admissions")
    with pytest.raises(DataError) as caught:
        run(hospital)
    assert caught.value.problems[0].code == "CS-D032"


def test_functions_are_listed_once_for_all_connections() -> None:
    problems("SELECT * FROM admissions")
    with connect() as connection:
        listed = _listed_functions(connection)
    with connect() as other:
        assert _listed_functions(other) is listed
    unstable, macros = listed
    assert {"random", "now", "current_date"} <= unstable
    assert "error" not in unstable
    assert macros
