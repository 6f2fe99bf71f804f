"""Find the MLflow server or database of a run, and keep credentials out of what is shown."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import sqlite_path, sqlite_uri

REDACTED = "***"
_VARIABLE = "MLFLOW_TRACKING_URI"
# With these, MLflow and its client for Databricks log in.
_LOGIN_VARIABLES = ("MLFLOW_TRACKING_", "DATABRICKS_")
_LOCAL = ("sqlite:", "file:")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
# scheme://user:password@host:port/path?query#fragment, with no further "@" anywhere.
_REGULAR = re.compile(
    r"(?P<scheme>[\w+.-]+)://(?:[^/?#@\s]*@)?(?P<place>(?:\[[^\]]*\]|[^/?#@:\s]+)(?::\d+)?[^?#;@\s]*)"
    r"(?:[?#;][^@\s]*)?"
)
_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|tokens?|secrets?|keys?|credentials?|sas|sig|signature|auth)"
)
# Variables of the environment that hold a secret, such as MLFLOW_TRACKING_PASSWORD, PGPASSWORD and
# AWS_SECRET_ACCESS_KEY; the two of the current folder are none.
_SECRET_VARIABLE = re.compile(rf"(?:^|_|PG|DATABASE|DB){_WORD}(?:_|$)", re.IGNORECASE)
_NO_SECRETS = ("PWD", "OLDPWD", _VARIABLE)
# A shorter value of a variable is a switch or a number rather than a secret.
_SHORTEST_SECRET, _SHORTEST_PART = 6, 4
_USER_IN_URL = re.compile(r"(?<!sqlite)(?<!file)://[^\s'\"<>]*@")
_NAMED_SECRET = re.compile(
    rf"\b([\w-]*{_WORD}['\"]?\s*[=:]\s*)(?:(?:Bearer|Basic)\s+)?['\"]?[^\s'\",;&)]+['\"]?",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}")


def tracking_uri(out: Path) -> str:
    """Return `MLFLOW_TRACKING_URI`, else the URI of the database `mlflow.db` in a folder."""
    return os.environ.get(_VARIABLE) or sqlite_uri((out / "mlflow.db").resolve())


def run_tracking_uri(run: Run) -> str:
    """Return where a run is synced to.

    That is `MLFLOW_TRACKING_URI`, else what its `run.toml` says, else the database in the folder
    that holds the run's folder.

    Raises:
        DataError: `run.toml` cannot be read.
    """
    copy = run.mlflow_copy
    if copy is None or os.environ.get(_VARIABLE):
        return tracking_uri(run.path.resolve().parent)
    return copy.tracking_uri


def is_run_folder(folder: Path) -> bool:
    """Return True for a run's folder; the oracle's has results alone, as a benchmark's has."""
    has_results = (folder / "results.jsonl").is_file() and not (folder / "runs").is_dir()
    return (folder / "run.toml").is_file() or has_results


def default_uri(folder: Path) -> str:
    """Return where `clinical-symile sync` copies a folder without `--uri`.

    Args:
        folder: of a run or a benchmark, or one that holds runs.

    Raises:
        DataError: `run.toml` cannot be read.
    """
    return run_tracking_uri(Run(folder)) if is_run_folder(folder) else tracking_uri(folder)


def without_credentials(uri: str) -> str:
    """Return a tracking URI without user, password, token and query.

    A URI whose parts cannot be told apart with certainty loses everything but its scheme.

    >>> without_credentials("https://me:secret@mlflow.example:5000/a?token=1")
    'https://mlflow.example:5000/a'
    >>> without_credentials("postgresql://me:se/cr@t@host/db")
    'postgresql://***'
    """
    if _is_mistyped(uri):
        return REDACTED
    if "://" not in uri or uri.startswith(_LOCAL):
        return uri.partition("?")[0]
    scheme = uri.partition("://")[0]
    found = _REGULAR.fullmatch(uri)
    if found is None or scheme.startswith("databricks"):
        return f"{scheme}://{REDACTED}"
    return f"{scheme}://{found['place']}"


def _is_mistyped(uri: str) -> bool:
    """Return True for a user and password without a scheme, or with one that has none.

    Such as `me:secret@host`, `https:/me:secret@host` and `databricks:secret`. A path of this
    machine may hold both signs.
    """
    scheme, separator, rest = uri.partition("://")
    if separator:
        return scheme.startswith(("sqlite", "file")) and "@" in rest.partition("/")[0]
    if uri.startswith("databricks"):
        return ":" in uri
    if uri.startswith(("sqlite:", "file:")):  # without the slashes that such an address has
        return ":" in uri.partition(":")[2].partition("@")[0] and "@" in uri
    is_path = (uri.startswith("/") and not uri.startswith("//")) or _DRIVE.match(uri)
    before, at, _ = uri.partition("@")
    return bool(at) and ":" in before and not is_path and not uri.startswith(_LOCAL)


def server_without_login(out: Path) -> str | None:
    """Return the address of a tracking server without a login; None if there is none.

    Args:
        out: as for `tracking_uri`.
    """
    uri = tracking_uri(out)
    logs_in = without_credentials(uri) != uri or any(
        name.startswith(_LOGIN_VARIABLES) and _SECRET_VARIABLE.search(name) and value
        for name, value in os.environ.items()
    )
    return None if logs_in or sqlite_path(uri) is not None else uri


def can_be_redacted(uri: str) -> bool:
    """Return True if every secret part of a tracking URI is known.

    Where it is not, a driver may cut the password in two and name the pieces in its error.
    """
    return REDACTED not in without_credentials(uri)


def redact(text: str, uri: str) -> str:
    """Replace the credentials of a tracking URI, and of the environment, in a message.

    Args:
        text: the message.
        uri: the tracking URI, as the user gave it.
    """
    text = text.replace(uri, without_credentials(uri))
    for secret in sorted(set(_secrets(uri)), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    text = _USER_IN_URL.sub("://", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    return _NAMED_SECRET.sub(rf"\g<1>{REDACTED}", text)


def _secrets(uri: str) -> Iterator[str]:
    """Yield every form of every piece of a URI and of the environment that may be secret."""
    pieces = [
        value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name)
        and name not in _NO_SECRETS
        and len(value) >= _SHORTEST_SECRET
    ]
    for address in {uri, os.environ.get(_VARIABLE, "")}:
        pieces += _secrets_of_uri(address)
    for piece in pieces:
        forms = (str, unquote, unquote_plus, quote, quote_plus, lambda text: quote(text, safe=""))
        yield from (form(piece) for form in forms if piece)


def _secrets_of_uri(uri: str) -> list[str]:
    scheme, separator, rest = uri.partition("://")
    if not separator:
        rest = uri
    options = [word.partition("=")[::2] for word in re.split("[?&;#]", rest)[1:]]
    pieces = [
        value
        for name, value in options
        if re.search(_WORD, name, re.IGNORECASE) or len(value) >= _SHORTEST_SECRET
    ]
    before, at, _ = rest.rpartition("@")
    if at and (_is_mistyped(uri) or (separator and not uri.startswith(_LOCAL))):
        user, _, password = before.partition(":")
        # A short name of a user is no secret, and part of other words; a long one may be a token.
        pieces += [before, password, user if len(user) >= _SHORTEST_SECRET else ""]
    if scheme.startswith("databricks") and rest != "databricks":
        pieces.append(rest)
    # A driver may repeat a part of a password alone.
    parts = [part for piece in pieces for part in re.split(r"\W+", unquote(piece))]
    return [*pieces, *(part for part in parts if len(part) >= _SHORTEST_PART)]
