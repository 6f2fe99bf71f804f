from pathlib import Path

import pytest

from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import MlflowCopy
from clinical_symile.tracking.tracking_uri import redact, run_tracking_uri, without_credentials

SECRET = "s3cr/e?t@#"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://mlflow.example:5000/base", "https://mlflow.example:5000/base"),
        ("https://me:secret@mlflow.example/base", "https://mlflow.example/base"),
        ("https://mlflow.example/?token=secret", "https://mlflow.example/"),
        ("postgresql://me:sec/ret@host/db", "postgresql://***"),
        ("postgresql://me:sec@ret@host/db", "postgresql://***"),
        ("postgresql://me:sec?ret@host/db", "postgresql://***"),
        ("mysql+pymysql://host/db?password=sec@ret", "mysql+pymysql://***"),
        ("databricks://secret", "databricks://***"),
        ("databricks", "databricks"),
        ("sqlite:////home/me@here/mlflow.db", "sqlite:////home/me@here/mlflow.db"),
        # A scheme that is missing, or half of one.
        ("me:secret@mlflow.example:5000", "***"),
        ("//me:secret@mlflow.example", "***"),
        ("https:/me:secret@host/base", "***"),
        ("https//me:secret@host/base", "***"),
        ("postgresql:me:secret@host/db", "***"),
        ("databricks:secret", "***"),
        ("file://me:secret@host/share", "***"),
        ("sqlite:me:secret@host", "***"),
        ("file:me:secret@host", "***"),
        ("sqlite:/me:secret@host/db", "***"),
        ("mlflow.example:5000?token=secret", "mlflow.example:5000"),
        ("/home/a:b@here/mlruns", "/home/a:b@here/mlruns"),
        ("C:\\a:b@here\\mlruns", "C:\\a:b@here\\mlruns"),
    ],
)
def test_no_form_of_a_tracking_uri_shows_its_credentials(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


@pytest.mark.parametrize(
    "uri",
    [
        f"postgresql://me:{SECRET}@host/db",
        f"https://me:{SECRET}@host",
        f"mysql://host/db?password={SECRET}",
        f"databricks://{SECRET}",
        f"databricks:{SECRET}",
        f"me:{SECRET}@host",
        f"https:/me:{SECRET}@host",
        f"host:5000?token={SECRET}",
    ],
)
def test_a_message_keeps_no_piece_of_the_credentials(uri: str) -> None:
    message = f"could not reach {uri}: password '{SECRET}' was refused"
    assert SECRET not in redact(message, uri)
    assert "s3cr" not in redact(message, uri)


def test_a_token_of_the_environment_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc123")
    assert "abc123" not in redact("bad token abc123", "https://host")


def test_a_run_is_synced_where_its_record_says_unless_a_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = Run(tmp_path.resolve() / "runs" / "symile-0")
    run.write_metadata({"name": "symile-0"})
    assert run_tracking_uri(run) == f"sqlite:///{tmp_path.resolve()}/runs/mlflow.db"
    uri = f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    run.write_mlflow_copy(MlflowCopy(tracking_uri=uri, experiment="synthetic", run_id="1"))
    assert run_tracking_uri(run) == uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert run_tracking_uri(run) == "https://mlflow.example"
