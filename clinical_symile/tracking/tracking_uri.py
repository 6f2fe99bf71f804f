"""Find the MLflow server or database of a run, and keep credentials out of what is shown."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import sqlite_uri

_HIDDEN = "***"
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN")
_LOCAL = ("sqlite:", "file:")
# scheme://user:password@host:port/path?query#fragment, with no further "@" anywhere.
_REGULAR = re.compile(
    r"(?P<scheme>[\w+.-]+)://(?:[^/?#@\s]*@)?(?P<place>(?:\[[^\]]*\]|[^/?#@:\s]+)(?::\d+)?[^?#@\s]*)"
    r"(?:[?#][^@\s]*)?"
)


def tracking_uri(out: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, else the URI of the database `mlflow.db` in a folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri((out / "mlflow.db").resolve())


def run_tracking_uri(run: Run) -> str:
    """Return where a run is synced to.

    That is `MLFLOW_TRACKING_URI`, else what its `run.toml` says, else the database in the folder
    that holds the run's folder.

    Raises:
        DataError: `run.toml` cannot be read.
    """
    copy = run.mlflow_copy
    if copy is None or os.environ.get("MLFLOW_TRACKING_URI"):
        return tracking_uri(run.path.resolve().parent)
    return copy.tracking_uri


def without_credentials(uri: str) -> str:
    """Return a tracking URI without user, password, token and query.

    A URI whose parts cannot be told apart with certainty loses everything but its scheme.

    >>> without_credentials("https://me:secret@mlflow.example:5000/a?token=1")
    'https://mlflow.example:5000/a'
    >>> without_credentials("postgresql://me:se/cr@t@host/db")
    'postgresql://***'
    """
    if uri.startswith(_LOCAL) or "://" not in uri:
        return uri
    scheme = uri.partition("://")[0]
    found = _REGULAR.fullmatch(uri)
    if found is None or scheme.startswith("databricks"):
        return f"{scheme}://{_HIDDEN}"
    return f"{scheme}://{found['place']}"


def redact(text: str, uri: str) -> str:
    """Replace the credentials of a tracking URI, and of the environment, in a message.

    Args:
        text: the message.
        uri: the tracking URI, as the user gave it.
    """
    text = text.replace(uri, without_credentials(uri))
    for secret in sorted(_secrets(uri), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)


def _secrets(uri: str) -> set[str]:
    """Return every piece of a URI and of the environment that may be secret."""
    secrets = {os.environ.get(name, "") for name in _SECRET_VARIABLES}
    if not uri.startswith(_LOCAL) and "://" in uri:
        scheme, _, rest = uri.partition("://")
        before, at, _ = rest.rpartition("@")
        if at:
            secrets |= {before, before.partition(":")[2]}
        query = rest.partition("?")[2]
        secrets |= {pair.partition("=")[2] for pair in query.split("&")}
        if scheme.startswith("databricks"):
            secrets.add(rest)
    return {form for secret in secrets for form in (secret, unquote(secret)) if form}
