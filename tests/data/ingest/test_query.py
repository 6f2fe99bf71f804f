"""What is wrong with a cohort's query is told before it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from clinical_symile.cli.check import check_definitions, check_source
from clinical_symile.cli.init import init_cohort
from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.query import syntax_problems
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital, refusal, run


def ask(hospital: Hospital, query: str) -> list[str]:
    (hospital.definition.parent / "samples.sql").write_text(query)
    return syntax_problems(read_cohort(hospital.definition, name="small"))


def tried(hospital: Hospital, query: str = "SELECT * FROM admissions") -> list[str]:
    (hospital.definition.parent / "samples.sql").write_text(query)
    return check_source([hospital.definition.parents[2]], "small", source=hospital.source)  # pyright: ignore[reportReturnType]


def test_a_syntax_error_is_a_finding_of_check_with_all_others(tmp_path: Path) -> None:
    init_cohort("ours", at=tmp_path, like="tables")
    folder = tmp_path / "cohorts/ours"
    query = folder / "samples.sql"
    query.write_text(query.read_text().replace("LEFT JOIN", "LEFT JOYN", 1))
    task = tmp_path / "tasks/ours/retrieval/cxr_given_ecg_labs.toml"
    task.write_text(task.read_text().replace('"recall_at_5"', '"recall_at5"'))
    text = "\n".join(check_definitions([tmp_path])[0])
    assert f'{query}: Parser Error: syntax error at or near "JOYN"' in text
    assert "LINE " in text
    assert "'recall_at5'" in text


def test_a_query_of_many_open_brackets_is_refused_before_it_takes_all_memory(
    hospital: Hospital,
) -> None:
    (problem,) = ask(hospital, f"SELECT {'(' * 5000}1{')' * 5000} FROM admissions")
    assert "has more than 500 brackets open at once" in problem
    assert ask(hospital, f"SELECT {'(' * 100}1{')' * 100} FROM admissions") == []


def test_a_table_that_the_cohort_does_not_name_is_told(hospital: Hospital) -> None:
    query = """
    WITH one AS (SELECT * FROM admissions), two AS (SELECT * FROM one JOIN Wards USING (ward))
    SELECT * FROM two JOIN 'file.parquet' USING (ward) JOIN ADMISSIONS USING (person)
    """
    (file, problem) = ask(hospital, query)
    assert "samples.sql: FROM has 'file.parquet', which is not a name in [tables]." in file
    assert "samples.sql: unknown table 'Wards'. Known: admissions." in problem
    assert ask(hospital, "SELECT * FROM admissions -- all;") == []


@pytest.mark.parametrize("query", ["", "SELECT 1; SELECT 2", "DROP TABLE admissions"])
def test_what_is_not_one_query_is_told(query: str, hospital: Hospital) -> None:
    (problem,) = ask(hospital, query)
    assert "expected one query that returns rows" in problem


def test_a_query_that_fits_the_tables_of_a_source_has_no_finding(hospital: Hospital) -> None:
    assert tried(hospital) == []


def test_a_column_that_no_table_of_a_source_has_is_a_finding(hospital: Hospital) -> None:
    (problem,) = tried(hospital, "SELECT *, a.age FROM admissions AS a")
    assert 'does not have a column named "age"' in problem
    assert "admissions.csv, with admission, person, split, ward" in problem


def test_every_column_that_a_cohort_asks_for_in_vain_is_a_finding(hospital: Hospital) -> None:
    problems = tried(hospital, "SELECT * EXCLUDE (ward, crea) FROM admissions")
    assert [problem.split(";")[0].partition(": ")[2] for problem in problems] == [
        "no column 'crea', which modalities.labs needs",
        "no column 'ward', which samples.keep needs",
    ]


def test_a_type_that_only_a_late_row_tells_is_no_false_alarm(hospital: Hospital) -> None:
    """The first rows are numbers: `ward || 1` of them binds, `upper(ward)` of numbers does not."""
    rows = [hospital.admissions.assign(ward=1)] * 3000
    text = "\n".join(
        [rows[0].to_csv(index=False)] + [r.to_csv(index=False, header=False) for r in rows]
    )
    (hospital.source / "admissions.csv").write_text(text.replace("\n\n", "\n"))
    last = hospital.admissions.assign(ward="A").to_csv(index=False, header=False)
    with (hospital.source / "admissions.csv").open("a") as stream:
        stream.write(last)
    query = "SELECT * REPLACE (list_contains(['A'], ward) AS ward) FROM admissions"
    assert tried(hospital, query) == []


def test_tables_that_are_missing_are_told(hospital: Hospital) -> None:
    (hospital.source / "admissions.csv").unlink()
    with pytest.raises(DataError, match="no such file; expected tables"):
        tried(hospital)


def test_a_source_is_tried_without_torch_mlflow_and_pandas(hospital: Hospital) -> None:
    code = (
        "import sys\n"
        "from clinical_symile.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'mlflow', 'pandas'} & set(sys.modules)\n"
    )
    catalog = str(hospital.definition.parents[2])
    words = ["check", "--catalog", catalog, "--cohort", "small", "--source", str(hospital.source)]
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"small: its query fits the tables of {hospital.source}." in done.stdout


def test_a_query_that_names_a_column_that_is_not_there_is_told(hospital: Hospital) -> None:
    (hospital.definition.parent / "samples.sql").write_text("SELECT admision FROM admissions")
    told = refusal(hospital)
    assert 'samples.sql: Binder Error: Referenced column "admision" not found' in told
    assert "Correct the query, or the tables" in told


@pytest.mark.parametrize("failing", ["CAST(xray AS DATE)", "strptime(xray, '%Y')"])
def test_a_query_that_fails_on_a_value_does_not_tell_it(hospital: Hospital, failing: str) -> None:
    query = f"SELECT * REPLACE ({failing} AS xray) FROM admissions"
    (hospital.definition.parent / "samples.sql").write_text(query)
    told = refusal(hospital)
    assert "samples.sql: DuckDB stopped with a" in told
    assert ".jpg" not in told


@pytest.mark.parametrize("query", ["DROP VIEW admissions", "", "SELECT 1; SELECT 2"])
def test_a_query_must_be_one_that_returns_rows(hospital: Hospital, query: str) -> None:
    (hospital.definition.parent / "samples.sql").write_text(query)
    assert "samples.sql: " in refusal(hospital)


def test_a_query_without_rows_is_refused(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.head(0))
    assert "no rows; expected one per sample" in refusal(hospital)


def test_a_query_of_a_column_that_is_not_there_is_told_with_the_columns_of_each_file(
    hospital: Hospital,
) -> None:
    (hospital.definition.parent / "samples.sql").write_text("SELECT *, a.age FROM admissions AS a")
    with pytest.raises(DataError) as caught:
        run(hospital)
    (said,) = caught.value.problems
    columns = "admission, person, split, ward, xray, ecg, crea, k, died"
    assert f"admissions is {hospital.source / 'admissions.csv'}, with {columns}.\n" in said
    assert '"age"' in said
