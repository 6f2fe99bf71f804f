"""Every problem with MLflow is a sentence with the command that helps, and without credentials."""

import shlex
from pathlib import Path

import pytest

from clinical_symile.tracking._sync_problems import (
    SyncError,
    files_problem_sentence,
    problem_sentence,
    sync_command,
)
from tests.helpers.mlflow_runs import BY_HAND, write_run

pytestmark = BY_HAND

CANARY = "c4n4ry"
# Every form of an address that holds a secret, with what breaks the parsers of addresses.
ADDRESSES = [
    f"https://me:{CANARY}@host/base",
    f"https://{CANARY}@host",
    f"https://{CANARY}:x-oauth-basic@host",
    f"http://me:12/{CANARY}@host:5000",
    f"http://me:{CANARY}@x@host:5000",
    f"http://me:{CANARY}/5@host",
    f"http://me:a#{CANARY}@host",
    f"https://host/?token={CANARY}",
    f"https://host/base;key={CANARY}?a=1&sig={CANARY}",
    f"postgresql://me:{CANARY}@host/db",
    f"postgresql+psycopg2://me:a%2F{CANARY}@host/db",
    f"postgresql://host/db?user=me&password={CANARY}",
    f"mysql+pymysql://me:?{CANARY}@host/db",
    f"mssql+pyodbc://me:{CANARY}[@host/db",
    f"databricks://{CANARY}",
    f"databricks://profile:{CANARY}",
    f"databricks-uc://{CANARY}",
    f"sqlite:///x.db?key={CANARY}",
    f"sqlite+pysqlcipher://:{CANARY}@/x.db",
]
TEXTS = [
    "could not connect to {uri}",
    "HTTPConnectionPool(host='me', port=12): Max retries exceeded with url: /{tail}",
    "invalid literal for int() with base 10: '{canary}'",
    'could not translate host name "{tail}" to address',
    "401 Client Error: token {canary} was refused",
    "FATAL: password={canary} user=me",
    "header Authorization: Bearer {canary}-and-more",
    "nonnumeric port: '{canary}'",
]


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("uri", ADDRESSES)
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_no_error_of_mlflow_shows_a_piece_of_the_credentials(
    uri: str, text: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if by == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tail = uri.rpartition("/")[2]
    error = RuntimeError(text.format(uri=uri, tail=tail, canary=CANARY))
    for sentence in (
        problem_sentence(error, run=tmp_path, uri=uri, folder=None),
        files_problem_sentence(error, run=tmp_path, uri=uri, place=uri, folder=None),
    ):
        assert CANARY not in sentence
        assert "clinical-symile sync" in sentence


@pytest.mark.parametrize(
    "name",
    [
        *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN", "PGPASSWORD"),
        *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY"),
        *("DATABRICKS_CLIENT_SECRET", "GOOGLE_API_KEY", "DB_PASS", "MYSQL_PWD"),
    ],
)
def test_no_error_shows_a_secret_of_the_environment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, f"{CANARY}/+=")
    error = RuntimeError(f"refused {CANARY}/+= and {CANARY}%2F%2B%3D")
    sentence = problem_sentence(error, run=tmp_path, uri="https://host", folder=None)
    assert CANARY not in sentence
    assert "refused ***" in sentence


def test_a_place_of_files_shows_no_credentials(tmp_path: Path):
    place = f"s3://key:{CANARY}@bucket/1/artifacts"
    error = RuntimeError(f"cannot reach {place}: {CANARY}")
    sentence = files_problem_sentence(
        error, run=tmp_path, uri="https://host", place=place, folder=None
    )
    assert CANARY not in sentence
    assert "could not be stored at s3://bucket/1/artifacts" in sentence


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModuleNotFoundError("No module named 'boto3'", name="boto3"), "Install boto3, then run"),
        (RuntimeError("Can't locate revision identified by '9x'"), "Update mlflow"),
        (RuntimeError("failed with error code 401"), "Set MLFLOW_TRACKING_USERNAME and"),
        (RuntimeError("password authentication failed"), "Set MLFLOW_TRACKING_USERNAME and"),
        (SyncError("it is foreign", "Name another"), "it is foreign. Nothing is lost"),
        (SystemExit(3), "Check that MLflow can be reached, then run"),
        (ValueError(), "ValueError. Nothing is lost"),
    ],
)
def test_each_kind_of_error_has_the_advice_that_helps(
    error: BaseException, expected: str, tmp_path: Path
):
    sentence = problem_sentence(error, run=tmp_path / "a-0", uri="https://host", folder=None)
    assert expected in sentence
    assert sentence.endswith("[CS-L001]")


def test_the_command_names_the_address_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write_run(tmp_path / "a run")
    plain = f"clinical-symile sync '{folder}'"
    assert sync_command(folder, f"sqlite:///{tmp_path.resolve()}/mlflow.db") == plain
    assert sync_command(folder, "https://host") == f"{plain} --uri https://host"
    assert sync_command(folder, "https://a:b@host") == f"{plain} --uri URI"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://a:b@host")
    assert sync_command(folder, "https://a:b@host") == plain
    assert shlex.split(plain)[-1] == str(folder)


def test_a_benchmark_is_named_as_a_whole(tmp_path: Path):
    (tmp_path / "runs").mkdir()
    uri = f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    sentence = problem_sentence(
        RuntimeError("x"), run=tmp_path / "runs" / "a-0", uri=uri, folder=tmp_path
    )
    assert f"then run `clinical-symile sync {tmp_path}`." in sentence
